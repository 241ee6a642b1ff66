//! What a team stores, in bytes, by what it is (`docs/adr/0021-quotas-and-storage.md`).
//!
//! Triggers count each row that a team may add, in the transaction that adds or removes it. On Postgres
//! they append to `storage_changes`, so that no two transactions of a team wait for each other;
//! [`fold`] sums these up in `team_storage` every second. SQLite has one writer, and its triggers write
//! `team_storage` at once. [`recount`] compares a part with what is there, and repairs it.

use restroy_sdk::{
    ids::TeamId,
    time::{Ambient, Timestamp},
};
use sqlx::{query, query_as, query_scalar};

use super::{Db, TeamTx, Tx, quota::Limit};
use crate::sql;

/// What a run takes beyond its parameters: its row, its task, their index entries.
pub const RUN: i64 = 2_048;
/// What a row of a run takes beyond its content.
pub const ROW: i64 = 512;
/// From how much of the limit on a team's owners are informed.
const WARN_PERCENT: i64 = 80;
/// Below how much they are informed again the next time.
const QUIET_PERCENT: i64 = 70;
/// How many changes are folded at once.
const FOLDED: i64 = 5_000;
/// How often a part is recounted, in microseconds.
const RECOUNT: i64 = 24 * 3_600_000_000;

/// A part of what a team stores: its name, and the statement that sums it up for the team `$1`.
macro_rules! parts {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal $sum:literal;)*) => {
        /// What the bytes of a team are.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum StoragePart { $($(#[doc = $doc])* $variant,)* }

        impl StoragePart {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in the database.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Compares what is counted with what is there, on one snapshot: what must be added to the count.
            fn drift(self) -> (&'static str, &'static str) {
                match self { $(Self::$variant => (
                    concat!("SELECT CAST(coalesce((", $sum, "), 0) - coalesce((
                         SELECT bytes FROM team_storage WHERE team_id = $1 AND part = $2), 0) AS BIGINT)"),
                    concat!("SELECT CAST(coalesce((", $sum, "), 0) - coalesce((
                         SELECT bytes FROM team_storage WHERE team_id = $1 AND part = $2), 0) - coalesce((
                         SELECT sum(bytes) FROM storage_changes WHERE team_id = $1 AND part = $2), 0) AS BIGINT)"),
                ),)* }
            }
        }
    };
}

// The sizes of rows are those of the triggers in migration 14.
parts! {
    /// Runs with their parameters, events, outputs, journal and artifacts.
    Runs = "runs" "SELECT sum(stored_bytes) FROM runs WHERE team_id = $1";
    /// Keys and values of the boards' stores.
    Kv = "kv"
        "SELECT sum(k.bytes + 256) FROM boards b JOIN kv_entries k ON k.board_id = b.id AND k.team_id = b.team_id
         WHERE b.team_id = $1";
    /// Versions of pipelines and library modules, with their sources.
    Versions = "versions"
        "SELECT coalesce((SELECT sum(bytes + 1024) FROM script_versions WHERE team_id = $1), 0)
              + coalesce((SELECT sum(bytes + 1024) FROM pipeline_versions WHERE team_id = $1), 0)
              + coalesce((SELECT sum(256) FROM pipeline_versions v
                          JOIN pipeline_version_scripts s ON s.version_id = v.id AND s.team_id = v.team_id
                          WHERE v.team_id = $1), 0)
              + coalesce((SELECT sum(256) FROM pipeline_versions v
                          JOIN pipeline_version_library l ON l.version_id = v.id AND l.team_id = v.team_id
                          WHERE v.team_id = $1), 0)
              + coalesce((SELECT sum(1024) FROM library_versions WHERE team_id = $1), 0)";
    /// Revisions of configuration.
    Configurations = "configurations"
        "SELECT sum(coalesce(octet_length(plain), 0) + coalesce(octet_length(sealed), 0) + 512)
         FROM configurations WHERE team_id = $1";
    /// Answers that are kept for repeats under an `Idempotency-Key`.
    Answers = "answers"
        "SELECT sum(coalesce(octet_length(answer), 0) + 512) FROM idempotency_keys WHERE scope = $1";
    /// E-mails of scripts.
    Emails = "emails"
        "SELECT sum(octet_length(recipients) + octet_length(subject) + octet_length(body_text)
                    + coalesce(octet_length(body_html), 0) + 512)
         FROM outbox WHERE team_id = $1";
}

/// How much a team stores, and how much it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageUsage {
    /// What it stores.
    pub bytes: i64,
    /// The limit `storage_bytes` in force.
    pub limit: i64,
}

impl StorageUsage {
    /// Whether that is more than it may be.
    pub fn is_over(self) -> bool {
        self.bytes > self.limit
    }

    /// Whether it comes near the limit: 80 % of it.
    pub fn is_near(self) -> bool {
        self.bytes >= percent_of(self.limit, WARN_PERCENT)
    }

