//! `restroy admin team`: what operators give teams beyond the plan.

use clap::Subcommand;
use restroy_control_plane::store::quota::{self, Limit};
use restroy_sdk::{ids::TeamId, time::Ambient};

use super::database::Database;
use crate::{
    context,
    failure::{Failure, Outcome},
    output,
};

/// What is to be done with teams.
#[derive(Debug, Subcommand)]
pub(crate) enum TeamCommand {
    /// Show a team's limits, and change them
    ///
    /// They hold for what starts from now on. What a limit is about is shown with it; none goes above the
    /// most that there may be.
    #[command(after_help = "\
Examples:
  restroy admin team limits 0197a4e0-5b0e-7c52-b2f4-6d3c9f0a8e21
  restroy admin team limits 0197a4e0-5b0e-7c52-b2f4-6d3c9f0a8e21 --set runs_at_once=10 --reset emails_per_day")]
    Limits {
        /// The team's id
        team: String,
        /// Give the team so much of it; may be repeated
        #[arg(long, value_name = "NAME=VALUE")]
        set: Vec<String>,
        /// Give the team what the plan gives; may be repeated
        #[arg(long, value_name = "NAME")]
        reset: Vec<String>,
        #[command(flatten)]
        database: Database,
    },
}

/// Runs the subcommand.
pub(super) async fn team(command: TeamCommand, as_json: bool) -> Outcome {
    let TeamCommand::Limits { team, set, reset, database } = command;
    let id: TeamId = team.parse().map_err(|_| Failure::usage(format!("`{team}` is not the id of a team")))?;
    let mut changes = Vec::new();
    for change in &set {
        changes.push(changed(change)?);
    }
    for name in &reset {
        changes.push((named(name)?, None));
    }
    let db = database.open().await?;
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("cannot use the database: {error}"));
    if !changes.is_empty() {
        let known = quota::set(&db, &Ambient::system(), id, &changes).await.map_err(|error| failed(&error))?;
        if !known {
            return Err(Failure::new(format!("there is no team `{id}`")));
        }
    }
    let mut tx = db.team_read(id).await.map_err(|error| failed(&error))?;
    let limits = quota::all(&mut tx).await;
    drop(tx);
    db.close().await;
    let limits = match limits {
        Ok(Some(limits)) => limits,
        Ok(None) => return Err(Failure::new(format!("there is no team `{id}`"))),
        Err(error) => return Err(failed(&error)),
    };
    if as_json {
        output::print(&context::json(&limits)?);
        return Ok(());
    }
    let rows = limits.limits.into_iter().map(|limit| {
        [limit.name, limit.value.to_string(), limit.default.to_string(), limit.most.to_string(), limit.description]
    });
    output::print(&output::table(["LIMIT", "VALUE", "PLAN", "MOST", ""], rows));
    Ok(())
}

fn named(name: &str) -> Outcome<Limit> {
    Limit::named(name).ok_or_else(|| {
        let names: Vec<_> = Limit::ALL.iter().map(|limit| limit.name()).collect();
        Failure::usage(format!("`{name}` is not a limit")).help(format!("there are {}", names.join(", ")))
    })
}

/// `NAME=VALUE`.
fn changed(text: &str) -> Outcome<(Limit, Option<i64>)> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| Failure::usage(format!("`{text}` is not of the form NAME=VALUE")))?;
    let limit = named(name)?;
    match value.parse() {
        Ok(value) if (0..=limit.maximum()).contains(&value) => Ok((limit, Some(value))),
        _ => Err(Failure::usage(format!("`{name}` takes a whole number from 0 to {}, not `{value}`", limit.maximum()))),
    }
}
