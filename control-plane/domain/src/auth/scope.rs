//! The way from a caller to a team's rows.

use std::sync::Arc;

use restroy_sdk::{
    ids::{BoardId, Id, PipelineId, RunId, ScriptId, TeamId, UserId},
    permission::UnknownRole,
};
use sqlx::query_as;
use uuid::Uuid;

use super::{Caller, Permission, Permissions};
use crate::{
    DomainError, DomainResult, sql,
    state::DomainState,
    store::{Bypass, Db, Durability, TeamTx, Tx, audit::Actor, boards},
};

/// An authorised caller within one team.
#[derive(Debug, Clone)]
pub struct Scope {
    db: Db,
    team: TeamId,
    caller: Caller,
    role: Arc<str>,
    permissions: Permissions,
    /// Those by the role in the team alone.
    in_team: Permissions,
    asked: AccessRequest,
}

/// What the scope was given for; asked again in each transaction that writes.
#[derive(Debug, Clone, Copy)]
struct AccessRequest {
    thing: Resource,
    id: Uuid,
    permission: Permission,
}

impl Scope {
    /// The team.
    pub fn team(&self) -> TeamId {
        self.team
    }

    /// Who acts.
    pub fn user(&self) -> UserId {
        self.caller.user_id
    }

    /// Who acts, as the audit log names them.
    pub fn actor(&self) -> Actor {
        self.caller.actor()
    }

    /// Who calls.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The name of the caller's role in the team; on a private board, of the one there.
    pub fn role(&self) -> &str {
        &self.role
    }

    /// Whether the caller may do that too, as of when the scope was given or renewed.
    pub fn has_permission(&self, permission: Permission) -> bool {
        self.permissions.contains(permission)
    }

    /// Whether the caller may do that too, by the role in the team: what a role on a board gives does not count.
    pub fn has_team_permission(&self, permission: Permission) -> bool {
        self.in_team.contains(permission)
    }

    /// Whether the caller's API token, if it is one, lets this through of what its holder may.
    pub fn token_permits(&self, permission: Permission) -> bool {
        self.caller.restrict(Permissions::ALL).contains(permission)
    }

    /// The caller as the viewer of a list of what lies on boards; the list takes this permission.
    pub fn board_viewer(&self, permission: Permission) -> boards::Viewer {
        boards::Viewer {
            in_team: self.has_permission(permission),
            administers: self.has_permission(Permission::BoardAdminister),
            user: self.token_permits(permission).then(|| self.user()),
        }
    }

    /// Refuses with 403 unless the caller may do that too.
    pub fn require(&self, permission: Permission) -> DomainResult<()> {
        if self.has_permission(permission) { Ok(()) } else { Err(forbidden(self.caller, &self.role, permission)) }
    }

    /// A transaction that only reads.
    pub async fn read(&self) -> Result<TeamTx, sqlx::Error> {
        self.db.team_read(self.team).await
    }

    /// A transaction that writes; see [`Db::begin_team_exclusive`]. Asks again whether the caller may: what was
    /// taken away, archived or deleted since the request came in stops here.
    pub async fn write(&self) -> DomainResult<TeamTx> {
        Ok(self.write_with_scope().await?.0)
    }

    /// The same, with the scope as of this transaction: what depends on a second permission is judged by it,
    /// not by what the caller held when the request came in.
    pub async fn write_with_scope(&self) -> DomainResult<(TeamTx, Self)> {
        let mut tx = self.db.begin_team_exclusive(self.team, Durability::Commit).await?;
        let renewed = self.reauthorized(&mut tx).await?;
        Ok((tx, renewed))
    }

    /// The same, with what the caller holds as of this transaction: what is granted is measured by it.
    pub async fn write_with_permissions(&self) -> DomainResult<(TeamTx, Permissions)> {
        let (tx, renewed) = self.write_with_scope().await?;
        Ok((tx, renewed.permissions))
    }

    /// The same for what must survive a power cut; see
    /// [`Db::begin_team_exclusive`].
    pub async fn write_durably(&self) -> DomainResult<TeamTx> {
        let mut tx = self.db.begin_team_exclusive(self.team, Durability::Fsync).await?;
        self.reauthorized(&mut tx).await?;
        Ok(tx)
    }