    /// For people: what is wrong, and what helps.
    pub fn message(self) -> String {
        format!(
            "The team stores {} bytes; the limit is {} (`{}`). Delete runs, keys or versions that are not needed, or \
            shorten the retention of pipelines.",
            self.bytes,
            self.limit,
            Limit::StorageBytes.name()
        )
    }
}

/// So many percent of a limit.
fn percent_of(limit: i64, percent: i64) -> i64 {
    i64::try_from(i128::from(limit) * i128::from(percent) / 100).unwrap_or(i64::MAX)
}

/// The sum of what a team stores, and its limit: two expressions in which `$1` is the team, `$2` the limit's name and
/// `$3` its value in the plan.
macro_rules! stored_columns {
    (sqlite) => {
        "CAST(coalesce((SELECT sum(bytes) FROM team_storage WHERE team_id = $1), 0) AS BIGINT) AS bytes,
         CAST(coalesce((SELECT value FROM team_limits WHERE team_id = $1 AND name = $2), $3) AS BIGINT) AS value"
    };
    (postgres) => {
        "CAST(coalesce((SELECT sum(bytes) FROM team_storage WHERE team_id = $1), 0)
              + coalesce((SELECT sum(bytes) FROM storage_changes WHERE team_id = $1), 0) AS BIGINT) AS bytes,
         CAST(coalesce((SELECT value FROM team_limits WHERE team_id = $1 AND name = $2), $3) AS BIGINT) AS value"
    };
}
pub(super) use stored_columns;

/// What the transaction's team stores, with what the transaction itself has written.
pub async fn stored(tx: &mut TeamTx) -> Result<StorageUsage, sqlx::Error> {
    let team = tx.team();
    let statement = tx.pick(concat!("SELECT ", stored_columns!(sqlite)), concat!("SELECT ", stored_columns!(postgres)));
    let (bytes, limit): (i64, i64) = sql!(
        &mut **tx,
        fetch_one,
        query_as(statement).bind(team).bind(Limit::StorageBytes.name()).bind(Limit::StorageBytes.default())
    )?;
    Ok(StorageUsage { bytes, limit })
}

/// What the transaction's team stores, when that is more than it may be.
pub async fn above_limit(tx: &mut TeamTx) -> Result<Option<StorageUsage>, sqlx::Error> {
    Ok(Some(stored(tx).await?).filter(|stored| stored.is_over()))
}

/// What the transaction's team stores of each part.
pub async fn by_part(tx: &mut TeamTx) -> Result<Vec<(StoragePart, i64)>, sqlx::Error> {
    let team = tx.team();
    let statement = tx.pick(
        "SELECT part, bytes FROM team_storage WHERE team_id = $1",
        "SELECT part, CAST(sum(bytes) AS BIGINT) FROM (
             SELECT part, bytes FROM team_storage WHERE team_id = $1
             UNION ALL SELECT part, bytes FROM storage_changes WHERE team_id = $1) AS counted GROUP BY part",
    );
    let rows: Vec<(String, i64)> = sql!(&mut **tx, fetch_all, query_as(statement).bind(team))?;
    let of = |part: &StoragePart| rows.iter().find(|(name, _)| name == part.name()).map_or(0, |(_, bytes)| *bytes);
    Ok(StoragePart::ALL.iter().map(|part| (*part, of(part))).collect())
}

/// Counts what a run takes more than before. The run's row is held.
pub async fn add_to_run(tx: &mut TeamTx, run: restroy_sdk::ids::RunId, bytes: i64) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("UPDATE runs SET stored_bytes = stored_bytes + $3 WHERE team_id = $1 AND id = $2")
            .bind(team)
            .bind(run)
            .bind(bytes)
    )?;
    Ok(())
}

/// Sums up changes that were appended. Gives whether there may be more. What is left of a team that is gone is
/// dropped.
pub async fn fold(db: &Db) -> Result<bool, sqlx::Error> {
    if !db.is_shared() {
        return Ok(false);
    }
    let mut tx = db.system_write().await?;
    let folded: i64 = sql!(
        &mut tx,
        fetch_one,
        query_scalar(
            "WITH due AS (SELECT id FROM storage_changes ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED),
                  gone AS (DELETE FROM storage_changes WHERE id IN (SELECT id FROM due) RETURNING team_id, part, bytes),
                  sums AS (SELECT g.team_id, g.part, CAST(sum(g.bytes) AS BIGINT) AS bytes
                           FROM gone g JOIN teams t ON t.id = g.team_id GROUP BY g.team_id, g.part),
                  folded AS (INSERT INTO team_storage (team_id, part, bytes)
                             SELECT team_id, part, bytes FROM sums ORDER BY team_id, part
                             ON CONFLICT (team_id, part) DO UPDATE SET bytes = team_storage.bytes + excluded.bytes)
             SELECT count(*) FROM gone"
        )
        .bind(FOLDED)
    )?;
    tx.commit().await?;
    Ok(folded >= FOLDED)
}

