//! The way from a caller to a team's rows.

use restroy_sdk::{
    ids::{BoardId, Id, PipelineId, RunId, ScriptId, TeamId, UserId},
    problem::ProblemCode,
};
use sqlx::query_as;
use uuid::Uuid;

use super::{Caller, Permission, Permissions, Role};
use crate::{
    error::{ApiError, ApiResult},
    sql,
    state::AppState,
    store::{Db, TeamTx, Tx, audit::Actor},
};

/// An authorised caller within one team.
#[derive(Debug, Clone)]
pub struct Scope {
    db: Db,
    team: TeamId,
    caller: Caller,
    role: Role,
    permissions: Permissions,
    asked: Asked,
}

/// What the scope was given for; asked again in each transaction that writes.
#[derive(Debug, Clone, Copy)]
struct Asked {
    thing: Thing,
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

    /// The caller's role in the team.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether the caller may do that too.
    pub fn holds(&self, permission: Permission) -> bool {
        self.permissions.holds(permission)
    }

    /// Whether the caller holds all of these: nobody gives what they do not hold.
    pub fn covers(&self, permissions: Permissions) -> bool {
        self.permissions.cover(permissions)
    }

    /// Refuses with 403 unless the caller may do that too.
    pub fn require(&self, permission: Permission) -> ApiResult<()> {
        if self.holds(permission) { Ok(()) } else { Err(forbidden(self.role, permission)) }
    }

    /// A transaction that only reads.
    pub async fn read(&self) -> Result<TeamTx, sqlx::Error> {
        self.db.team_read(self.team).await
    }

    /// A transaction that writes; see [`Db::team_write_alone`]. Asks again whether the caller may: what was
    /// taken away, archived or deleted since the request came in stops here.
    pub async fn write(&self) -> ApiResult<TeamTx> {
        self.checked(self.db.team_write_alone(self.team).await?).await
    }

    /// The same for what must survive a power cut; see
    /// [`Db::team_write_alone_durably`].
    pub async fn write_durably(&self) -> ApiResult<TeamTx> {
        self.checked(self.db.team_write_alone_durably(self.team).await?).await
    }

    /// A transaction that reads what of the team lies with accounts: its service accounts, and the tokens
    /// that reach it.
    pub async fn read_accounts(&self) -> Result<TeamTx, sqlx::Error> {
        Ok(TeamTx::beyond(self.db.system_read().await?, self.team))
    }

    /// The same to write there; otherwise like [`Self::write`].
    pub async fn write_accounts(&self) -> ApiResult<TeamTx> {
        let mut tx = TeamTx::beyond(self.db.system_write().await?, self.team);
        tx.lock_team().await?;
        self.checked(tx).await
    }

    async fn checked(&self, mut tx: TeamTx) -> ApiResult<TeamTx> {
        let (team, ..) = self.asked.answer(&mut tx, self.caller).await?;
        // A thing never changes its team.
        if team == self.team { Ok(tx) } else { Err(ApiError::not_found()) }
    }
}

impl Asked {
    /// The team, the caller's role in it, and what they may there, if the permission holds now.
    ///
    /// A stranger's thing, a deleted one and one that never was all come back from this query as
    /// no row: nothing after it can tell them apart.
    async fn answer(self, tx: &mut Tx, caller: Caller) -> ApiResult<(TeamId, Role, Permissions)> {
        let found: Option<(TeamId, String, bool)> =
            sql!(&mut *tx, fetch_optional, query_as(self.thing.sql()).bind(self.id).bind(caller.user_id))?;
        let Some((team, role, archived)) = found else { return Err(ApiError::not_found()) };
        if !caller.reaches(tx, team).await? {
            return Err(ApiError::not_found());
        }
        let role: Role = role.parse().map_err(|error| {
            tracing::error!(%team, %error, "a membership cannot be read");
            ApiError::new(ProblemCode::Internal)
        })?;
        let permissions = caller.within(role.permissions());
        if !permissions.holds(self.permission) {
            return Err(forbidden(role, self.permission));
        }
        if archived && self.permission.changes_board() {
            return Err(ApiError::with(
                ProblemCode::Conflict,
                "The board is archived: it can be read, not changed. Bring it back first.",
            ));
        }
        Ok((team, role, permissions))
    }
}

fn forbidden(role: Role, permission: Permission) -> ApiError {
    let detail = if role.holds(permission) {
        format!("The API token does not carry the permission `{permission}`.")
    } else {
        format!("Your role in this team is `{role}`, which lacks the permission `{permission}`.")
    };
    ApiError::with(ProblemCode::Forbidden, detail)
}

