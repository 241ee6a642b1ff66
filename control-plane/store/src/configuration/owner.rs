//! Whose configuration it is.

use restroy_sdk::ids::{BoardId, Id, ScriptId, TeamId};
use sqlx::types::Uuid;

use crate::secrets::SealContext;

/// Whose configuration it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigOwner {
    /// A script's own.
    Script(ScriptId),
    /// That of all scripts on a board.
    Board(BoardId),
    /// That of all scripts of a team.
    Team(TeamId),
}

/// How near to the script a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OwnerLevel {
    /// The script's own.
    Script,
    /// The board's.
    Board,
    /// The team's.
    Team,
}

impl OwnerLevel {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Board => "board",
            Self::Team => "team",
        }
    }
}

impl ConfigOwner {
    /// The id of the script, board or team; ids are unique, so that it names the place.
    pub fn id(self) -> Uuid {
        match self {
            Self::Script(id) => id.uuid(),
            Self::Board(id) => id.uuid(),
            Self::Team(id) => id.uuid(),
        }
    }

    /// How near it is.
    pub fn level(self) -> OwnerLevel {
        match self {
            Self::Script(_) => OwnerLevel::Script,
            Self::Board(_) => OwnerLevel::Board,
            Self::Team(_) => OwnerLevel::Team,
        }
    }

    /// Where a secret of this place is sealed for.
    pub(crate) fn seal(self, key: &str, revision: i64) -> SealContext<'_> {
        match self {
            Self::Script(script) => SealContext::Configuration { script, key, revision },
            Self::Board(board) => SealContext::BoardConfiguration { board, key, revision },
            Self::Team(_) => SealContext::TeamConfiguration { key, revision },
        }
    }
}
