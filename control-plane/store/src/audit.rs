//! The audit log: who did what, written in the transaction that does it. The database lets nobody change
//! it, nor remove what is not old (`docs/adr/0022-audit-log.md`).

mod read;

use std::{net::IpAddr, time::Duration};

use restroy_sdk::{
    ids::{ApiTokenId, TeamId, UserId},
    time::{Ambient, Timestamp},
};
use serde_json::{Map, Value, json};
use sqlx::{query, query_scalar, types::Uuid};

use super::{TeamTx, Tx};
use crate::sql;

pub use read::{EntryFilter, EntryPage, list_for_account, list_for_team};

/// How long an entry is kept.
pub const RETENTION: Duration = Duration::from_hours(24 * 400);
/// The longest of each: details, what was before, what is after; as JSON, in bytes.
const MAX_STATE: usize = 4 * 1024;
/// How much of a long text in it is kept, when all of it is too long.
const MAX_TEXT: usize = 256;
/// How many attempts of a kind an account's log takes within [`ATTEMPTED_WITHIN`].
const MAX_ATTEMPTED: i64 = 20;
const ATTEMPTED_WITHIN: Duration = Duration::from_hours(1);

/// Who did it.
#[derive(Debug, Clone, Copy)]
pub struct Actor {
    /// The account.
    pub user: UserId,
    /// The API token that was shown, if it was one.
    pub token: Option<ApiTokenId>,
    /// Where the request came from, as far as that is known.
    pub address: Option<IpAddr>,
}

impl Actor {
    /// A person who shows no API token.
    pub fn user(user: UserId, address: Option<IpAddr>) -> Self {
        Self { user, token: None, address }
    }
}

/// What is noted.
#[derive(Debug)]
pub struct Entry<'a> {
    /// What was done, such as `board.create`.
    pub action: &'a str,
    /// Kind and id of what it was done to, such as `board 0198…`.
    pub subject: String,
    /// More about it; never a secret.
    pub details: Value,
    /// What was there; never a secret.
    pub before: Option<Value>,
    /// What is there now; never a secret.
    pub after: Option<Value>,
}

impl<'a> Entry<'a> {
    /// `action` on the thing of that kind and id.
    pub fn new(action: &'a str, kind: &str, id: impl std::fmt::Display) -> Self {
        Self { action, subject: format!("{kind} {id}"), details: Value::Object(Map::new()), before: None, after: None }
    }

    /// With more about it.
    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = details;
        self
    }

    /// With what was there, an object.
    #[must_use]
    pub fn before(mut self, before: Value) -> Self {
        self.before = Some(before);
        self
    }

    /// With what is there now, an object.
    #[must_use]
    pub fn after(mut self, after: Value) -> Self {
        self.after = Some(after);
        self
    }
}

/// Notes what was done in a team.
pub async fn record_in_team(
    tx: &mut TeamTx,
    ambient: &Ambient,
    actor: Actor,
    entry: Entry<'_>,
) -> Result<(), sqlx::Error> {
    let team = tx.team();
    write(tx, ambient, Some(team), Some(actor), entry).await
}

/// Notes what was done in a team for a run: on behalf of whoever started it, if it was a person.
pub async fn record_for_run(
    tx: &mut TeamTx,
    ambient: &Ambient,
    started_by: Option<UserId>,
    entry: Entry<'_>,
) -> Result<(), sqlx::Error> {
    let team = tx.team();
    write(tx, ambient, Some(team), started_by.map(|user| Actor::user(user, None)), entry).await
}

/// Notes what an operator did in a team, on the database itself.
pub async fn record_by_operator(tx: &mut TeamTx, ambient: &Ambient, entry: Entry<'_>) -> Result<(), sqlx::Error> {
    let team = tx.team();
    write(tx, ambient, Some(team), None, entry).await
}

/// Notes what nobody did: what time did to something of a team.
pub async fn record_by_system(tx: &mut TeamTx, ambient: &Ambient, entry: Entry<'_>) -> Result<(), sqlx::Error> {
    let team = tx.team();
    write(tx, ambient, Some(team), None, entry).await
}

/// Notes what an operator did to the installation itself. Of no team and no account: it is read where it was
/// done, in the database.
pub async fn record_for_installation(tx: &mut Tx, ambient: &Ambient, entry: Entry<'_>) -> Result<(), sqlx::Error> {
    write(tx, ambient, None, None, entry).await
}

/// Notes what was done to an account.
pub async fn record_for_user(
    tx: &mut Tx,
    ambient: &Ambient,
    actor: Actor,
    entry: Entry<'_>,
) -> Result<(), sqlx::Error> {
    write(tx, ambient, None, Some(actor), entry).await
}

/// What somebody tries on an account without getting in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptAction {
    /// To get in, or, within a session, to pass for its owner; why it failed.
    Failed(&'static str),
    /// To have an e-mail sent with which another password can be chosen.
    AskedReset,
}

