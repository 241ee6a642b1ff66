//! `restroy second-factor`.

use restroy_client::Client;
use restroy_sdk::api::account::RecoveryCodes;
use serde_json::json;

use crate::{
    args::{SecondFactor, SecondFactorAction},
    context::Context,
    failure::Outcome,
    output, prompt,
    style::{clean, clean_lines},
};

/// Says whether it is on, or does what is asked for.
pub(crate) async fn second_factor(context: &Context, args: &SecondFactor) -> Outcome {
    let client = context.session_client()?;
    match &args.action {
        None => {
            let me = client.me().await?;
            context.show(&json!({ "on": me.two_factor }), |_| {
                if me.two_factor {
                    "on: signing in asks for a code".to_owned()
                } else {
                    "off; turn it on with `restroy second-factor on`".to_owned()
                }
            })
        }
        Some(SecondFactorAction::On { password_stdin }) => on(context, &client, *password_stdin).await,
        Some(SecondFactorAction::Confirm { code }) => show(context, &client.confirm_totp(code).await?, true),
        Some(SecondFactorAction::Codes { password_stdin }) => {
            let password = prompt::password(*password_stdin, false)?;
            show(context, &client.renew_recovery_codes(&password).await?, false)
        }
        Some(SecondFactorAction::Off { password_stdin }) => {
            client.remove_totp(&prompt::password(*password_stdin, false)?).await?;
            context.show(&json!({ "on": false }), |_| "off: signing in takes the password alone".to_owned())
        }
    }
}

async fn on(context: &Context, client: &Client, password_stdin: bool) -> Outcome {
    let new = client.begin_totp(&prompt::password(password_stdin, false)?).await?;
    if context.json {
        return context.show(&new, |_| String::new());
    }
    output::print(&format!(
        "Open this in your authenticator, as a link or a QR code:\n\n  {}\n\nor type the secret into it:\n\n  {}\n",
        clean(&new.uri),
        clean(&new.secret)
    ));
    if !prompt::is_interactive() {
        output::print("then, with the code that it shows: restroy second-factor confirm CODE");
        return Ok(());
    }
    let code = prompt::line("The code that it shows", "restroy second-factor confirm CODE")?;
    show(context, &client.confirm_totp(code.trim()).await?, true)
}

/// Shows recovery codes, this once.
fn show(context: &Context, codes: &RecoveryCodes, first: bool) -> Outcome {
    context.show(codes, |codes| {
        let head = if first {
            "on: signing in asks for a code now, and your other sessions have ended"
        } else {
            "the old recovery codes no longer work"
        };
        let lines: Vec<_> = codes.recovery_codes.iter().map(|code| format!("  {code}")).collect();
        clean_lines(&format!(
            "{head}\n\nFor the day on which the authenticator is lost; each is good once, and they are not shown again:\n\n{}",
            lines.join("\n")
        ))
    })
}