    /// Asks again within a transaction, be it of another scope, where a change takes leave for two things: the
    /// scope as of then.
    pub async fn reauthorized(&self, tx: &mut TeamTx) -> DomainResult<Self> {
        let Access { team, role, permissions, in_team } = self.asked.evaluate(tx, self.caller).await?;
        // A thing never changes its team.
        if team != self.team {
            return Err(DomainError::NotFound);
        }
        Ok(Self { role: role.into(), permissions, in_team, ..self.clone() })
    }

    /// A transaction that reads what of the team lies with accounts: the tokens that reach it. No wall but
    /// the conditions of its statements is around it.
    pub async fn read_bypassing_rls(&self, why: Bypass) -> Result<TeamTx, sqlx::Error> {
        Ok(TeamTx::bypassing_rls(self.db.system_read().await?, self.team, why))
    }

    /// The same as [`Self::write_with_permissions`] for what writes rows of the installation beside the team's (an
    /// e-mail of its own, a service account): no wall but the conditions of its statements is around this
    /// transaction.
    pub async fn write_bypassing_rls(&self, why: Bypass) -> DomainResult<(TeamTx, Permissions)> {
        let mut tx = TeamTx::bypassing_rls(self.db.begin_system_exclusive(self.team).await?, self.team, why);
        let renewed = self.reauthorized(&mut tx).await?;
        Ok((tx, renewed.permissions))
    }
}

/// What the caller is to the thing that was asked for.
#[derive(Debug)]
struct Access {
    team: TeamId,
    role: String,
    permissions: Permissions,
    in_team: Permissions,
}

/// What the query says of caller and thing. The columns of the board are null where there is none.
#[derive(Debug, sqlx::FromRow)]
struct AccessRow {
    team_id: TeamId,
    /// The built-in role in the team.
    role: Option<String>,
    /// Or the name of the own one, and its permissions, with spaces between.
    own_role: Option<String>,
    granted: Option<String>,
    archived: bool,
    private: bool,
    /// The same of the role on the board, if the caller has one.
    board_role: Option<String>,
    board_own_role: Option<String>,
    board_granted: Option<String>,
}

impl AccessRow {
    /// What the caller may do here; nothing when the thing is not to be seen. On a board the role
    /// there adds to the one in the team. A private board is for its members, by their role there
    /// alone, and for who administers boards in the team. An API token narrows each role.
    fn access(self, caller: Caller) -> Result<Option<Access>, UnknownRole> {
        let in_team = caller.restrict(Permissions::from_role(self.role.as_deref(), self.granted.as_deref())?);
        let team_role = self.role.or(self.own_role).unwrap_or_default();
        let on_board = if self.board_role.is_some() || self.board_own_role.is_some() {
            let held = Permissions::from_role(self.board_role.as_deref(), self.board_granted.as_deref())?;
            Some(caller.restrict(held.board_scoped()))
        } else {
            None
        };
        let board_role = self.board_role.or(self.board_own_role).unwrap_or_default();
        let (role, permissions) = match on_board {
            None if self.private && !in_team.contains(Permission::BoardAdminister) => return Ok(None),
            Some(held) if self.private && !in_team.contains(Permission::BoardAdminister) => (board_role, held),
            Some(held) if in_team.is_superset(held) => (team_role, in_team),
            Some(held) if held.is_superset(in_team.board_scoped()) => (board_role, in_team.union(held)),
            Some(held) => (format!("{team_role}` and `{board_role}"), in_team.union(held)),
            None => (team_role, in_team),
        };
        Ok(Some(Access { team: self.team_id, role, permissions, in_team }))
    }
}