/// Notes what somebody tried on an account, unless the same was tried too often of late: then the entries that are
/// there tell enough. Of each kind and reason so many are kept, so that guesses of one kind do not hide another.
pub async fn record_attempt(
    tx: &mut Tx,
    ambient: &Ambient,
    actor: Actor,
    what: AttemptAction,
) -> Result<(), sqlx::Error> {
    let (action, details) = match what {
        AttemptAction::Failed(reason) => ("session.login_failed", json!({ "reason": reason })),
        AttemptAction::AskedReset => ("user.password_reset_asked", json!({})),
    };
    let since = ambient.now().before(ATTEMPTED_WITHIN);
    let noted: i64 = sql!(
        &mut *tx,
        fetch_one,
        query_scalar(
            "SELECT count(*) FROM audit_log
             WHERE user_id = $1 AND team_id IS NULL AND id >= $2 AND action = $3 AND details = $4 AND created_at > $5"
        )
        .bind(actor.user)
        .bind(first_id(since))
        .bind(action)
        .bind(details.to_string())
        .bind(since)
    )?;
    if noted >= MAX_ATTEMPTED {
        return Ok(());
    }
    let entry = Entry::new(action, "user", actor.user).details(details);
    write(tx, ambient, None, Some(actor), entry).await
}

async fn write(
    tx: &mut Tx,
    ambient: &Ambient,
    team: Option<TeamId>,
    actor: Option<Actor>,
    entry: Entry<'_>,
) -> Result<(), sqlx::Error> {
    let id: Uuid = ambient.uuid();
    sql!(
        tx,
        execute,
        query(
            "INSERT INTO audit_log (id, team_id, user_id, token_id, address, action, subject, details, state_before,
                                    state_after, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
        )
        .bind(id)
        .bind(team)
        .bind(actor.map(|actor| actor.user))
        .bind(actor.and_then(|actor| actor.token))
        .bind(actor.and_then(|actor| actor.address).map(|address| address.to_canonical().to_string()))
        .bind(entry.action)
        .bind(entry.subject)
        .bind(bounded(&entry.details))
        .bind(entry.before.as_ref().map(bounded))
        .bind(entry.after.as_ref().map(bounded))
        .bind(ambient.now())
    )?;
    Ok(())
}

/// As JSON. Where that is too long, long texts in it are cut; where that does not help, only how long it is.
fn bounded(state: &Value) -> String {
    let text = state.to_string();
    if text.len() <= MAX_STATE {
        return text;
    }
    let short = cut(state).to_string();
    if short.len() <= MAX_STATE { short } else { json!({ "too_long": true, "bytes": text.len() }).to_string() }
}

/// The same with the beginning of each long text in an object.
fn cut(state: &Value) -> Value {
    let Value::Object(fields) = state else { return state.clone() };
    let fields = fields.iter().map(|(name, value)| {
        let value = match value {
            Value::String(text) if text.len() > MAX_TEXT => {
                format!("{}… ({} bytes)", &text[..text.floor_char_boundary(MAX_TEXT)], text.len()).into()
            }
            other => other.clone(),
        };
        (name.clone(), value)
    });
    Value::Object(fields.collect())
}

/// Less than every id that is made at that moment or later (UUIDv7: RFC 9562, section 5.7). A minute is
/// left for clocks that differ.
pub(super) fn first_id(at: Timestamp) -> Uuid {
    let millis = u128::try_from(at.before(Duration::from_mins(1)).micros() / 1000).unwrap_or(0);
    Uuid::from_u128(millis.min((1 << 48) - 1) << 80)
}

/// Entries with smaller ids are old enough to go.
pub fn oldest_kept(now: Timestamp) -> Uuid {
    first_id(now.before(RETENTION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_bound_times() {
        let ambient = Ambient::system();
        let (before, id) = (ambient.now(), ambient.uuid());
        assert!(first_id(before) < id);
        assert!(id < first_id(before.after(Duration::from_mins(2))));
        assert!(first_id(Timestamp(i64::MIN)) == Uuid::nil() && first_id(Timestamp(i64::MAX)) > id);
    }

    #[test]
    fn too_long_a_text_is_reported() {
        assert_eq!(bounded(&json!({ "a": 1 })), r#"{"a":1}"#);
        let told = |state: Value| serde_json::from_str::<Value>(&bounded(&state)).unwrap();
        let cut = format!("{}… ({MAX_STATE} bytes)", "x".repeat(MAX_TEXT));
        assert_eq!(told(json!({ "a": "x".repeat(MAX_STATE), "b": 1 })), json!({ "a": cut, "b": 1 }));
        let list = json!({ "a": ["x".repeat(MAX_STATE)] });
        assert_eq!(told(list), json!({ "too_long": true, "bytes": MAX_STATE + 10 }));
    }
}
