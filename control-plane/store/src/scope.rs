//! What belongs to a team is reached through the team.

use std::ops::{Deref, DerefMut};

use restroy_sdk::ids::{BoardId, RunId, TeamId};
use sqlx::query;

use super::{Bypass, Tx};
use crate::sql;

/// A transaction within one team: every statement on a tenant table takes `team()` into its
/// condition, and on Postgres row-level security shows it no other team's rows. Made only by an
/// authorised caller, or by the services that act for a run (dispatch, run API),
/// which take the team from the run's own row or from the token of its task.
#[derive(Debug)]
pub struct TeamTx {
    tx: Tx,
    team: TeamId,
}

impl TeamTx {
    pub(super) fn new(tx: Tx, team: TeamId) -> Self {
        Self { tx, team }
    }

    /// Continues within a team that the transaction has just made.
    pub fn new_team(tx: Tx, team: TeamId) -> Self {
        Self { tx, team }
    }

    /// Continues within a team in a transaction that sees all of them: nothing but the conditions of its statements
    /// keeps it to the team.
    pub fn bypassing_rls(tx: Tx, team: TeamId, _why: Bypass) -> Self {
        Self { tx, team }
    }

    /// Leaves the team again.
    pub fn into_system(self) -> Tx {
        self.tx
    }

    /// Leaves the team for the rest of the transaction, which from now on sees all of them.
    pub async fn leave_bypassing_rls(mut self, _why: Bypass) -> Result<Tx, sqlx::Error> {
        if let Tx::Postgres(tx, _) = &mut self.tx {
            query("SET LOCAL ROLE restroy_system").execute(&mut **tx).await?;
        }
        Ok(self.tx)
    }

    /// The team.
    pub fn team(&self) -> TeamId {
        self.team
    }

    /// Holds a run's row until the transaction ends: whatever is written about the run, its tasks,
    /// steps and events is written by one transaction after the other. On SQLite there is one writer
    /// anyway.
    ///
    /// Locks are taken in one order, so that none waits for another in a circle: team, run, task,
    /// board.
    pub async fn lock_run(&mut self, run: RunId) -> Result<(), sqlx::Error> {
        if let Tx::Sqlite(..) = self.tx {
            return Ok(());
        }
        let team = self.team;
        sql!(
            &mut self.tx,
            execute,
            query("SELECT 1 FROM runs WHERE team_id = $1 AND id = $2 FOR NO KEY UPDATE").bind(team).bind(run)
        )?;
        Ok(())
    }

    /// Holds a board's row until the transaction ends: its store of keys and values is written by one
    /// transaction after the other. The last in the order of [`Self::lock_run`].
    pub async fn lock_board(&mut self, board: BoardId) -> Result<(), sqlx::Error> {
        if let Tx::Sqlite(..) = self.tx {
            return Ok(());
        }
        let team = self.team;
        sql!(
            &mut self.tx,
            execute,
            query("SELECT 1 FROM boards WHERE team_id = $1 AND id = $2 FOR NO KEY UPDATE").bind(team).bind(board)
        )?;
        Ok(())
    }

    /// Makes what was written last.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        self.tx.commit().await
    }
}

impl Deref for TeamTx {
    type Target = Tx;
    fn deref(&self) -> &Tx {
        &self.tx
    }
}

impl DerefMut for TeamTx {
    fn deref_mut(&mut self) -> &mut Tx {
        &mut self.tx
    }
}
