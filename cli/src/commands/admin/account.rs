//! `restroy admin account`: makes accounts, and helps people who cannot get into theirs.

use clap::Subcommand;
use restroy_control_plane::{
    DomainError,
    auth::operator::{self, OperatorAccount, PasswordToken},
    store::Db,
};
use restroy_sdk::time::Ambient;
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
    /// Make an account, whoever may register, and print a token with which its password is chosen
    ///
    /// The token is good for 72 hours, once. Its owner chooses the password with `restroy password --token TOKEN`; no
    /// e-mail is sent. The address counts as verified: see that it is theirs.
    #[command(after_help = "\
Examples:
  restroy admin account create ada@example.com
  restroy admin account create ada@example.com --name 'Ada Lovelace' --public-url https://restroy.example.com")]
    Create {
        /// The account's e-mail address
        email: String,
        /// How others see the person; the address's first part unless given
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        database: Database,
    },
    /// Print a token with which another password of an account is chosen, where no e-mail reaches its owner
    ///
    /// See that it is the person who asks. The token is good for 72 hours, once; the old password until then. It
    /// stands in the account's audit log.
    #[command(after_help = "\
Examples:
  restroy admin account reset-password ada@example.com")]
    ResetPassword {
        /// The account's e-mail address or id
        account: String,
        #[command(flatten)]
        database: Database,
    },
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

/// Runs the subcommand.
pub(super) async fn account(command: AccountCommand, as_json: bool) -> Outcome {
    match command {
        AccountCommand::Create { email, name, database } => {
            let (db, url) = (database.open().await?, database.public_url()?);
            let made = create(&db, &email, name.as_deref()).await;
            db.close().await;
            show(&made?, url.as_deref(), as_json)
        }
        AccountCommand::ResetPassword { account, database } => {
            let (db, url) = (database.open().await?, database.public_url()?);
            let made = reset_password(&db, &account).await;
            db.close().await;
            show(&made?, url.as_deref(), as_json)
        }
        AccountCommand::RemoveSecondFactor { account, yes, database } => {
            let db = database.open().await?;
            let done = remove_second_factor(&db, &account, yes, as_json).await;
            db.close().await;
            done
        }
    }
}

async fn create(db: &Db, email: &str, name: Option<&str>) -> Outcome<PasswordToken> {
    operator::create_account(db, &Ambient::system(), email, name).await.map_err(|error| match error {
        DomainError::Conflict(_) => Failure::new(format!("there is an account `{}` already", clean(email.trim())))
            .help("`restroy admin account reset-password` gives a token for another password"),
        _ => failed(&error),
    })
}

async fn reset_password(db: &Db, account: &str) -> Outcome<PasswordToken> {
    let found = operator::find(db, account).await.map_err(|error| unknown(account, &error))?;
    operator::reset_password(db, &Ambient::system(), found.id).await.map_err(|error| failed(&error))
}

/// The token alone goes to standard output.
fn show(made: &PasswordToken, url: Option<&str>, as_json: bool) -> Outcome {
    let PasswordToken { id, email, token, expires_at } = made;
    let link = url.map(|url| format!("{url}/reset-password#{token}"));
    if as_json {
        let made = json!({ "id": id, "email": email, "token": token, "link": link, "expires_at": expires_at });
        output::print(&context::json(&made)?);
        return Ok(());
    }
    let until = output::moment(*expires_at);
    eprintln!(
        "The password of {} is chosen with this token, once, until {until}: `restroy password --token TOKEN --server URL`.",
        clean(email)
    );
    if let Some(link) = link {
        eprintln!("As a link: {link}");
    }
    output::print(token);
    Ok(())
}

fn unknown(account: &str, error: &DomainError) -> Failure {
    match error {
        DomainError::NotFound => Failure::new(format!("there is no account `{account}`"))
            .help("name a person's account by its whole e-mail address, or by its id"),
        _ => failed(error),
    }
}

async fn remove_second_factor(db: &Db, account: &str, yes: bool, as_json: bool) -> Outcome {
    let found = operator::find(db, account).await.map_err(|error| unknown(account, &error))?;
    let who = clean(&format!("{} <{}>", found.name, found.email));
    if !found.second_factor {
        return Err(Failure::new(format!("the account of {who} has no second factor")));
    }
    let OperatorAccount { id, last_login_at, .. } = found;
    let last =
        last_login_at.map_or_else(|| "never signed in".into(), |at| format!("last signed in {}", output::moment(at)));
    let question = format!("Take the second factor of {who} away ({id}, {last})?");
    if !yes && !prompt::confirm(&question, "pass --yes to skip this prompt")? {
        return Err(Failure::new("nothing was changed"));
    }
    let ended = operator::remove_second_factor(db, &Ambient::system(), id).await.map_err(|error| failed(&error))?;
    if as_json {
        output::print(&context::json(&json!({ "id": id, "email": found.email, "sessions_ended": ended }))?);
    } else {
        output::print(&format!("{who} signs in with the password alone now; sessions ended: {ended}"));
    }
    Ok(())
}
