//! What belongs to a team is reached through the team.

use std::ops::{Deref, DerefMut};

use restroy_sdk::ids::TeamId;

use super::Tx;

/// A transaction within one team: every statement on a tenant table takes `team()` into its
/// condition. Made only by an authorised [`crate::auth::Scope`], or by the services that act for a
/// run (dispatch, run API), which take the team from the run's own row.
#[derive(Debug)]
pub struct TeamTx {
    tx: Tx,
    team: TeamId,
}

impl TeamTx {
    /// Puts a transaction under a team.
    pub(crate) fn new(tx: Tx, team: TeamId) -> Self {
        Self { tx, team }
    }

    /// The team.
    pub fn team(&self) -> TeamId {
        self.team
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
