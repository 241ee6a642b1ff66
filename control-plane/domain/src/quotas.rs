//! How much of everything there may be; an error at the limit names it.

use restroy_store::{TeamTx, quota::Limit, sources, storage};

use crate::{DomainError, DomainResult};

/// Teams that a person owns.
pub const TEAMS_PER_OWNER: i64 = 20;
/// Teams that a person is in, when they accept an invitation.
pub const TEAMS_PER_PERSON: i64 = 200;
/// Roles of a team's own.
pub const ROLES_PER_TEAM: i64 = 50;
/// Members of a team.
pub const MEMBERS_PER_TEAM: i64 = 1_000;
/// Invitations of a team that wait.
pub const PENDING_INVITATIONS: i64 = 100;
/// Invitations that a team sends in 24 hours, whatever becomes of them.
pub const INVITATIONS_PER_DAY: i64 = 500;
/// Invitations that a person sends in 24 hours, in all teams together, deleted ones among them, by themselves and by
/// tokens that they made.
pub const INVITATIONS_PER_PERSON: i64 = 100;
/// E-mails with invitations that an address gets in 24 hours, from all teams.
pub const INVITATIONS_TO_ADDRESS: i64 = 20;
/// API tokens of an account that are good at once.
pub const TOKENS_PER_ACCOUNT: i64 = 50;
/// Service accounts of a team.
pub const SERVICE_ACCOUNTS_PER_TEAM: i64 = 50;
/// Pipelines on a board, with those deleted within 30 days.
pub const PIPELINES_WITH_DELETED: i64 = 20_000;
/// Boards of a team.
pub const BOARDS_PER_TEAM: i64 = 100;
/// Pipelines on a board.
pub const PIPELINES_PER_BOARD: i64 = 10_000;
/// Versions of a pipeline.
pub const VERSIONS_PER_PIPELINE: i64 = 10_000;
/// Schedules of a team.
pub const SCHEDULES_PER_TEAM: i64 = 500;
/// Modules of a team's library.
pub const MODULES_PER_LIBRARY: i64 = 500;
/// Versions of a library module.
pub const VERSIONS_PER_MODULE: i64 = 1_000;
/// Plain configuration values of a script, a board, a team.
pub const VALUES_PER_PLACE: i64 = 200;
/// Secrets of a script, a board, a team.
pub const SECRETS_PER_PLACE: i64 = 50;
/// Keys of a script, a board, a team that were removed and cannot be forgotten yet.
pub const REMOVED_PER_PLACE: i64 = 1_000;
/// Revisions of a configuration key that cannot be forgotten yet.
pub const REVISIONS_PER_KEY: i64 = 5_000;
/// A configuration value, in bytes.
pub const MAX_VALUE: usize = 8 * 1024;
/// The least a secret must have, in bytes: what is shorter cannot be masked in outputs.
pub const MIN_SECRET: usize = 8;
/// A source, in bytes, whatever the team's own limit is.
pub const MAX_SOURCE: usize = 1024 * 1024;
/// Characters of the name of a person or a service account.
pub const MAX_PERSON: usize = 32;
/// Characters of any other name.
pub const MAX_NAME: usize = 64;
/// Characters of the description of a board, a role, a pipeline or a library module.
pub const MAX_DESCRIPTION: usize = 1024;
/// Characters of a version's message.
pub const MAX_MESSAGE: usize = 1024;

/// Refuses one more than there may be.
pub fn ensure_below_limit(present: i64, most: i64, what: &str) -> DomainResult<()> {
    if present < most {
        return Ok(());
    }
    Err(DomainError::limit_reached(format!("The limit is {most} {what}; delete one first.")))
}

/// The same for what counts until it is purged: deleting one makes no room.
pub fn ensure_below_limit_with_deleted(present: i64, most: i64, what: &str) -> DomainResult<()> {
    if present < most {
        return Ok(());
    }
    let detail = format!("The limit is {most} {what}, including those deleted in the last 30 days.");
    Err(DomainError::limit_reached(detail))
}

/// Refuses when the team's versions, with one that this transaction wrote, are more bytes than they may be, or all
/// that it stores is.
pub async fn ensure_sources_below_limit(tx: &mut TeamTx) -> DomainResult<()> {
    let Some((most, present)) = sources::above_limit(tx).await? else { return ensure_storage_below_limit(tx).await };
    let name = Limit::VersionBytes.name();
    let detail = format!(
        "The team's versions would have {present} bytes and may have {most} (limit `{name}`). What a deleted pipeline has \
         is free 30 days later, what a deleted library module has at once."
    );
    Err(DomainError::named_limit_reached(name, most, detail))
}

/// Refuses when the team, with what this transaction wrote, stores more than it may.
pub async fn ensure_storage_below_limit(tx: &mut TeamTx) -> DomainResult<()> {
    match storage::above_limit(tx).await? {
        Some(stored) => Err(DomainError::storage_full(stored)),
        None => Ok(()),
    }
}
