//! What starts runs.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ids::ScheduleId, time::Timestamp};

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

/// What the caller who starts a run identified as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(type_name = "TEXT", rename_all = "snake_case"))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CallerKind {
    /// A signed-in user.
    User,
    /// An API token of a user.
    ApiToken,
    /// A service account.
    ServiceAccount,
}

/// The kinds of triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(type_name = "TEXT", rename_all = "snake_case"))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TriggerKind {
    /// A request to start the run.
    Manual,
    /// A schedule of the pipeline.
    Schedule,
}
