//! `restroy members`.

use restroy_client::Client;
use restroy_sdk::api::{board::BoardMember, invitation::NewInvitation, team::Member};

use crate::{
    args::Members,
    context::Context,
    failure::{Failure, Outcome},
    find,
    output::{moment, print, table},
};

/// Lists the members of a team or of a board, invites one, gives one another role, removes one.
pub(crate) async fn members(context: &Context, args: &Members) -> Outcome {
    let client = context.client()?;
    if let Some(wanted) = &args.board {
        return of_board(context, &client, args, wanted).await;
    }
    let team = find::team(&client, args.team.as_deref()).await?;
    if let Some(email) = &args.invite {
        let invitation = NewInvitation { email: email.clone(), role: role(args)? };
        let invitation = client.invite(team.id, &invitation).await?;
        return context.show(&invitation, |sent| {
            format!("{} is invited as {}, until {} ({})", sent.email, sent.role, moment(sent.expires_at), sent.id)
        });
    }
    if let Some(wanted) = &args.change {
        let member = find::member(&client, team.id, wanted).await?;
        let member = client.set_role(team.id, member.user_id, &role(args)?).await?;
        return context.show(&member, |member| format!("{} is now {}", member.email, member.role));
    }
    if let Some(wanted) = &args.remove {
        let member = find::member(&client, team.id, wanted).await?;
        client.remove_member(team.id, member.user_id).await?;
        print(&format!("{} is no longer a member of {}", member.email, team.name));
        return Ok(());
    }
    let members = find::all(async |paging| client.members(team.id, &paging).await).await?;
    if context.json {
        return context.show(&members, |_| String::new());
    }
    let rows =
        members.into_iter().map(|Member { name, email, role, joined_at, .. }| [name, email, role, moment(joined_at)]);
    print(&table(["NAME", "E-MAIL", "ROLE", "SINCE"], rows));
    Ok(())
}

/// The same for those who have a role on one board.
async fn of_board(context: &Context, client: &Client, args: &Members, wanted: &str) -> Outcome {
    let board = find::board(client, Some(wanted)).await?.board;
    if args.invite.is_some() {
        return Err(Failure::usage("people are invited into teams, not onto boards")
            .help("invite them with --team first, then give them a role on the board with --change"));
    }
    if let Some(wanted) = &args.change {
        let member = find::member(client, board.team_id, wanted).await?;
        let given = client.set_board_role(board.id, member.user_id, &role(args)?).await?;
        return context.show(&given, |given| format!("{} is now {} on {}", member.email, given.role, board.name));
    }
    if let Some(wanted) = &args.remove {
        let member = find::member(client, board.team_id, wanted).await?;
        client.remove_board_member(board.id, member.user_id).await?;
        print(&format!("{} no longer has a role on {}", member.email, board.name));
        return Ok(());
    }
    let members = find::all(async |paging| client.board_members(board.id, &paging).await).await?;
    if context.json {
        return context.show(&members, |_| String::new());
    }
    let rows = members.into_iter().map(|BoardMember { name, email, role, added_at, .. }| {
        [name, email.unwrap_or_default(), role, moment(added_at)]
    });
    print(&table(["NAME", "E-MAIL", "ROLE", "SINCE"], rows));
    Ok(())
}

fn role(args: &Members) -> Outcome<String> {
    args.role
        .clone()
        .ok_or_else(|| Failure::usage("a role is required: pass --role").help("`restroy roles` lists them"))
}
