//! Whose configuration it is.

use restroy_sdk::ids::{BoardId, Id, ScriptId, TeamId};
use sqlx::types::Uuid;

use crate::secrets::Context;

/// Whose configuration it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A script's own.
    Script(ScriptId),
    /// That of all scripts on a board.
    Board(BoardId),
    /// That of all scripts of a team.
    Team(TeamId),
}

/// How near to the script a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The script's own.
    Script,
    /// The board's.
    Board,
    /// The team's.
    Team,
}

impl Level {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Board => "board",
            Self::Team => "team",
        }
    }
}

impl Place {
    /// The id of the script, board or team; ids are unique, so that it names the place.
    pub fn id(self) -> Uuid {
        match self {
            Self::Script(id) => id.uuid(),
            Self::Board(id) => id.uuid(),
            Self::Team(id) => id.uuid(),
        }
    }

    /// How near it is.
    pub fn level(self) -> Level {
        match self {
            Self::Script(_) => Level::Script,
            Self::Board(_) => Level::Board,
            Self::Team(_) => Level::Team,
        }
    }

    /// Where a secret of this place is sealed for.
    pub(in crate::store) fn seal(self, key: &str, revision: i64) -> Context<'_> {
        match self {
            Self::Script(script) => Context::Configuration { script, key, revision },
            Self::Board(board) => Context::BoardConfiguration { board, key, revision },
            Self::Team(_) => Context::TeamConfiguration { key, revision },
        }
    }
}
