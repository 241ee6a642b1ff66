//! Replacing the teams' data keys: what to do when one may have been seen. A new one for every team, then all
//! that the old one sealed is sealed anew, a few at a time, then the old one goes. The service goes on
//! meanwhile; wherever it is broken off, another call goes on (`docs/adr/0020-data-key-rotation.md`).

use std::collections::BTreeMap;

use restroy_sdk::{
    ids::{BoardId, RunId, ScriptId, TeamId},
    time::Ambient,
};
use serde_json::json;
use sqlx::{query, query_as, query_scalar, types::Uuid};

use super::{RowLock, TeamKeyRow, load_for_team};
use crate::{
    Db, StoreError, TeamTx, audit,
    configuration::ConfigOwner,
    secrets::{KeyRing, SealContext, TeamKeys},
    sql,
};

/// How many teams are looked up at a time.
const TEAMS: i64 = 200;
/// How many secrets, each of some KiB, are sealed anew in a transaction.
const SECRETS: i64 = 100;
/// How many answers of calls, each of up to some MiB.
const ANSWERS: i64 = 10;

/// What replacing the data keys has come to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ReplaceReport {
    /// Whether it continues with what another call began.
    pub goes_on: bool,
    /// How many teams' old keys are gone.
    pub teams: u64,
    /// How many secrets of configurations were sealed anew.
    pub secrets: u64,
    /// How many answers of calls of active runs.
    pub answers: u64,
    /// How many of both did not open, and never will: they stay as they are.
    pub broken: u64,
    /// How many teams' data keys do not open with their master key; they stay as they are.
    pub unreadable: u64,
    /// How many teams' data keys are sealed with a master key that is not in the ring, by its id; they stay as they
    /// are.
    pub unknown: BTreeMap<String, u64>,
}

/// Gives every team a new data key, seals anew what the old one sealed, and removes the old one. Says how far it is
/// after every transaction. What was begun before and broken off is finished; teams that have a new key from then
/// on do not get another.
pub async fn replace(
    db: &Db,
    keys: &KeyRing,
    ambient: &Ambient,
    mut progress: impl FnMut(&ReplaceReport),
) -> Result<ReplaceReport, StoreError> {
    let (number, goes_on) = number(db).await?;
    let mut replaced = ReplaceReport { goes_on, ..ReplaceReport::default() };
    // All have the new one before any loses the old: who has neither an old one nor this number is to begin.
    let unbegun = for_each_team(
        db,
        keys,
        &mut replaced,
        TeamSelection::ToBegin(number),
        async |team, replaced: &mut ReplaceReport| {
            begin(db, keys, ambient, team, number).await?;
            progress(replaced);
            Ok(())
        },
    )
    .await?;
    let unfinished =
        for_each_team(db, keys, &mut replaced, TeamSelection::Begun, async |team, replaced: &mut ReplaceReport| {
            loop {
                while seal_secrets(db, keys, ambient, team, replaced).await? {
                    progress(replaced);
                }
                for run in runs(db, team).await? {
                    let mut after = String::new();
                    while let Some(last) = seal_answers(db, keys, ambient, (team, run), &after, replaced).await? {
                        after = last;
                        progress(replaced);
                    }
                }
                if finish(db, ambient, team).await? {
                    replaced.teams += 1;
                    progress(replaced);
                    return Ok(());
                }
            }
        })
        .await?;
    for left in [unbegun, unfinished] {
        replaced.unreadable += left.unreadable;
        for (id, teams) in left.unknown {
            *replaced.unknown.entry(id).or_default() += teams;
        }
    }
    Ok(replaced)
}

/// The number of the new keys: a greater one than any team has, or that of those that were begun.
async fn number(db: &Db) -> Result<(i64, bool), sqlx::Error> {
    let mut tx = db.system_read().await?;
    let (begun, greatest): (Option<i64>, Option<i64>) = sql!(
        &mut tx,
        fetch_one,
        query_as("SELECT max(CASE WHEN old_key_id IS NOT NULL THEN data_key_no END), max(data_key_no) FROM teams")
    )?;
    Ok((begun.unwrap_or(greatest.unwrap_or(0) + 1), begun.is_some()))
}

/// Which teams.
#[derive(Debug, Clone, Copy)]
enum TeamSelection {
    /// Those that are to get the key of that number.
    ToBegin(i64),
    /// Those that have two keys.
    Begun,
}

/// Teams that cannot be dealt with.
#[derive(Default)]
struct SkippedTeams {
    unreadable: u64,
    unknown: BTreeMap<String, u64>,
}

