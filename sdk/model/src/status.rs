//! The states of a run and of a step, and which may follow which. Terminal states are absorbing.

use serde::{Deserialize, Serialize};

macro_rules! status {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(type_name = "TEXT", rename_all = "snake_case"))]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every status, in the order of a life.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name used in the API and in the database.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

status! {
    /// The state of a run.
    RunStatus {
        /// Recorded, not claimed yet.
        Queued = "queued",
        /// An executor works on it.
        Running = "running",
        /// Only waiting steps remain.
        Waiting = "waiting",
        /// Every step that had to succeed did.
        Succeeded = "succeeded",
        /// A step failed, or the run could not be executed.
        Failed = "failed",
        /// Ended by a person or by its concurrency rule.
        Cancelled = "cancelled",
        /// Took longer than it was allowed.
        TimedOut = "timed_out",
    }
}

status! {
    /// The state of a step (of its newest attempt).
    StepStatus {
        /// Waits for what it needs, or for its turn.
        Pending = "pending",
        /// Its script runs.
        Running = "running",
        /// Sleeps, or waits for somebody.
        Waiting = "waiting",
        /// Returned an output.
        Succeeded = "succeeded",
        /// Ended with an error.
        Failed = "failed",
        /// Did not run: its `if` was false, or something it needs did not succeed.
        Skipped = "skipped",
        /// The run was cancelled.
        Cancelled = "cancelled",
        /// Took longer than its timeout.
        TimedOut = "timed_out",
    }
}

impl RunStatus {
    /// Whether nothing can follow.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::TimedOut)
    }

    /// Whether `next` may follow this.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Queued => next != Self::Queued,
            Self::Running => !matches!(next, Self::Queued | Self::Running),
            Self::Waiting => !matches!(next, Self::Queued | Self::Waiting),
            _ => false,
        }
    }
}

impl StepStatus {
    /// Whether nothing can follow for this attempt.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending | Self::Running | Self::Waiting)
    }

    /// Whether `next` may follow this within one attempt. Going back to pending is what the loss
    /// of a lease does to a step that was being executed.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Pending => next != Self::Pending,
            Self::Running => next != Self::Running,
            Self::Waiting => next != Self::Waiting,
            _ => false,
        }
    }
}
