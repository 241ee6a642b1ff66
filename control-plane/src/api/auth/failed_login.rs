//! Attempts on an account, in the log of the account that was meant.

use std::{net::IpAddr, sync::Arc};

use restroy_sdk::ids::UserId;

use crate::{
    error::ApiResult,
    state::AppState,
    store::audit::{self, Actor, AttemptAction},
};

/// Notes that somebody did not get in as `user`: nobody, when there is no such account. Beside the answer,
/// which therefore comes as soon, and says the same, whether the account exists or not.
pub(in crate::api) fn record_failed_login(
    state: &AppState,
    user: Option<UserId>,
    address: Option<IpAddr>,
    reason: &'static str,
) {
    tracing::info!(?user, ?address, reason, "an attempt to sign in failed");
    spawn_record(state, user, address, AttemptAction::Failed(reason));
}

/// Notes that somebody asked for another password of `user`'s, in the same way.
pub(super) fn record_reset_request(state: &AppState, user: Option<UserId>, address: Option<IpAddr>) {
    spawn_record(state, user, address, AttemptAction::AskedReset);
}

fn spawn_record(state: &AppState, user: Option<UserId>, address: Option<IpAddr>, what: AttemptAction) {
    let (Some(user), Ok(turn)) = (user, Arc::clone(&state.noting).try_acquire_owned()) else { return };
    let state = state.clone();
    tokio::spawn(async move {
        if let Err(error) = write(&state, Actor::user(user, address), what).await {
            tracing::warn!(problem = %error.0, "an attempt on an account is not in the audit log");
        }
        drop(turn);
    });
}

async fn write(state: &AppState, actor: Actor, what: AttemptAction) -> ApiResult<()> {
    let mut tx = state.db.system_write().await?;
    audit::record_attempt(&mut tx, &state.ambient, actor, what).await?;
    Ok(tx.commit().await?)
}