/// What is asked for: how its team, and the board it lies on, are found.
#[derive(Debug, Clone, Copy)]
enum Thing {
    Team,
    Board,
    Pipeline,
    Script,
    Run,
}

impl Thing {
    /// `$1` is the thing, `$2` the user. Deleted things and what lies below them are not found.
    const fn sql(self) -> &'static str {
        match self {
            Self::Team => {
                "SELECT m.team_id, m.role, FALSE AS archived
                 FROM teams t JOIN memberships m ON m.team_id = t.id AND m.user_id = $2
                 WHERE t.id = $1 AND t.deleted_at IS NULL"
            }
            Self::Board => {
                "SELECT m.team_id, m.role, b.archived_at IS NOT NULL AS archived
                 FROM boards b
                 JOIN teams t ON t.id = b.team_id AND t.deleted_at IS NULL
                 JOIN memberships m ON m.team_id = t.id AND m.user_id = $2
                 WHERE b.id = $1 AND b.deleted_at IS NULL"
            }
            Self::Pipeline => {
                "SELECT m.team_id, m.role, b.archived_at IS NOT NULL AS archived
                 FROM pipelines p
                 JOIN boards b ON b.team_id = p.team_id AND b.id = p.board_id AND b.deleted_at IS NULL
                 JOIN teams t ON t.id = p.team_id AND t.deleted_at IS NULL
                 JOIN memberships m ON m.team_id = t.id AND m.user_id = $2
                 WHERE p.id = $1 AND p.deleted_at IS NULL"
            }
            Self::Script => {
                "SELECT m.team_id, m.role, b.archived_at IS NOT NULL AS archived
                 FROM scripts s
                 JOIN pipelines p ON p.team_id = s.team_id AND p.id = s.pipeline_id AND p.deleted_at IS NULL
                 JOIN boards b ON b.team_id = p.team_id AND b.id = p.board_id AND b.deleted_at IS NULL
                 JOIN teams t ON t.id = p.team_id AND t.deleted_at IS NULL
                 JOIN memberships m ON m.team_id = t.id AND m.user_id = $2
                 WHERE s.id = $1"
            }
            Self::Run => {
                "SELECT m.team_id, m.role, b.archived_at IS NOT NULL AS archived
                 FROM runs r
                 JOIN pipelines p ON p.team_id = r.team_id AND p.id = r.pipeline_id AND p.deleted_at IS NULL
                 JOIN boards b ON b.team_id = p.team_id AND b.id = p.board_id AND b.deleted_at IS NULL
                 JOIN teams t ON t.id = p.team_id AND t.deleted_at IS NULL
                 JOIN memberships m ON m.team_id = t.id AND m.user_id = $2
                 WHERE r.id = $1"
            }
        }
    }
}

impl Caller {
    /// The caller within a team.
    pub async fn team(&self, state: &AppState, id: TeamId, permission: Permission) -> ApiResult<Scope> {
        self.enter(state, Thing::Team, id.uuid(), permission).await
    }

    /// The caller at a board. 409 when the board is archived and the permission is about a change.
    pub async fn board(&self, state: &AppState, id: BoardId, permission: Permission) -> ApiResult<Scope> {
        self.enter(state, Thing::Board, id.uuid(), permission).await
    }

    /// The caller at a pipeline; for an archived board see [`Self::board`].
    pub async fn pipeline(&self, state: &AppState, id: PipelineId, permission: Permission) -> ApiResult<Scope> {
        self.enter(state, Thing::Pipeline, id.uuid(), permission).await
    }

    /// The caller at a script; for an archived board see [`Self::board`].
    pub async fn script(&self, state: &AppState, id: ScriptId, permission: Permission) -> ApiResult<Scope> {
        self.enter(state, Thing::Script, id.uuid(), permission).await
    }

    /// The caller at a run; for an archived board see [`Self::board`].
    pub async fn run(&self, state: &AppState, id: RunId, permission: Permission) -> ApiResult<Scope> {
        self.enter(state, Thing::Run, id.uuid(), permission).await
    }

    async fn enter(&self, state: &AppState, thing: Thing, id: Uuid, permission: Permission) -> ApiResult<Scope> {
        let asked = Asked { thing, id, permission };
        let (team, role, permissions) = asked.answer(&mut state.db.system_read().await?, *self).await?;
        Ok(Scope { db: state.db.clone(), team, caller: *self, role, permissions, asked })
    }
}
