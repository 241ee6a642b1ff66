//! `restroy admin account`: help for people who cannot get into their accounts.

use clap::Subcommand;
use restroy_control_plane::{
    auth::operator::{self, Found},
    store::Db,
};
use restroy_sdk::{problem::ProblemCode, time::Ambient};
use serde_json::json;

use super::{database::Database, failed::failed};
use crate::{
    context,
    failure::{Failure, Outcome},
    output, prompt,
    style::clean,
};

/// What is to be done with accounts.
#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Take the second factor of an account away, for somebody who lost authenticator and recovery codes
    ///
    /// See that it is the person who asks: from then on the password alone lets in. Every session of the account
    /// ends. It stands in the account's audit log.
    #[command(after_help = "\
Examples:
  restroy admin account remove-second-factor ada@example.com")]
    RemoveSecondFactor {
        /// The account's e-mail address or id
        account: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        database: Database,
    },
}

/// Does it.
pub(super) async fn account(command: AccountCommand, as_json: bool) -> Outcome {
    let AccountCommand::RemoveSecondFactor { account, yes, database } = command;
    let db = database.open().await?;
    let done = remove_second_factor(&db, &account, yes, as_json).await;
    db.close().await;
    done
}

async fn remove_second_factor(db: &Db, account: &str, yes: bool, as_json: bool) -> Outcome {
    let found = operator::find(db, account).await.map_err(|error| match error.code() {
        ProblemCode::NotFound => Failure::new(format!("there is no account `{account}`"))
            .help("name a person's account by its whole e-mail address, or by its id"),
        _ => failed(&error),
    })?;
    let who = clean(&format!("{} <{}>", found.name, found.email));
    if !found.second_factor {
        return Err(Failure::new(format!("the account of {who} has no second factor")));
    }
    let Found { id, last_login_at, .. } = found;
    let last =
        last_login_at.map_or_else(|| "never signed in".into(), |at| format!("last signed in {}", output::moment(at)));
    let question = format!("Take the second factor of {who} away ({id}, {last})?");
    if !yes && !prompt::confirm(&question, "--yes does it without asking")? {
        return Err(Failure::new("nothing was changed"));
    }
    let ended = operator::remove_second_factor(db, &Ambient::system(), id).await.map_err(|error| failed(&error))?;
    if as_json {
        output::print(&context::json(&json!({ "id": id, "email": found.email, "sessions_ended": ended }))?);
    } else {
        output::print(&format!("the password of {who} alone lets in now; sessions that ended: {ended}"));
    }
    Ok(())
}
