//! Who may give what to whom: nobody gives what they do not hold, nobody acts on somebody who holds
//! more than they do.

use super::Permissions;
use crate::{DomainError, DomainResult};

/// How many missing permissions a refusal names.
const NAMED: usize = 5;

/// Refuses with 403 to give permissions that the giver does not hold.
pub fn ensure_can_grant(held: Permissions, given: Permissions) -> DomainResult<()> {
    forbidden(held, given, "That would grant more than you have")
}

/// Refuses with 403 to act on somebody, or on a role, that holds more.
pub fn ensure_can_manage(held: Permissions, theirs: Permissions) -> DomainResult<()> {
    forbidden(held, theirs, "They have more permissions than you")
}

fn forbidden(held: Permissions, wanted: Permissions, why: &str) -> DomainResult<()> {
    let missing: Vec<String> = wanted.iter().filter(|one| !held.contains(*one)).map(|one| format!("`{one}`")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let more = if missing.len() > NAMED { ", …" } else { "" };
    let named = missing.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    Err(DomainError::forbidden(format!("{why}: you lack {named}{more}.")))
}
