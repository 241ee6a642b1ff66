//! The password once more, before what a stolen session alone must not do.

use restroy_sdk::{
    problem::{FieldError, Problem, ProblemCode},
    time::Timestamp,
};
use secrecy::SecretString;

use crate::{
    api::{auth::failed_login, http::SignInAttempt},
    auth::{Caller, limit::AttemptKind},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        Tx,
        users::{self, User},
    },
};

/// The caller's account, when the caller signed in and this is its password. A wrong one is 422 at `/password`;
/// attempts are counted like those to sign in.
pub(super) async fn verify_caller(
    state: &AppState,
    caller: Caller,
    attempt: &SignInAttempt,
    password: String,
) -> ApiResult<User> {
    caller.require_session()?;
    attempt.count(state, AttemptKind::Proof, &caller.user_id.to_string())?;
    let user = users::by_id(&mut state.db.system_read().await?, caller.user_id).await?;
    let user = user.ok_or_else(ApiError::not_found)?;
    let right = state.passwords.verify(SecretString::from(password), user.stored_password()).await?;
    if right {
        return Ok(user);
    }
    failed_login::record_failed_login(state, Some(user.id), caller.address, "wrong_password_in_session");
    Err(wrong_proof(if user.password_hash.is_empty() {
        "the account has no password; POST /v1/auth/password-reset sends an e-mail with which one can be chosen"
    } else {
        "not the account's password"
    }))
}

/// Begins a transaction that continues with what [`verify_caller`] found, if it still holds: the account is there, has
/// that password, and the session continues. Holds the account's row.
pub(super) async fn begin_verified(state: &AppState, caller: Caller, proved: &User, now: Timestamp) -> ApiResult<Tx> {
    let mut tx = state.db.system_write().await?;
    users::lock(&mut tx, proved.id).await?;
    caller.revalidate_in(&mut tx, now).await?;
    let user = users::by_id(&mut tx, proved.id).await?.ok_or_else(ApiError::not_found)?;
    if user.password_hash != proved.password_hash {
        return Err(wrong_proof("the password was changed at this moment"));
    }
    Ok(tx)
}

fn wrong_proof(detail: &str) -> ApiError {
    Problem::new(ProblemCode::Invalid).errors(vec![FieldError::new("/password", detail)]).into()
}
