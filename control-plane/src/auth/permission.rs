//! The closed list of permissions, and the built-in roles as sets of them.

use std::{fmt, str::FromStr};

macro_rules! permissions {
    ($($(#[$doc:meta])* $variant:ident = $text:literal;)*) => {
        /// What a member of a team may do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Permission { $($(#[$doc])* $variant,)* }

        impl Permission {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

permissions! {
    /// See the team.
    TeamRead = "team.read";
    /// Rename the team.
    TeamEdit = "team.edit";
    /// See who is in the team.
    MemberRead = "member.read";
    /// See the e-mails that the team's runs sent.
    OutboxRead = "outbox.read";
    /// Make and remove service accounts and their tokens; see the tokens that reach the team, and stop them.
    TokenManage = "token.manage";
    /// See boards.
    BoardRead = "board.read";
    /// Make boards.
    BoardCreate = "board.create";
    /// Rename and describe boards.
    BoardEdit = "board.edit";
    /// Archive boards and bring them back.
    BoardArchive = "board.archive";
    /// Delete boards.
    BoardDelete = "board.delete";
    /// Read a board's key-value store.
    KvRead = "kv.read";
    /// See pipelines, their definitions and sources.
    PipelineRead = "pipeline.read";
    /// Make pipelines.
    PipelineCreate = "pipeline.create";
    /// Change and publish pipelines and their plain configuration.
    PipelineEdit = "pipeline.edit";
    /// Delete pipelines.
    PipelineDelete = "pipeline.delete";
    /// Publish a version that may do more than the last one.
    CapabilityGrant = "capability.grant";
    /// Set and remove secrets.
    SecretWrite = "secret.write";
    /// Start runs.
    PipelineRun = "pipeline.run";
    /// See runs, their events and artifacts.
    RunRead = "run.read";
    /// Cancel runs.
    RunCancel = "run.cancel";
}

impl Permission {
    /// Whether it is about a change that an archived board does not take. Bringing a board back,
    /// deleting and cancelling stay possible.
    pub fn changes_board(self) -> bool {
        matches!(
            self,
            Self::BoardEdit
                | Self::PipelineCreate
                | Self::PipelineEdit
                | Self::PipelineDelete
                | Self::CapabilityGrant
                | Self::SecretWrite
                | Self::PipelineRun
        )
    }
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions(u64);

impl Permissions {
    /// All there are.
    pub const ALL: Self = Self(u64::MAX >> (u64::BITS as usize - Permission::ALL.len()));

    /// Whether this one is among them.
    pub fn holds(self, permission: Permission) -> bool {
        self.0 & 1 << permission as u32 != 0
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether every one of `other` is among them.
    pub fn cover(self, other: Self) -> bool {
        self.and(other) == other
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<T: IntoIterator<Item = Permission>>(permissions: T) -> Self {
        Self(permissions.into_iter().fold(0, |bits, permission| bits | 1 << permission as u32))
    }
}

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        Self::ALL.iter().copied().find(|permission| permission.as_str() == text).ok_or(UnknownPermission)
    }
}

/// No permission has that name.
#[derive(Debug, thiserror::Error)]
#[error("no such permission")]
pub struct UnknownPermission;

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A built-in role: a named set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything.
    Owner,
    /// Everything but what only the owner does. (The two differ once teams can be deleted.)
    Admin,
    /// Makes and changes pipelines, within the capabilities that were granted.
    Editor,
    /// Starts and cancels runs; changes nothing.
    Operator,
    /// Looks.
    Viewer,
}

impl Role {
    /// All of them, the mightiest first.
    pub const ALL: &'static [Self] = &[Self::Owner, Self::Admin, Self::Editor, Self::Operator, Self::Viewer];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Editor => "editor",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }

    /// What the role may.
    pub fn permissions(self) -> Permissions {
        Permission::ALL.iter().copied().filter(|permission| self.holds(*permission)).collect()
    }

    /// Whether the role may.
    pub fn holds(self, permission: Permission) -> bool {
        use Permission as P;
        // No wildcard: a new permission does not compile until every role has taken a stand.
        let least = match permission {
            P::TeamRead | P::MemberRead | P::BoardRead | P::KvRead | P::PipelineRead | P::RunRead => Self::Viewer,
            P::PipelineRun | P::RunCancel | P::OutboxRead => Self::Operator,
            P::BoardCreate
            | P::BoardEdit
            | P::PipelineCreate
            | P::PipelineEdit
            | P::PipelineDelete
            | P::SecretWrite => Self::Editor,
            P::BoardArchive | P::BoardDelete | P::CapabilityGrant | P::TeamEdit | P::TokenManage => Self::Admin,
        };
        self.rank() >= least.rank()
    }

    fn rank(self) -> u8 {
        match self {
            Self::Viewer => 0,
            Self::Operator => 1,
            Self::Editor => 2,
            Self::Admin => 3,
            Self::Owner => 4,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.iter().copied().find(|role| role.as_str() == text).ok_or_else(|| UnknownRole(text.into()))
    }
}

/// A membership names a role that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a role")]
pub struct UnknownRole(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_was_put_in() {
        assert!(Permission::ALL.iter().all(|permission| Permissions::ALL.holds(*permission)));
        assert_eq!(Permission::ALL.iter().copied().collect::<Permissions>(), Permissions::ALL);
        for role in Role::ALL {
            for permission in Permission::ALL {
                assert_eq!(role.permissions().holds(*permission), role.holds(*permission), "{role} {permission}");
            }
            assert!(Role::Owner.permissions().cover(role.permissions()));
        }
        assert!(!Role::Viewer.permissions().cover(Role::Owner.permissions()));
    }
}
