//! What starts runs, and how a run's row holds it.

use restroy_sdk::{
    api::trigger::{CallerKind, Trigger, TriggerKind},
    ids::{ApiTokenId, Id, ScheduleId, UserId},
    time::Timestamp,
};
use sqlx::FromRow;
use uuid::Uuid;

use crate::auth::Caller;

/// Who or what starts a run.
#[derive(Debug, Clone)]
pub enum Starter {
    /// A request.
    Manual {
        /// The account of the caller.
        user: UserId,
        /// What the caller identified as.
        by: CallerKind,
        /// The caller's API token, if there is one.
        token: Option<ApiTokenId>,
    },
    /// A schedule, for one of its times: a second run for the same time is impossible.
    Schedule {
        /// The schedule's id.
        id: ScheduleId,
        /// Its name.
        name: String,
        /// When the run is due.
        due_at: Timestamp,
    },
}

impl Starter {
    /// A caller of the API.
    pub fn caller(caller: &Caller) -> Self {
        let grant = caller.grant();
        let by = match &grant {
            None => CallerKind::User,
            Some(grant) if grant.of_service_account => CallerKind::ServiceAccount,
            Some(_) => CallerKind::ApiToken,
        };
        Self::Manual { user: caller.user_id, by, token: grant.map(|grant| grant.id) }
    }

    /// The account in the run's row, which a deletion of the account clears.
    pub(super) fn user(&self) -> Option<UserId> {
        match self {
            Self::Manual { user, .. } => Some(*user),
            Self::Schedule { .. } => None,
        }
    }

    /// The schedule in the run's row: with `fire_at` it is unique.
    pub(super) fn schedule(&self) -> Option<ScheduleId> {
        match self {
            Self::Manual { .. } => None,
            Self::Schedule { id, .. } => Some(*id),
        }
    }

    /// The trigger in the run's row.
    pub(super) fn columns(&self) -> TriggerColumns {
        match self {
            Self::Manual { by, token, .. } => TriggerColumns {
                trigger_kind: TriggerKind::Manual,
                trigger_by: Some(*by),
                trigger_id: token.map(Id::uuid),
                trigger_name: None,
                fire_at: None,
            },
            Self::Schedule { id, name, due_at } => TriggerColumns {
                trigger_kind: TriggerKind::Schedule,
                trigger_by: None,
                trigger_id: Some(id.uuid()),
                trigger_name: Some(name.clone()),
                fire_at: Some(*due_at),
            },
        }
    }
}

/// The columns of a run's row that hold its trigger.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct TriggerColumns {
    pub(super) trigger_kind: TriggerKind,
    pub(super) trigger_by: Option<CallerKind>,
    pub(super) trigger_id: Option<Uuid>,
    pub(super) trigger_name: Option<String>,
    pub(super) fire_at: Option<Timestamp>,
}

impl TriggerColumns {
    /// As the API shows it, for a run that `user` started, recorded at `created_at`.
    pub(crate) fn into_api(self, user: Option<UserId>, created_at: Timestamp) -> Trigger {
        match self.trigger_kind {
            TriggerKind::Manual => {
                let by = self.trigger_by.unwrap_or(CallerKind::User);
                let account = user.map(Id::uuid);
                Trigger::Manual { by, id: if by == CallerKind::ApiToken { self.trigger_id } else { account } }
            }
            // A run from before triggers were recorded, whose schedule was removed, has neither id nor name.
            TriggerKind::Schedule => Trigger::Schedule {
                id: self.trigger_id.unwrap_or_default().into(),
                name: self.trigger_name.unwrap_or_default(),
                due_at: self.fire_at.unwrap_or(created_at),
            },
        }
    }
}
