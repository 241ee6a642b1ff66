//! What is asked for about addresses that have nothing to do with the installation: few e-mails go there, and no
//! answer says which addresses those are.

use std::{net::IpAddr, time::Duration};

use restroy_sdk::time::Timestamp;
use tokio::time::{Instant, sleep_until};

use crate::{
    error::ApiResult,
    state::AppState,
    store::{Tx, invitations, stranger_mails::EmailCause, users},
};

/// How long a registration is answered after at least: longer than hashing its password takes, and all the rest.
pub(super) const REGISTRATION_DURATION: Duration = Duration::from_millis(250);
/// How long a request for another password is answered after at least.
pub(super) const RESET_DURATION: Duration = Duration::from_millis(100);

/// Whether an e-mail may go to an address that no account has verified: always, if an invitation waits for it, else
/// within the limits of the installation. One that may is counted.
pub(super) async fn may_email(
    state: &AppState,
    tx: &mut Tx,
    email: &str,
    cause: EmailCause,
    from: Option<IpAddr>,
    now: Timestamp,
) -> ApiResult<bool> {
    if state.settings.dev || invitations::any_team_has_pending_for(tx, &users::fold(email), now).await? {
        return Ok(true);
    }
    let may = state.settings.stranger_mails.try_count(tx, &state.ambient, cause, from, now).await?;
    if !may {
        tracing::warn!(
            ?from,
            ?cause,
            "an e-mail to an address that nobody here knows is not sent: too many within the hour"
        );
    }
    Ok(may)
}

/// Waits until an answer may be given, so that its time does not tell what was done for it. On a developer's own
/// installation nobody asks who is not meant to know.
pub(super) async fn pad_response_time(state: &AppState, begun: Instant, least: Duration) {
    if !state.settings.dev {
        sleep_until(begun + least).await;
    }
}