impl AccessRequest {
    /// What the caller is to the thing, if the permission holds now.
    ///
    /// A stranger's thing, a deleted one, one on a private board of others, one in a team that the
    /// caller's API token does not reach and one that never was all come back as nothing: what comes
    /// after it cannot tell them apart.
    async fn evaluate(self, tx: &mut Tx, caller: Caller) -> DomainResult<Access> {
        let found: Option<AccessRow> =
            sql!(&mut *tx, fetch_optional, query_as(self.thing.sql()).bind(self.id).bind(caller.user_id))?;
        let Some(found) = found else { return Err(DomainError::NotFound) };
        let (team, archived) = (found.team_id, found.archived);
        if !caller.ensure_token_reaches(tx, team).await? {
            return Err(DomainError::NotFound);
        }
        let standing = found.access(caller).map_err(|error| {
            DomainError::Internal(format!("a membership in the team {team} cannot be read: {error}").into())
        })?;
        let standing = standing.ok_or(DomainError::NotFound)?;
        if !standing.permissions.contains(self.permission) {
            return Err(forbidden(caller, &standing.role, self.permission));
        }
        if archived && self.permission.changes_board() {
            return Err(DomainError::conflict("The board is archived and read-only. Unarchive it first."));
        }
        Ok(standing)
    }
}

fn forbidden(caller: Caller, role: &str, permission: Permission) -> DomainError {
    let detail = if caller.restrict(Permissions::ALL).contains(permission) {
        format!("Your role in this team is `{role}`, which lacks the permission `{permission}`.")
    } else {
        format!("The API token does not carry the permission `{permission}`.")
    };
    DomainError::forbidden(detail)
}

/// What is asked for: how its team, and the board it lies on, are found.
#[derive(Debug, Clone, Copy)]
enum Resource {
    Team,
    /// One that was deleted and may come back.
    DeletedTeam,
    Board,
    DeletedBoard,
    Pipeline,
    DeletedPipeline,
    Script,
    Run,
}

/// The statement for a team: `$1` is the team, `$2` the user.
macro_rules! in_team {
    ($deleted:literal) => {
        concat!(
            "SELECT m.team_id, m.role, r.name AS own_role,
                    (SELECT string_agg(g.permission, ' ') FROM role_permissions g
                     WHERE g.team_id = m.team_id AND g.role_id = m.role_id) AS granted,
                    FALSE AS archived, FALSE AS private,
                    NULL AS board_role, NULL AS board_own_role, NULL AS board_granted
             FROM teams t
             JOIN memberships m ON m.team_id = t.id AND m.user_id = $2
             LEFT JOIN roles r ON r.team_id = m.team_id AND r.id = m.role_id
             WHERE t.id = $1 AND t.deleted_at ",
            $deleted
        )
    };
}

/// The statement for what lies on a board: how the board `b` is found from the thing, and the thing
/// by `$1`; `$2` is the user.
macro_rules! on_board {
    ($from:literal, $is:literal) => {
        on_board!($from, $is, "IS NULL")
    };
    ($from:literal, $is:literal, $deleted:literal) => {
        concat!(
            "SELECT m.team_id, m.role, r.name AS own_role,
                    (SELECT string_agg(g.permission, ' ') FROM role_permissions g
                     WHERE g.team_id = m.team_id AND g.role_id = m.role_id) AS granted,
                    b.archived_at IS NOT NULL AS archived, b.private,
                    bm.role AS board_role, br.name AS board_own_role,
                    (SELECT string_agg(g.permission, ' ') FROM role_permissions g
                     WHERE g.team_id = bm.team_id AND g.role_id = bm.role_id) AS board_granted
             FROM ",
            $from,
            " JOIN teams t ON t.id = b.team_id AND t.deleted_at IS NULL
              JOIN memberships m ON m.team_id = t.id AND m.user_id = $2
              LEFT JOIN roles r ON r.team_id = m.team_id AND r.id = m.role_id
              LEFT JOIN board_members bm
                  ON bm.team_id = b.team_id AND bm.board_id = b.id AND bm.user_id = m.user_id
              LEFT JOIN roles br ON br.team_id = bm.team_id AND br.id = bm.role_id
              WHERE b.deleted_at ",
            $deleted,
            " AND ",
            $is
        )
    };
}

