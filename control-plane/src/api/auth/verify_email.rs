//! `POST /v1/auth/verify-email`

use axum::{extract::State, http::StatusCode};
use restroy_sdk::{
    api::auth::VerifyEmail,
    problem::{Fault, Problem, ProblemCode},
};

use super::register::Registration;
use crate::{
    api::http::Body,
    auth::{Attempt, token},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        audit::{self, Actor},
        one_time::{self, Purpose},
        users,
    },
};

/// Verifies an address with the token from the e-mail. The account gets the name and password of
/// the registration that the e-mail belonged to.
#[utoipa::path(
    post, path = "/v1/auth/verify-email", tag = "auth", request_body = VerifyEmail, security(()),
    responses((status = 204, description = "Verified; sign in")),
)]
pub(super) async fn verify_email(
    State(state): State<AppState>,
    attempt: Attempt,
    Body(body): Body<VerifyEmail>,
) -> ApiResult<StatusCode> {
    attempt.count(&state, &body.token)?;
    let peer = attempt.address;
    let now = state.ambient.now();
    let mut tx = state.db.system_write().await?;
    let spent = one_time::spend(&mut tx, Purpose::VerifyEmail, &token::hash(&body.token), now).await?;
    let Some((user, registration)) = spent.filter(|(_, registration)| !registration.is_empty()) else {
        return Err(refused());
    };
    let registration: Registration = serde_json::from_str(&registration)?;
    if users::verify(&mut tx, user, &registration.name, &registration.password_hash, now).await? {
        audit::of_user(
            &mut tx,
            &state.ambient,
            Actor::user(user, peer),
            audit::Entry::new("user.verify", "user", user),
        )
        .await?;
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn refused() -> ApiError {
    let fault = Fault::new("/token", "unknown, used or too old; register again to get another");
    Problem::new(ProblemCode::Invalid).errors(vec![fault]).into()
}