/// Does something with each of these teams, by id, until none is left that can be dealt with.
async fn for_each_team(
    db: &Db,
    keys: &KeyRing,
    replaced: &mut ReplaceReport,
    which: TeamSelection,
    mut act: impl AsyncFnMut(TeamId, &mut ReplaceReport) -> Result<(), StoreError>,
) -> Result<SkippedTeams, StoreError> {
    loop {
        let (mut last, mut acted, mut left) = (TeamId(Uuid::nil()), false, SkippedTeams::default());
        loop {
            let teams = next_teams(db, which, last).await?;
            let Some((newest, ..)) = teams.last() else { break };
            last = *newest;
            for (team, key_id, old_key_id) in teams {
                let unknown = |id: &String| !keys.ids().any(|known| known == id);
                if let Some(id) = [Some(key_id), old_key_id].into_iter().flatten().find(unknown) {
                    *left.unknown.entry(id).or_default() += 1;
                    continue;
                }
                match act(team, replaced).await {
                    Ok(()) => acted = true,
                    Err(StoreError::Secrets(error)) => {
                        tracing::error!(%team, %error, "the team's data key does not open");
                        left.unreadable += 1;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        if !acted {
            return Ok(left);
        }
    }
}

/// Some of these teams after `after`, with the ids of the master keys that seal theirs.
async fn next_teams(
    db: &Db,
    which: TeamSelection,
    after: TeamId,
) -> Result<Vec<(TeamId, String, Option<String>)>, sqlx::Error> {
    let mut tx = db.system_read().await?;
    let (statement, number) = match which {
        TeamSelection::ToBegin(number) => (
            "SELECT id, key_id, old_key_id FROM teams
             WHERE id > $1 AND data_key_no < $2 AND old_key_id IS NULL ORDER BY id LIMIT $3",
            number,
        ),
        TeamSelection::Begun => (
            "SELECT id, key_id, old_key_id FROM teams
             WHERE id > $1 AND data_key_no > $2 AND old_key_id IS NOT NULL ORDER BY id LIMIT $3",
            0,
        ),
    };
    sql!(&mut tx, fetch_all, query_as(statement).bind(after).bind(number).bind(TEAMS))
}

/// Gives a team the new key, which seals from now on; the old one still opens.
async fn begin(db: &Db, keys: &KeyRing, ambient: &Ambient, team: TeamId, number: i64) -> Result<(), StoreError> {
    let mut tx = db.team_write(team).await?;
    let Some(row) = TeamKeyRow::load(&mut tx, RowLock::Alone).await? else { return Ok(()) };
    if row.data_key_no >= number || row.old_key_id.is_some() {
        return Ok(());
    }
    // One that does not open now would leave all that it sealed behind.
    row.open(team, keys)?;
    let (data_key, key_id) = keys.new_team_key(ambient, team)?;
    sql!(
        &mut *tx,
        execute,
        query(
            "UPDATE teams SET old_data_key = data_key, old_key_id = key_id, data_key = $2, key_id = $3, data_key_no = $4
             WHERE id = $1"
        )
        .bind(team)
        .bind(data_key)
        .bind(key_id)
        .bind(number)
    )?;
    let entry = audit::Entry::new("team.data_key", "team", team)
        .before(json!({ "data_key_no": row.data_key_no }))
        .after(json!({ "data_key_no": number }));
    audit::record_by_operator(&mut tx, ambient, entry).await?;
    Ok(tx.commit().await?)
}

#[derive(sqlx::FromRow)]
struct SealedSecret {
    id: Uuid,
    script_id: Option<ScriptId>,
    board_id: Option<BoardId>,
    key: String,
    revision: i64,
    sealed: Vec<u8>,
    data_key_no: i64,
}

impl SealedSecret {
    fn place(&self, team: TeamId) -> ConfigOwner {
        match (self.script_id, self.board_id) {
            (Some(script), _) => ConfigOwner::Script(script),
            (None, Some(board)) => ConfigOwner::Board(board),
            (None, None) => ConfigOwner::Team(team),
        }
    }
}

/// Seals some of the team's secrets anew; whether there were any.
async fn seal_secrets(
    db: &Db,
    keys: &KeyRing,
    ambient: &Ambient,
    team: TeamId,
    replaced: &mut ReplaceReport,
) -> Result<bool, StoreError> {
    let mut tx = db.team_write(team).await?;
    let keys = load_for_team(&mut tx, keys).await?;
    let secrets: Vec<SealedSecret> = sql!(
        &mut *tx,
        fetch_all,
        query_as(
            "SELECT id, script_id, board_id, key, revision, sealed, data_key_no FROM configurations
             WHERE team_id = $1 AND sealed IS NOT NULL AND data_key_no < $2 LIMIT $3"
        )
        .bind(team)
        .bind(keys.number())
        .bind(SECRETS)
    )?;
    let mut counts = Counts::default();
    for secret in &secrets {
        let context = secret.place(team).seal(&secret.key, secret.revision);
        let sealed = counts.reseal(&keys, ambient, context, secret.data_key_no, &secret.sealed)?;
        // Who sets another value meanwhile takes this one away.
        sql!(
            &mut *tx,
            execute,
            query(
                "UPDATE configurations SET sealed = $3, data_key_no = $4
                 WHERE team_id = $1 AND id = $2 AND sealed IS NOT NULL AND data_key_no = $5"
            )
            .bind(team)
            .bind(secret.id)
            .bind(sealed)
            .bind(keys.number())
            .bind(secret.data_key_no)
        )?;
    }
    tx.commit().await?;
    replaced.secrets += counts.sealed;
    replaced.broken += counts.broken;
    Ok(!secrets.is_empty())
}

/// The team's active runs and have made calls. Of one that has ended the answers are never read again: they are
/// left, and cannot be opened when the key is gone.
async fn runs(db: &Db, team: TeamId) -> Result<Vec<RunId>, sqlx::Error> {
    let mut tx = db.team_read(team).await?;
    sql!(
        &mut *tx,
        fetch_all,
        query_scalar(
            "SELECT id FROM runs
             WHERE team_id = $1 AND status IN ('queued', 'running', 'waiting') AND journal_calls > 0 ORDER BY id"
        )
        .bind(team)
    )
}

/// Seals some of a run's answers anew, those after that of a key; the key of the last of them.
async fn seal_answers(
    db: &Db,
    keys: &KeyRing,
    ambient: &Ambient,
    (team, run): (TeamId, RunId),
    after: &str,
    replaced: &mut ReplaceReport,
) -> Result<Option<String>, StoreError> {
    let mut tx = db.team_write(team).await?;
    let keys = load_for_team(&mut tx, keys).await?;
    let answers: Vec<(String, Vec<u8>, i64)> = sql!(
        &mut *tx,
        fetch_all,
        query_as(
            "SELECT key, answer, data_key_no FROM host_calls
             WHERE team_id = $1 AND run_id = $2 AND key > $3 AND data_key_no < $4 ORDER BY key LIMIT $5"
        )
        .bind(team)
        .bind(run)
        .bind(after)
        .bind(keys.number())
        .bind(ANSWERS)
    )?;
    let mut counts = Counts::default();
    for (key, answer, number) in &answers {
        let sealed = counts.reseal(&keys, ambient, SealContext::HostCall { run, key }, *number, answer)?;
        sql!(
            &mut *tx,
            execute,
            query(
                "UPDATE host_calls SET answer = $4, data_key_no = $5
                 WHERE team_id = $1 AND run_id = $2 AND key = $3 AND data_key_no = $6"
            )
            .bind(team)
            .bind(run)
            .bind(key)
            .bind(sealed)
            .bind(keys.number())
            .bind(number)
        )?;
    }
    tx.commit().await?;
    replaced.answers += counts.sealed;
    replaced.broken += counts.broken;
    Ok(answers.into_iter().next_back().map(|(key, ..)| key))
}

#[derive(Default)]
struct Counts {
    sealed: u64,
    broken: u64,
}

impl Counts {
    /// A value sealed with the newest key. One that does not open is given back as it is.
    fn reseal(
        &mut self,
        keys: &TeamKeys,
        ambient: &Ambient,
        context: SealContext<'_>,
        number: i64,
        sealed: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let Ok(plain) = keys.open(context, number, sealed) else {
            self.broken += 1;
            return Ok(sealed.to_vec());
        };
        self.sealed += 1;
        Ok(keys.seal(ambient, context, &plain)?)
    }
}

/// Removes the team's old key, unless something is sealed with it; whether it is gone. The team's row is held:
/// nobody who read the keys before is still about to write.
async fn finish(db: &Db, ambient: &Ambient, team: TeamId) -> Result<bool, StoreError> {
    let mut tx = db.team_write(team).await?;
    let Some(row) = TeamKeyRow::load(&mut tx, RowLock::Alone).await? else { return Ok(true) };
    if row.old_key_id.is_none() {
        return Ok(true);
    }
    if is_needed(&mut tx, row.data_key_no).await? {
        return Ok(false);
    }
    let statement = "UPDATE teams SET old_data_key = NULL, old_key_id = NULL WHERE id = $1";
    sql!(&mut *tx, execute, query(statement).bind(team))?;
    let entry = audit::Entry::new("team.data_key_removed", "team", team).details(json!({ "until": row.data_key_no }));
    audit::record_by_operator(&mut tx, ambient, entry).await?;
    tx.commit().await?;
    Ok(true)
}

/// Whether something that is still read is sealed with a key before that number.
async fn is_needed(tx: &mut TeamTx, number: i64) -> Result<bool, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar(
            "SELECT EXISTS (SELECT 1 FROM configurations
                            WHERE team_id = $1 AND sealed IS NOT NULL AND data_key_no < $2)
                 OR EXISTS (SELECT 1 FROM runs r JOIN host_calls h ON h.team_id = r.team_id AND h.run_id = r.id
                            WHERE r.team_id = $1 AND r.status IN ('queued', 'running', 'waiting')
                              AND r.journal_calls > 0 AND h.data_key_no < $2)"
        )
        .bind(team)
        .bind(number)
    )
}