/// Recounts the part that was not recounted for longest, if that is a day ago, and repairs it. Gives the bytes by
/// which it was wrong, or nothing when nothing is due.
pub async fn recount(db: &Db, ambient: &Ambient) -> Result<Option<i64>, sqlx::Error> {
    let now = ambient.now();
    let mut tx = db.system_read().await?;
    let due: Option<(TeamId, String)> = sql!(
        &mut tx,
        fetch_optional,
        query_as(
            "SELECT team_id, part FROM team_storage WHERE recounted_at <= $1 ORDER BY recounted_at, team_id, part LIMIT 1"
        )
        .bind(Timestamp(now.micros().saturating_sub(RECOUNT)))
    )?;
    drop(tx);
    let Some((team, name)) = due else { return Ok(None) };
    // One that a newer version counts is left to it.
    let drift = match StoragePart::ALL.iter().find(|part| part.name() == name) {
        Some(part) => drift(db, team, *part).await?,
        None => 0,
    };
    if drift != 0 {
        tracing::warn!(%team, part = name, bytes = drift, "a team's storage count was wrong and has been corrected");
    }
    let mut tx = db.team_write(team).await?;
    // Added, not set: what was counted since stays counted.
    sql!(
        &mut *tx,
        execute,
        query("UPDATE team_storage SET bytes = bytes + $3, recounted_at = $4 WHERE team_id = $1 AND part = $2")
            .bind(team)
            .bind(name)
            .bind(drift)
            .bind(now)
    )?;
    tx.commit().await?;
    Ok(Some(drift))
}

async fn drift(db: &Db, team: TeamId, part: StoragePart) -> Result<i64, sqlx::Error> {
    let mut tx = db.team_read(team).await?;
    let (sqlite, postgres) = part.drift();
    let statement = tx.pick(sqlite, postgres);
    sql!(&mut *tx, fetch_one, query_scalar(statement).bind(team).bind(part.name()))
}

/// A team whose owners are to be told that it is nearly full.
#[derive(Debug, sqlx::FromRow)]
pub struct NearlyFullTeam {
    /// The team.
    pub team_id: TeamId,
    /// What it is called.
    pub name: String,
    /// What it stores.
    pub bytes: i64,
    /// What it may store.
    pub value: i64,
}

/// Notes which teams came near their limit since the last time, and which are far from it again. Gives the former:
/// each once for each crossing.
pub async fn mark_nearly_full(tx: &mut Tx, now: Timestamp, most: i64) -> Result<Vec<NearlyFullTeam>, sqlx::Error> {
    let rows: Vec<(TeamId, String, i64, i64, bool)> = sql!(
        tx,
        fetch_all,
        query_as(
            "SELECT t.id, t.name, s.bytes, coalesce(l.value, $1) AS value, t.storage_warned_at IS NOT NULL
             FROM (SELECT team_id, CAST(sum(bytes) AS BIGINT) AS bytes FROM team_storage GROUP BY team_id) AS s
             JOIN teams t ON t.id = s.team_id AND t.deleted_at IS NULL
             LEFT JOIN team_limits l ON l.team_id = s.team_id AND l.name = $2
             WHERE (t.storage_warned_at IS NULL AND s.bytes >= coalesce(l.value, $1) / 100 * $3)
                OR (t.storage_warned_at IS NOT NULL AND s.bytes < coalesce(l.value, $1) / 100 * $4)
             ORDER BY t.id LIMIT $5"
        )
        .bind(Limit::StorageBytes.default())
        .bind(Limit::StorageBytes.name())
        .bind(WARN_PERCENT)
        .bind(QUIET_PERCENT)
        .bind(most)
    )?;
    let mut warned = Vec::new();
    for (team_id, name, bytes, value, quiet) in rows {
        let at = (!quiet).then_some(now);
        sql!(tx, execute, query("UPDATE teams SET storage_warned_at = $2 WHERE id = $1").bind(team_id).bind(at))?;
        if !quiet {
            warned.push(NearlyFullTeam { team_id, name, bytes, value });
        }
    }
    Ok(warned)
}

/// The addresses of a team's owners who read e-mail, at most 20.
pub async fn owners(tx: &mut Tx, team: TeamId) -> Result<Vec<String>, sqlx::Error> {
    sql!(
        tx,
        fetch_all,
        query_scalar(
            "SELECT u.email FROM memberships m JOIN users u ON u.id = m.user_id
             WHERE m.team_id = $1 AND m.role = 'owner' AND u.deleted_at IS NULL AND u.email_verified_at IS NOT NULL
             ORDER BY u.id LIMIT 20"
        )
        .bind(team)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_eighty_percent() {
        for (bytes, limit, near, over) in
            [(79, 100, false, false), (80, 100, true, false), (100, 100, true, false), (101, 100, true, true)]
        {
            let stored = StorageUsage { bytes, limit };
            assert_eq!((stored.is_near(), stored.is_over()), (near, over), "{stored:?}");
        }
        assert!(percent_of(i64::MAX, 80) > 0);
    }
}
