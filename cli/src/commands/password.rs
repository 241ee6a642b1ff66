//! `restroy password`.

use restroy_sdk::api::auth::ConfirmPasswordReset;

use crate::{args::Password, context::Context, failure::Outcome, prompt};

/// Asks for the e-mail, or chooses another password with the token from it.
pub(crate) async fn password(context: &Context, args: &Password) -> Outcome {
    let client = context.session_client()?;
    let Some(token) = &args.token else {
        let accepted = client.request_password_reset(args.email.as_deref().unwrap_or_default()).await?;
        return context.show(&accepted, |accepted| {
            format!("{}\nthen: restroy password --token TOKEN", crate::style::clean_lines(&accepted.message))
        });
    };
    let password = prompt::password(args.stdin, true)?;
    let reset = ConfirmPasswordReset { token: token.clone(), password, revoke_api_tokens: !args.keep_tokens };
    client.confirm_password_reset(&reset).await?;
    let said = serde_json::json!({ "server": context.server });
    let ended = if args.keep_tokens { "every session" } else { "every session and API token" };
    context.show(&said, |_| format!("the new password is set, and {ended} has ended; sign in with `restroy login`"))
}
