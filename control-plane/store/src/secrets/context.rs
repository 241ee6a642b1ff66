//! Where a sealed value belongs: the additional data that it is bound to.

use restroy_sdk::ids::{BoardId, Id, RunId, ScriptId, TeamId};

/// The place of a sealed value within its team.
#[derive(Debug, Clone, Copy)]
pub enum SealContext<'a> {
    /// A secret of a script's configuration.
    Configuration {
        /// The script.
        script: ScriptId,
        /// The secret's name.
        key: &'a str,
        /// Its revision.
        revision: i64,
    },
    /// A secret of a board's configuration.
    BoardConfiguration {
        /// The board.
        board: BoardId,
        /// The secret's name.
        key: &'a str,
        /// Its revision.
        revision: i64,
    },
    /// A secret of the team's configuration.
    TeamConfiguration {
        /// The secret's name.
        key: &'a str,
        /// Its revision.
        revision: i64,
    },
    /// The stored answer of a host call.
    HostCall {
        /// The run.
        run: RunId,
        /// The call's idempotency key.
        key: &'a str,
    },
}

impl SealContext<'_> {
    /// One encoding for one place: every part goes with its length.
    pub(super) fn bytes(&self, team: TeamId) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        match self {
            Self::Configuration { script, key, revision } => {
                put(&mut out, b"restroy/1/configuration");
                put(&mut out, team.uuid().as_bytes());
                put(&mut out, script.uuid().as_bytes());
                put(&mut out, key.as_bytes());
                put(&mut out, &revision.to_be_bytes());
            }
            Self::BoardConfiguration { board, key, revision } => {
                put(&mut out, b"restroy/1/board-configuration");
                put(&mut out, team.uuid().as_bytes());
                put(&mut out, board.uuid().as_bytes());
                put(&mut out, key.as_bytes());
                put(&mut out, &revision.to_be_bytes());
            }
            Self::TeamConfiguration { key, revision } => {
                put(&mut out, b"restroy/1/team-configuration");
                put(&mut out, team.uuid().as_bytes());
                put(&mut out, key.as_bytes());
                put(&mut out, &revision.to_be_bytes());
            }
            Self::HostCall { run, key } => {
                put(&mut out, b"restroy/1/host-call");
                put(&mut out, team.uuid().as_bytes());
                put(&mut out, run.uuid().as_bytes());
                put(&mut out, key.as_bytes());
            }
        }
        out
    }
}

fn put(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&(part.len() as u64).to_be_bytes());
    out.extend_from_slice(part);
}
