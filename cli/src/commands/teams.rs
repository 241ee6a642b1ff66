//! `restroy teams`.

use restroy_sdk::api::team::{NewTeam, Team};

use crate::{
    args::Teams,
    context::Context,
    failure::{Failure, Outcome},
    find,
    output::{moment, print, table},
    prompt,
};

/// Lists the teams, or changes one.
pub(crate) async fn teams(context: &Context, args: &Teams) -> Outcome {
    let client = context.client()?;
    if let Some(name) = &args.create {
        let team = client.create_team(&NewTeam { name: name.clone() }).await?;
        return context.show(&team, |team| format!("team {} made ({})", team.name, team.id));
    }
    if let Some(wanted) = &args.rename {
        let team = find::team(&client, Some(wanted)).await?;
        let team = client.rename_team(team.id, &NewTeam { name: args.to.clone().unwrap_or_default() }).await?;
        return context.show(&team, |team| format!("the team is now called {}", team.name));
    }
    if let Some(wanted) = &args.delete {
        let team = find::team(&client, Some(wanted)).await?;
        confirm(&team, args.yes)?;
        client.delete_team(team.id, &team.name).await?;
        print(&format!("team {} deleted; `restroy teams --restore {}` brings it back for 30 days", team.name, team.id));
        return Ok(());
    }
    if let Some(wanted) = &args.restore {
        let deleted = find::all(async |paging| client.deleted_teams(&paging).await).await?;
        let team = client.restore_team(find::one_team(deleted, wanted)?.id).await?;
        return context.show(&team, |team| format!("team {} is restored", team.name));
    }
    if let Some(wanted) = &args.leave {
        let team = find::team(&client, Some(wanted)).await?;
        client.leave_team(team.id).await?;
        print(&format!("you left {}", team.name));
        return Ok(());
    }
    if let Some(wanted) = &args.transfer {
        let team = find::team(&client, Some(wanted)).await?;
        let to = find::member(&client, team.id, args.to.as_deref().unwrap_or_default()).await?;
        let team = client.transfer_team(team.id, to.user_id).await?;
        return context.show(&team, |team| format!("{} now owns {}; you are {}", to.email, team.name, team.role));
    }
    let teams = if args.deleted {
        find::all(async |paging| client.deleted_teams(&paging).await).await?
    } else {
        find::all(async |paging| client.teams(&paging).await).await?
    };
    if context.json {
        return context.show(&teams, |_| String::new());
    }
    if teams.is_empty() && !args.deleted {
        print(&context.next(find::NO_TEAM, find::FIRST_BOARD));
        return Ok(());
    }
    let rows = teams.into_iter().map(|team| [team.name, team.role, moment(team.created_at), team.id.to_string()]);
    print(&table(["TEAM", "YOU ARE", "SINCE", "ID"], rows));
    Ok(())
}

/// Deleting a team takes its name once more, or `--yes`.
fn confirm(team: &Team, yes: bool) -> Outcome {
    if yes {
        return Ok(());
    }
    let question = format!(
        "This deletes all boards and pipelines of {} and cancels its runs. Type the team's name to \
        confirm",
        team.name
    );
    if prompt::line(&question, "pass --yes to confirm")? == team.name {
        return Ok(());
    }
    Err(Failure::new("the team's name does not match: nothing was deleted"))
}
