//! Typed identifiers: UUIDv7 (RFC 9562) in newtypes, so that a board's id never stands where a
//! pipeline's is meant. Strings in JSON, 16 bytes in the database.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An identifier that can be made from, and seen as, a plain UUID.
pub trait Id: Copy + From<Uuid> {
    /// The bare UUID.
    fn uuid(self) -> Uuid;
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, format = Uuid))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl Id for $name {
            fn uuid(self) -> Uuid {
                self.0
            }
        }
        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::from_str(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// A person with an account.
    UserId;
    /// A login: one family of refresh tokens.
    SessionId;
    /// A token for programs: of a person, or of a service account.
    ApiTokenId;
    /// A tenant.
    TeamId;
    /// A role of a team's own.
    RoleId;
    /// An invitation into a team.
    InvitationId;
    /// A board of a team.
    BoardId;
    /// A pipeline on a board.
    PipelineId;
    /// A schedule of a pipeline, across the versions that keep its name.
    ScheduleId;
    /// An immutable version of a pipeline.
    VersionId;
    /// A script of a pipeline, across its versions.
    ScriptId;
    /// An immutable version of a script's source.
    ScriptVersionId;
    /// A module of a team's library.
    LibraryModuleId;
    /// An immutable version of a library module.
    LibraryVersionId;
    /// One execution of a pipeline version.
    RunId;
    /// A leased piece of a run's work.
    TaskId;
    /// One attempt at one step.
    StepRunId;
    /// A process that executes tasks.
    ExecutorId;
    /// A file that a run kept.
    ArtifactId;
    /// A message in the outbox.
    MessageId;
    /// An entry of the audit log.
    AuditId;
}
