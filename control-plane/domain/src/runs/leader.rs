//! Who leads: of all replicas one at a time does a certain work. A lease in the database, renewed
//! by the work itself, in the work's own transaction: a replica that was taken for dead and wakes
//! up finds the lease in other hands, and does nothing.

use std::time::Duration;

use restroy_sdk::time::Timestamp;
use sqlx::query;
use uuid::Uuid;

use crate::{
    DomainResult, sql,
    state::DomainState,
    store::{Db, Tx},
};

/// How long a leader that does nothing stays the leader.
const LEASE: Duration = Duration::from_secs(10);
/// How long a leader continues before it renews its lease.
const RENEWED_FOR: Duration = Duration::from_secs(3);

/// Takes or renews the lead for the work of this transaction; false when another replica has it.
/// The lease's fence counts the changes of hand.
pub(crate) async fn acquire(tx: &mut Tx, work: &str, replica: Uuid, now: Timestamp) -> DomainResult<bool> {
    let taken = sql!(
        tx,
        execute,
        query(
            "INSERT INTO leader_leases (name, owner, fence, lease_until) VALUES ($1, $2, 1, $3)
             ON CONFLICT (name) DO UPDATE SET
                 owner = excluded.owner, lease_until = excluded.lease_until,
                 fence = leader_leases.fence + CASE WHEN leader_leases.owner = excluded.owner THEN 0 ELSE 1 END
             WHERE leader_leases.owner = excluded.owner OR leader_leases.lease_until < $4"
        )
        .bind(work)
        .bind(replica)
        .bind(now.after(LEASE))
        .bind(now)
    )?;
    Ok(taken.rows_affected() > 0)
}

/// The lead for a work that takes transactions of its own, pass after pass. What a replica still does
/// that has just lost the lead changes nothing twice: each of those transactions compares and sets.
#[derive(Debug)]
pub(crate) struct Leadership {
    work: &'static str,
    renewed: Option<Timestamp>,
}

impl Leadership {
    pub(crate) fn for_work(work: &'static str) -> Self {
        Self { work, renewed: None }
    }

    /// Whether this replica is to do the work now. An embedded installation has no other.
    pub(crate) async fn is_leader(&mut self, state: &DomainState) -> DomainResult<bool> {
        if !state.db.is_shared() {
            return Ok(true);
        }
        let now = state.ambient.now();
        if self.renewed.is_some_and(|renewed| renewed <= now && now.since(renewed) < RENEWED_FOR) {
            return Ok(true);
        }
        let mut tx = state.db.system_write().await?;
        let leads = acquire(&mut tx, self.work, state.replica, now).await?;
        tx.commit().await?;
        self.renewed = leads.then_some(now);
        Ok(leads)
    }
}

/// Gives up whatever a replica leads, so that another does at once instead of after [`LEASE`]. The
/// fence stays as it is: the next change of hand raises it.
pub(crate) async fn resign(db: &Db, replica: Uuid, now: Timestamp) -> DomainResult<()> {
    let mut tx = db.system_write().await?;
    sql!(
        &mut tx,
        execute,
        query("UPDATE leader_leases SET lease_until = $2 WHERE owner = $1 AND lease_until > $2")
            .bind(replica)
            .bind(now.before(LEASE))
    )?;
    Ok(tx.commit().await?)
}
