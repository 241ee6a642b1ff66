//! The closed list of permissions, and the built-in roles as sets of them.

use std::{fmt, str::FromStr};

macro_rules! permissions {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal;)*) => {
        /// What a member of a team may do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Permission { $($(#[doc = $doc])+ $variant,)* }

        impl Permission {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// What it allows, in a sentence.
            pub fn description(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)* }
            }
        }
    };
}

permissions! {
    /// See the team. Every role holds it.
    TeamRead = "team.read";
    /// Rename the team.
    TeamEdit = "team.edit";
    /// Delete the team, and bring it back.
    TeamDelete = "team.delete";
    /// Hand the team over to another member.
    TeamTransfer = "team.transfer";
    /// See who is in the team.
    MemberRead = "member.read";
    /// Invite people into the team, and see and revoke invitations.
    MemberInvite = "member.invite";
    /// Give members other roles.
    MemberEdit = "member.edit";
    /// Remove members from the team.
    MemberRemove = "member.remove";
    /// Make, change and delete the team's own roles.
    RoleEdit = "role.edit";
    /// See the e-mails that the team's runs sent.
    OutboxRead = "outbox.read";
    /// Read the team's audit log; it describes private boards too.
    AuditRead = "audit.read";
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
    /// See private boards, make boards private, and choose the members of boards.
    BoardAdminister = "board.administer";
    /// Read a board's key-value store.
    KvRead = "kv.read";
    /// Change a board's key-value store.
    KvWrite = "kv.write";
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
    /// Change the plain configuration of boards and of the team.
    ConfigurationWrite = "configuration.write";
    /// Make, change and delete modules of the team's library.
    LibraryWrite = "library.write";
    /// Set and remove secrets.
    SecretWrite = "secret.write";
    /// Start runs.
    PipelineRun = "pipeline.run";
    /// See runs, their events and artifacts.
    RunRead = "run.read";
    /// Cancel runs.
    RunCancel = "run.cancel";
    /// Keep runs from being removed, and delete runs that have ended.
    RunKeep = "run.keep";
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
                | Self::ConfigurationWrite
                | Self::KvWrite
                | Self::PipelineRun
        )
    }

    /// Whether it is about a board and what lies on it: a role on one board gives these, and none of
    /// the others.
    pub fn is_board_scoped(self) -> bool {
        use Permission as P;
        // No wildcard: a new permission does not compile until it has taken a stand.
        match self {
            P::BoardRead
            | P::BoardEdit
            | P::BoardArchive
            | P::BoardDelete
            | P::BoardAdminister
            | P::KvRead
            | P::KvWrite
            | P::PipelineRead
            | P::PipelineCreate
            | P::PipelineEdit
            | P::PipelineDelete
            | P::CapabilityGrant
            | P::ConfigurationWrite
            | P::SecretWrite
            | P::PipelineRun
            | P::RunRead
            | P::RunCancel
            | P::RunKeep => true,
            P::TeamRead
            | P::TeamEdit
            | P::TeamDelete
            | P::TeamTransfer
            | P::MemberRead
            | P::MemberInvite
            | P::MemberEdit
            | P::MemberRemove
            | P::RoleEdit
            | P::OutboxRead
            | P::AuditRead
            | P::TokenManage
            | P::LibraryWrite
            | P::BoardCreate => false,
        }
    }
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions(u64);

impl Permissions {
    /// All there are.
    pub const ALL: Self = Self(u64::MAX >> (u64::BITS as usize - Permission::ALL.len()));

    /// Whether this one is among them.
    pub fn contains(self, permission: Permission) -> bool {
        self.0 & 1 << permission as u32 != 0
    }

    /// Those that are in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of them that are about a board.
    #[must_use]
    pub fn board_scoped(self) -> Self {
        self.iter().filter(|permission| permission.is_board_scoped()).collect()
    }

    /// Whether every one of `other` is among them.
    pub fn is_superset(self, other: Self) -> bool {
        self.intersection(other) == other
    }

