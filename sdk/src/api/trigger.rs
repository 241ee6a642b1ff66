//! What starts runs, and the schedules of pipelines.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use restroy_model::trigger::{CallerKind, TriggerKind};

use crate::{
    document::{Misfire, Overlap},
    ids::{RunId, ScheduleId},
    status::RunStatus,
    time::Timestamp,
};

/// What started a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Trigger {
    /// A request to start it.
    Manual {
        /// What the caller identified as.
        by: CallerKind,
        /// The id of the user, API token or service account; null if the account was deleted.
        #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = Uuid))]
        id: Option<Uuid>,
    },
    /// A schedule of the pipeline.
    Schedule {
        /// The schedule's id. It may have been removed since.
        id: ScheduleId,
        /// Its name in the pipeline's document.
        name: String,
        /// When the run was due.
        due_at: Timestamp,
    },
    /// A kind that this client does not know.
    #[serde(other)]
    Unknown,
}

/// A schedule of a pipeline's published version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PipelineSchedule {
    /// The schedule's id.
    pub id: ScheduleId,
    /// Its name in the document, unique within the pipeline.
    pub name: String,
    /// Five fields: minute, hour, day of month, month, day of week.
    pub cron: String,
    /// An IANA time zone.
    pub timezone: String,
    /// What happens to times that passed while nothing ran.
    pub misfire: Misfire,
    /// What happens while the last run is active.
    pub overlap: Overlap,
    /// When it was paused; null while it is enabled. A paused schedule starts no runs.
    pub paused_at: Option<Timestamp>,
    /// The next times at which it is due, at most ten; none while it is paused or its board is archived.
    pub next: Vec<Timestamp>,
    /// The last run that it started; null if there is none or the caller may not read runs.
    pub last_run: Option<ScheduledRun>,
}

/// The last run that a schedule started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScheduledRun {
    /// The run's id.
    pub id: RunId,
    /// Its state.
    pub status: RunStatus,
    /// When it was due.
    pub due_at: Timestamp,
}
