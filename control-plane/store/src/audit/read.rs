//! Reading the audit log, newest first. A page looks at a bounded number of entries, however few of them are
//! wanted, and says where the next one continues.

use restroy_sdk::{
    api::audit::AuditEntry,
    ids::{ApiTokenId, AuditId, Id as _, UserId},
    time::Timestamp,
};
use sqlx::{query_as, query_scalar, types::Uuid};

use super::first_id;
use crate::{StoreError, TeamTx, Tx, sql};

/// How many entries a page looks at.
const LOOK_AT: i64 = 10_000;
/// Greater than every action with the same beginning, in the order of bytes.
const LAST: char = '\u{10FFFF}';

/// Which entries.
#[derive(Debug, Clone)]
pub struct EntryFilter {
    /// Whose action begins so.
    pub action: String,
    /// What this person did.
    pub user: Option<UserId>,
    /// What was done to this.
    pub subject: Option<String>,
    /// From this moment on.
    pub from: Timestamp,
    /// Before this moment.
    pub to: Timestamp,
}

/// What was found, and where to continue, if there may be more.
#[derive(Debug)]
pub struct EntryPage {
    /// The entries, newest first.
    pub entries: Vec<AuditEntry>,
    /// The place before which the next page starts.
    pub next: Option<AuditId>,
}

#[derive(sqlx::FromRow)]
struct AuditRow {
    id: AuditId,
    action: String,
    subject: String,
    user_id: Option<UserId>,
    user_name: Option<String>,
    token_id: Option<ApiTokenId>,
    address: Option<String>,
    details: String,
    state_before: Option<String>,
    state_after: Option<String>,
    created_at: Timestamp,
}

impl AuditRow {
    fn into_api(self) -> Result<AuditEntry, StoreError> {
        let stored = |text: Option<String>| text.map(|text| serde_json::from_str(&text)).transpose();
        Ok(AuditEntry {
            id: self.id,
            action: self.action,
            subject: self.subject,
            user_id: self.user_id,
            user_name: self.user_name,
            token_id: self.token_id,
            address: self.address,
            before: stored(self.state_before)?,
            after: stored(self.state_after)?,
            details: serde_json::from_str(&self.details)?,
            created_at: self.created_at,
        })
    }
}

macro_rules! select {
    ($whose:literal) => {
        concat!(
            "SELECT a.id, a.action, a.subject, a.user_id, u.name AS user_name, a.token_id, a.address, a.details,
                    a.state_before, a.state_after, a.created_at
             FROM audit_log a LEFT JOIN users u ON u.id = a.user_id
             WHERE ",
            $whose,
            " AND a.id < $2 AND a.id >= $3 AND a.action >= $4 AND a.action <= $5
               AND ($6 IS NULL OR a.user_id = $6) AND ($7 IS NULL OR a.subject = $7)
               AND a.created_at >= $8 AND a.created_at < $9
             ORDER BY a.id DESC LIMIT $10"
        )
    };
}

/// Where to look: the ids from `first` on and before `end`; `more` when older ones are left.
struct IdRange {
    first: Uuid,
    end: Uuid,
    more: bool,
}

impl IdRange {
    /// Before `before`, if that is given, and as the filter's times say.
    fn new(filter: &EntryFilter, before: Option<AuditId>) -> Self {
        // Ids tell the time to within a minute or two, which is enough to find the place.
        let end = first_id(filter.to.after(std::time::Duration::from_mins(3)));
        let end = before.map_or(end, |before| before.0.min(end));
        Self { first: first_id(filter.from), end, more: false }
    }

    /// Shortened to what a page looks at, where `edge` is the oldest entry of that.
    fn narrowed(self, edge: Option<Uuid>) -> Self {
        match edge {
            Some(edge) if edge > self.first => Self { first: edge, more: true, ..self },
            _ => self,
        }
    }

    fn page_of(&self, rows: Vec<AuditRow>, limit: usize) -> Result<EntryPage, StoreError> {
        let mut entries = rows.into_iter().map(AuditRow::into_api).collect::<Result<Vec<_>, _>>()?;
        let full = entries.len() > limit;
        entries.truncate(limit);
        let next = if full { entries.last().map(|entry| entry.id) } else { self.more.then(|| self.first.into()) };
        Ok(EntryPage { entries, next })
    }
}

/// The statement for the oldest entry that a page looks at.
macro_rules! edge {
    ($whose:literal) => {
        concat!(
            "SELECT a.id FROM audit_log a WHERE ",
            $whose,
            " AND a.id < $2 AND a.id >= $3 ORDER BY a.id DESC LIMIT 1 OFFSET $4"
        )
    };
}

/// Both statements of a page, for the entries that `$1` says.
macro_rules! statements {
    ($whose:literal) => {
        (edge!($whose), select!($whose))
    };
}

/// The team's entries, before `before`.
pub async fn list_for_team(
    tx: &mut TeamTx,
    filter: &EntryFilter,
    before: Option<AuditId>,
    limit: u32,
) -> Result<EntryPage, StoreError> {
    let team = tx.team();
    page(tx, statements!("a.team_id = $1"), team.uuid(), IdRange::new(filter, before), filter, limit).await
}

/// What was done to an account, and at its sign-ins, before `before`. Of the filter the user is the
/// account's own.
pub async fn list_for_account(
    tx: &mut Tx,
    account: UserId,
    filter: &EntryFilter,
    before: Option<AuditId>,
    limit: u32,
) -> Result<EntryPage, StoreError> {
    let statements = statements!("a.user_id = $1 AND a.team_id IS NULL");
    page(tx, statements, account.uuid(), IdRange::new(filter, before), filter, limit).await
}

async fn page(
    tx: &mut Tx,
    (edge, select): (&'static str, &'static str),
    whose: Uuid,
    span: IdRange,
    filter: &EntryFilter,
    limit: u32,
) -> Result<EntryPage, StoreError> {
    let edge: Option<Uuid> =
        sql!(&mut *tx, fetch_optional, query_scalar(edge).bind(whose).bind(span.end).bind(span.first).bind(LOOK_AT))?;
    let span = span.narrowed(edge);
    let rows: Vec<AuditRow> = sql!(
        tx,
        fetch_all,
        query_as(select)
            .bind(whose)
            .bind(span.end)
            .bind(span.first)
            .bind(&filter.action)
            .bind(format!("{}{LAST}", filter.action))
            .bind(filter.user)
            .bind(&filter.subject)
            .bind(filter.from)
            .bind(filter.to)
            .bind(i64::from(limit) + 1)
    )?;
    span.page_of(rows, limit as usize)
}
