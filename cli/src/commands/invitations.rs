//! `restroy invitations`.

use restroy_sdk::{api::team::Team, ids::InvitationId};

use crate::{
    args::Invitations,
    context::Context,
    failure::{Failure, Outcome},
    find,
    output::{moment, print, table},
};

/// Lists the pending invitations for the person, or those of a team; answers or revokes one.
pub(crate) async fn invitations(context: &Context, args: &Invitations) -> Outcome {
    let client = context.client()?;
    let joined = |team: &Team| format!("you are now {} of {}", team.role, team.name);
    if let Some(wanted) = &args.accept {
        // An id from the list, else the token from the e-mail.
        let team = match wanted.parse::<InvitationId>() {
            Ok(id) => client.accept_invitation(id).await?,
            Err(_) => client.accept_invitation_by_token(wanted).await?,
        };
        return context.show(&team, joined);
    }
    if let Some(wanted) = &args.decline {
        client.decline_invitation(id(wanted)?).await?;
        print("declined");
        return Ok(());
    }
    if let Some(wanted) = &args.revoke {
        let team = find::team(&client, args.team.as_deref()).await?;
        client.revoke_invitation(team.id, id(wanted)?).await?;
        print("revoked");
        return Ok(());
    }
    if args.team.is_some() {
        let team = find::team(&client, args.team.as_deref()).await?;
        let sent = find::all(async |paging| client.invitations(team.id, &paging).await).await?;
        if context.json {
            return context.show(&sent, |_| String::new());
        }
        let rows =
            sent.into_iter().map(|one| [one.email, one.role, one.state, moment(one.expires_at), one.id.to_string()]);
        print(&table(["E-MAIL", "ROLE", "STATE", "UNTIL", "ID"], rows));
        return Ok(());
    }
    let waiting = find::all(async |paging| client.my_invitations(&paging).await).await?;
    if context.json {
        return context.show(&waiting, |_| String::new());
    }
    if waiting.is_empty() {
        print("no invitations wait for you");
        return Ok(());
    }
    let rows = waiting.into_iter().map(|one| {
        let by = one.invited_by.unwrap_or_default();
        [one.team_name, one.role, by, moment(one.expires_at), one.id.to_string()]
    });
    print(&table(["TEAM", "ROLE", "FROM", "UNTIL", "ID"], rows));
    Ok(())
}

fn id(text: &str) -> Outcome<InvitationId> {
    text.parse().map_err(|_| {
        Failure::usage(format!("`{text}` is not the id of an invitation"))
            .help("`restroy invitations` lists them with their ids")
    })
}