impl Resource {
    /// `$1` is the thing, `$2` the user. Deleted things and what lies below them are not found.
    const fn sql(self) -> &'static str {
        match self {
            Self::Team => in_team!("IS NULL"),
            Self::DeletedTeam => in_team!("IS NOT NULL"),
            Self::Board => on_board!("boards b", "b.id = $1"),
            Self::DeletedBoard => on_board!("boards b", "b.id = $1", "IS NOT NULL"),
            Self::DeletedPipeline => on_board!(
                "pipelines p JOIN boards b ON b.team_id = p.team_id AND b.id = p.board_id",
                "p.id = $1 AND p.deleted_at IS NOT NULL"
            ),
            Self::Pipeline => on_board!(
                "pipelines p JOIN boards b ON b.team_id = p.team_id AND b.id = p.board_id",
                "p.id = $1 AND p.deleted_at IS NULL"
            ),
            Self::Script => on_board!(
                "scripts s
                 JOIN pipelines p ON p.team_id = s.team_id AND p.id = s.pipeline_id AND p.deleted_at IS NULL
                 JOIN boards b ON b.team_id = p.team_id AND b.id = p.board_id",
                "s.id = $1"
            ),
            Self::Run => on_board!(
                "runs n
                 JOIN pipelines p ON p.team_id = n.team_id AND p.id = n.pipeline_id AND p.deleted_at IS NULL
                 JOIN boards b ON b.team_id = p.team_id AND b.id = p.board_id",
                "n.id = $1 AND n.expired_at IS NULL"
            ),
        }
    }
}

impl Caller {
    /// The caller within a team.
    pub async fn team(&self, state: &DomainState, id: TeamId, permission: Permission) -> DomainResult<Scope> {
        self.authorize(state, Resource::Team, id.uuid(), permission).await
    }

    /// The caller within a team that was deleted and is still there to be brought back.
    pub async fn deleted_team(&self, state: &DomainState, id: TeamId, permission: Permission) -> DomainResult<Scope> {
        self.authorize(state, Resource::DeletedTeam, id.uuid(), permission).await
    }

    /// The caller at a board. 409 when the board is archived and the permission is about a change.
    pub async fn board(&self, state: &DomainState, id: BoardId, permission: Permission) -> DomainResult<Scope> {
        self.authorize(state, Resource::Board, id.uuid(), permission).await
    }

    /// The caller at a pipeline; for an archived board see [`Self::board`].
    pub async fn pipeline(&self, state: &DomainState, id: PipelineId, permission: Permission) -> DomainResult<Scope> {
        self.authorize(state, Resource::Pipeline, id.uuid(), permission).await
    }

    /// The caller at a board that was deleted.
    pub async fn deleted_board(&self, state: &DomainState, id: BoardId, permission: Permission) -> DomainResult<Scope> {
        self.authorize(state, Resource::DeletedBoard, id.uuid(), permission).await
    }

    /// The caller at a pipeline that was deleted, on a board that was not.
    pub async fn deleted_pipeline(
        &self,
        state: &DomainState,
        id: PipelineId,
        permission: Permission,
    ) -> DomainResult<Scope> {
        self.authorize(state, Resource::DeletedPipeline, id.uuid(), permission).await
    }

    /// The caller at a script; for an archived board see [`Self::board`].
    pub async fn script(&self, state: &DomainState, id: ScriptId, permission: Permission) -> DomainResult<Scope> {
        self.authorize(state, Resource::Script, id.uuid(), permission).await
    }

    /// The caller at a run; for an archived board see [`Self::board`].
    pub async fn run(&self, state: &DomainState, id: RunId, permission: Permission) -> DomainResult<Scope> {
        self.authorize(state, Resource::Run, id.uuid(), permission).await
    }

    async fn authorize(
        &self,
        state: &DomainState,
        thing: Resource,
        id: Uuid,
        permission: Permission,
    ) -> DomainResult<Scope> {
        let asked = AccessRequest { thing, id, permission };
        let standing = asked.evaluate(&mut state.db.system_read().await?, *self).await?;
        let Access { team, role, permissions, in_team } = standing;
        Ok(Scope { db: state.db.clone(), team, caller: *self, role: role.into(), permissions, in_team, asked })
    }
}
