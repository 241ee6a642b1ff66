//! `restroy login`, `verify-email`, `logout`, `whoami`.

use restroy_client::{Client, Error, TokenStore as _};
use restroy_sdk::{
    api::{auth::Register, board::NewBoard, team::NewTeam},
    problem::ProblemCode,
};

use crate::{
    args::{Login, Logout},
    context::Context,
    failure::{Failure, Outcome, code},
    find, output, prompt,
};

/// The board that a new account begins with.
const FIRST_BOARD: &str = "Main";

/// Signs in; makes the account first when that is asked for.
pub(crate) async fn login(context: &Context, args: &Login) -> Outcome {
    if args.token_stdin {
        return login_by_token(context).await;
    }
    let client = context.session_client()?;
    let email = match &args.email {
        Some(email) => email.clone(),
        None => prompt::line("E-mail address", "write it on the command line: restroy login EMAIL --password-stdin")?,
    };
    let password = prompt::password(args.password_stdin, args.register)?;
    let local = email.split('@').next().unwrap_or_default();
    let name = args.name.clone().unwrap_or_else(|| local.chars().take(32).collect());
    if args.register {
        let account = Register { email: email.clone(), password: password.clone(), name: name.clone() };
        let accepted = client.register(&account).await?;
        if !context.json {
            output::print(&accepted.message);
        }
    }
    // Another process may be about to change the file.
    let session = context.credentials.on(&context.server);
    let stored = |error: std::io::Error| Failure::from(Error::Store(error));
    let mut lock = session.lock().await.map_err(stored)?;
    match client.login(&email, &password).await {
        Ok(_) => {}
        Err(error) => match challenge(&error) {
            Some(challenge) => {
                // Others need the file while a person looks for their telephone.
                drop(lock);
                let code = code(args)?;
                lock = session.lock().await.map_err(stored)?;
                client.second_factor(&challenge, &code).await?;
            }
            None => return Err(login_error(error, &email, args.register)),
        },
    }
    context.credentials.set_current(&context.server).map_err(stored)?;
    drop(lock);
    if args.register {
        first_board(&client, &name).await?;
    }
    let session = serde_json::json!({ "server": context.server, "email": email });
    // Somebody without a team cannot do anything yet. That this cannot be known is no reason to fail: the session holds.
    let lacks_team = !context.json && client.me().await.is_ok_and(|me| me.teams.is_empty());
    context.show(&session, |_| {
        let signed_in = format!("signed in at {} as {email}", context.server);
        if lacks_team { context.next(&format!("{signed_in}; {}", find::NO_TEAM), find::FIRST_BOARD) } else { signed_in }
    })
}

/// What the second step of a login takes, where the first was right and there is one.
fn challenge(error: &Error) -> Option<String> {
    let problem = error.problem().filter(|problem| problem.code == ProblemCode::SecondFactorRequired)?;
    problem.challenge.clone()
}

fn code(args: &Login) -> Outcome<String> {
    match &args.code {
        Some(code) => Ok(code.clone()),
        None => prompt::line("Code of your authenticator, or a recovery code", "give it with --code CODE"),
    }
}

/// Keeps an API token, when it is good.
async fn login_by_token(context: &Context) -> Outcome {
    let token = prompt::stdin()?.trim().to_owned();
    let me = context.session_client()?.with_api_token(&token).me().await?;
    let session = context.credentials.on(&context.server);
    let stored = |error: std::io::Error| Failure::from(Error::Store(error));
    let lock = session.lock().await.map_err(stored)?;
    context.credentials.set_api_token(&context.server, Some(token)).map_err(stored)?;
    context.credentials.set_current(&context.server).map_err(stored)?;
    drop(lock);
    let said = serde_json::json!({ "server": context.server, "name": me.name });
    context.show(&said, |_| {
        crate::style::clean_lines(&format!("signed in at {} as {}, by an API token", context.server, me.name))
    })
}

/// What is to be done where nobody is let in. The server does not say whether it is because of the password, or
/// because the address was not verified yet.
fn login_error(error: Error, email: &str, registered: bool) -> Failure {
    let verify = format!("follow the e-mail with `restroy verify-email TOKEN`, then `restroy login {email}`");
    match error.problem() {
        Some(problem) if problem.code != ProblemCode::InvalidCredentials => error.into(),
        None => error.into(),
        Some(_) if registered => Failure::new("not signed in yet: a new account's e-mail address is verified first")
            .with_code(code::NO_ACCESS)
            .help(format!("{verify}; an existing account keeps its password")),
        Some(_) => Failure::from(error).help(format!(
            "try again; a new account: {verify}; none yet: `restroy login --register`; another password: \
             `restroy password {email}`"
        )),
    }
}

/// Verifies the address of a new account.
pub(crate) async fn verify_email(context: &Context, token: &str, password_stdin: bool) -> Outcome {
    let password = prompt::password(password_stdin, false)?;
    context.client()?.verify_email(token, &password).await?;
    let verified = serde_json::json!({ "server": context.server });
    context.show(&verified, |_| "the address is verified; sign in with `restroy login`".to_owned())
}

/// A place to push to, for those who have none.
async fn first_board(client: &Client, name: &str) -> Outcome {
    if client.me().await?.teams.is_empty() {
        let name: String = format!("Team of {name}").chars().take(64).collect();
        let team = client.create_team(&NewTeam { name }).await?;
        let board = NewBoard { name: FIRST_BOARD.into(), ..NewBoard::default() };
        client.create_board(team.id, &board).await?;
    }
    Ok(())
}

/// Ends the session, or all of them. An API token is forgotten here; it continues elsewhere.
pub(crate) async fn logout(context: &Context, args: &Logout) -> Outcome {
    let stored = |error: std::io::Error| Failure::from(Error::Store(error));
    if context.credentials.api_token(&context.server).map_err(stored)?.is_some() {
        let session = context.credentials.on(&context.server);
        let lock = session.lock().await.map_err(stored)?;
        context.credentials.set_api_token(&context.server, None).map_err(stored)?;
        drop(lock);
        let said = serde_json::json!({ "server": context.server });
        return context.show(&said, |_| format!("forgot the API token for {}; it is still valid", context.server));
    }
    match context.session_client()?.logout(args.everywhere).await {
        Ok(()) | Err(Error::SignedOut { .. }) => {
            let session = serde_json::json!({ "server": context.server });
            context.show(&session, |_| format!("signed out at {}", context.server))
        }
        Err(error) => {
            let failure = Failure::from(error);
            Err(failure.help("forgot the session here; on the server it expires"))
        }
    }
}

/// Shows who is signed in.
pub(crate) async fn whoami(context: &Context) -> Outcome {
    let me = context.client()?.me().await?;
    context.show(&me, |me| {
        let mut lines = vec![format!("{} <{}> at {}", me.name, me.email, context.server)];
        lines.extend(me.teams.iter().map(|team| format!("  {} of {}", team.role, team.name)));
        crate::style::clean_lines(&lines.join("\n"))
    })
}
