//! What bringing back a board and bringing back a pipeline have in common: their schedules fire again.

use restroy_sdk::{
    document::Schedule,
    ids::{Id, ScheduleId, TeamId},
    time::Timestamp,
};

use crate::{
    auth::{Caller, Scope},
    error::ApiResult,
    runs::schedule::next_fire,
    state::AppState,
    store::{
        TeamTx, audit,
        schedules::{self, ScheduleOwner},
    },
};

/// Something that is being brought back.
pub(super) struct Restoration {
    /// To bring it back in.
    pub(super) tx: TeamTx,
    /// When it comes back.
    pub(super) now: Timestamp,
    schedules: Vec<(ScheduleId, Option<Timestamp>)>,
}

impl Restoration {
    /// Sees when its schedules fire next, before anything is held.
    pub(super) async fn begin(state: &AppState, scope: &Scope, of: ScheduleOwner) -> ApiResult<Self> {
        let mut tx = scope.read().await?;
        let stopped = schedules::list_stopped(&mut tx, of).await?;
        drop(tx);
        let now = state.ambient.now();
        let schedules = next_fire_times(state, scope.team(), stopped, now).await?;
        Ok(Self { tx: scope.write().await?, now, schedules })
    }

    /// Sets its schedules going, and writes down that it is back.
    pub(super) async fn finish(self, state: &AppState, caller: &Caller, entry: audit::Entry<'_>) -> ApiResult<()> {
        let mut tx = self.tx;
        for (schedule, next) in self.schedules {
            schedules::resume(&mut tx, schedule, next).await?;
        }
        audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// When schedules that were stopped fire next; what passed meanwhile passed. In a turn of the team.
async fn next_fire_times(
    state: &AppState,
    team: TeamId,
    stopped: Vec<(ScheduleId, Schedule)>,
    now: Timestamp,
) -> ApiResult<Vec<(ScheduleId, Option<Timestamp>)>> {
    if stopped.is_empty() {
        return Ok(Vec::new());
    }
    let search = move || stopped.into_iter().map(|(id, schedule)| (id, next_fire(&schedule, now))).collect();
    Ok(state.tenants.run(team.uuid(), search).await?)
}
