//! Who may give what to whom: nobody gives what they do not hold, nobody acts on somebody who holds
//! more than they do.

use restroy_sdk::problem::ProblemCode;

use super::Permissions;
use crate::error::{ApiError, ApiResult};

/// How many missing permissions a refusal names.
const NAMED: usize = 5;

/// Refuses with 403 to give permissions that the giver does not hold.
pub fn ensure_can_grant(held: Permissions, given: Permissions) -> ApiResult<()> {
    forbidden(held, given, "That would grant more than you have")
}

/// Refuses with 403 to act on somebody, or on a role, that holds more.
pub fn ensure_can_manage(held: Permissions, theirs: Permissions) -> ApiResult<()> {
    forbidden(held, theirs, "They have more permissions than you")
}

fn forbidden(held: Permissions, wanted: Permissions, why: &str) -> ApiResult<()> {
    let missing: Vec<String> = wanted.iter().filter(|one| !held.contains(*one)).map(|one| format!("`{one}`")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let more = if missing.len() > NAMED { ", …" } else { "" };
    let named = missing.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    Err(ApiError::with(ProblemCode::Forbidden, format!("{why}: you lack {named}{more}.")))
}