    /// Each of them, in the order of the list.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |permission| self.contains(*permission))
    }

    /// Their names.
    pub fn names(self) -> Vec<String> {
        self.iter().map(|permission| permission.as_str().to_owned()).collect()
    }

    /// What a role holds, as a row reports it: a built-in one by its name, one of a team's own by its permissions, with
    /// spaces between. A permission that this version does not know allows nothing here. Every role holds `team.read`.
    pub fn from_role(built_in: Option<&str>, granted: Option<&str>) -> Result<Self, UnknownRole> {
        if let Some(name) = built_in {
            return name.parse::<Role>().map(Role::permissions);
        }
        let granted = granted.unwrap_or("").split(' ').filter_map(|name| name.parse().ok());
        Ok(granted.chain([Permission::TeamRead]).collect())
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
        let found = Self::ALL.iter().copied().find(|permission| permission.as_str() == text);
        found.ok_or_else(|| UnknownPermission(text.into()))
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A built-in role: a named set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Has every permission.
    Owner,
    /// Everything but deleting the team and handing it over.
    Admin,
    /// Makes and changes pipelines, within the capabilities that were granted.
    Editor,
    /// Starts and cancels runs; changes nothing.
    Operator,
    /// Reads, and changes nothing.
    Viewer,
}

impl Role {
    /// All of them, the mightiest first.
    pub const ALL: &'static [Self] = &[Self::Owner, Self::Admin, Self::Editor, Self::Operator, Self::Viewer];

    /// What the role is for, in a sentence.
    pub fn description(self) -> &'static str {
        match self {
            Self::Owner => "May do everything.",
            Self::Admin => "Everything but deleting the team and handing it over.",
            Self::Editor => "Makes and changes pipelines, within the capabilities that were granted.",
            Self::Operator => "Starts and cancels runs; changes nothing.",
            Self::Viewer => "Looks.",
        }
    }

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
        Permission::ALL.iter().copied().filter(|permission| self.contains(*permission)).collect()
    }

    /// Whether the role may.
    pub fn contains(self, permission: Permission) -> bool {
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
            | P::ConfigurationWrite
            | P::KvWrite
            | P::LibraryWrite
            | P::RunKeep
            | P::SecretWrite => Self::Editor,
            P::BoardArchive
            | P::BoardDelete
            | P::BoardAdminister
            | P::CapabilityGrant
            | P::TeamEdit
            | P::MemberInvite
            | P::MemberEdit
            | P::MemberRemove
            | P::AuditRead
            | P::RoleEdit
            | P::TokenManage => Self::Admin,
            P::TeamDelete | P::TeamTransfer => Self::Owner,
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

/// A text that names no permission.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a permission")]
pub struct UnknownPermission(String);

/// A membership names a role that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a role")]
pub struct UnknownRole(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_was_put_in() {
        assert!(Permission::ALL.iter().all(|permission| Permissions::ALL.contains(*permission)));
        assert_eq!(Permission::ALL.iter().copied().collect::<Permissions>(), Permissions::ALL);
        for role in Role::ALL {
            for permission in Permission::ALL {
                assert_eq!(role.permissions().contains(*permission), role.contains(*permission), "{role} {permission}");
            }
            assert!(Role::Owner.permissions().is_superset(role.permissions()));
        }
        assert!(!Role::Viewer.permissions().is_superset(Role::Owner.permissions()));
        assert!(!Role::Admin.permissions().is_superset(Role::Owner.permissions()));
    }

    #[test]
    fn a_row_lists_the_permissions_of_a_role() {
        let of = |built_in, granted| Permissions::from_role(built_in, granted).unwrap().names();
        assert_eq!(of(Some("viewer"), None), Role::Viewer.permissions().names());
        assert_eq!(of(None, Some("run.read board.read")), ["team.read", "board.read", "run.read"]);
        assert_eq!(of(None, Some("of.a.newer.version run.read")), ["team.read", "run.read"]);
        assert_eq!(of(None, None), ["team.read"]);
        assert!(Permissions::from_role(Some("emperor"), Some("run.read")).is_err(), "it fails closed");
        for permission in Permission::ALL {
            assert_eq!(permission.as_str().parse::<Permission>().unwrap(), *permission);
            assert!(permission.description().ends_with('.'), "{permission}");
        }
    }
}
