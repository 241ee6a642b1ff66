//! Failed attempts to sign in, in the log of the account that was meant.

use std::{net::IpAddr, sync::Arc};

use restroy_sdk::ids::UserId;

use crate::{
    error::ApiResult,
    state::AppState,
    store::audit::{self, Actor},
};

/// How many are being noted at once; beyond, an attempt is only told to the operator's log.
pub const NOTING: usize = 16;

/// Notes that somebody did not get in as `user`: nobody, when there is no such account. Beside the answer,
/// which therefore comes as soon, and says the same, whether the account exists or not.
pub(super) fn note(state: &AppState, user: Option<UserId>, address: Option<IpAddr>, reason: &'static str) {
    tracing::info!(?user, ?address, reason, "an attempt to sign in failed");
    let (Some(user), Ok(turn)) = (user, Arc::clone(&state.noting).try_acquire_owned()) else { return };
    let state = state.clone();
    tokio::spawn(async move {
        if let Err(error) = write(&state, Actor::user(user, address), reason).await {
            tracing::warn!(problem = %error.0, "a failed attempt to sign in is not in the audit log");
        }
        drop(turn);
    });
}

async fn write(state: &AppState, actor: Actor, reason: &'static str) -> ApiResult<()> {
    let mut tx = state.db.system_write().await?;
    audit::sign_in_failed(&mut tx, &state.ambient, actor, reason).await?;
    Ok(tx.commit().await?)
}
