//! The Postgres backend.
//!
//! The services log in as a role that owns nothing and has no rights of its own. Each transaction
//! takes one of two roles for its length: `restroy_app`, which row-level security confines to the
//! team of the transaction, or `restroy_system`, for what knows no team yet. Which, and which team,
//! travels with the BEGIN, in one round trip ([`begin`]).

mod begin;

use std::{
    collections::HashMap,
    str::FromStr as _,
    sync::{Arc, PoisonError},
    time::Duration,
};

use restroy_sdk::ids::{Id as _, TeamId};
use restroy_tenant_executor::{FairLimits, FairSemaphore};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, sleep, timeout_at},
};
use uuid::Uuid;

use self::begin::{Access, Begin, Suspects};

use super::{Tx, failure};

/// The pauses before a transaction that could not begin is begun again, once every idle connection
/// may have turned out to be broken.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Prepared statements that a connection keeps: more than there are, so that none is prepared twice.
const STATEMENTS: usize = 512;

/// How a Postgres database is reached and used.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database`, as the service role.
    pub url: String,
    /// The most connections at once. Each executes one transaction at a time; nothing holds one while
    /// it waits for another.
    pub connections: u32,
    /// How long a transaction waits to begin: for a connection, and through a restart of the database.
    pub acquire_timeout: Duration,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// How long a statement may wait for a row that another transaction holds.
    pub lock_timeout: Duration,
    /// How long a transaction may stand still; then Postgres takes its locks away.
    pub idle_timeout: Duration,
}

impl PostgresOptions {
    /// The defaults for a database.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            connections: 16,
            acquire_timeout: Duration::from_secs(15),
            statement_timeout: Duration::from_secs(15),
            lock_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(15),
        }
    }

    fn connect(&self) -> Result<PgConnectOptions, sqlx::Error> {
        let millis = |span: Duration| span.as_millis().to_string();
        Ok(PgConnectOptions::from_str(&self.url)?
            .application_name("restroy")
            .statement_cache_capacity(STATEMENTS)
            .options([
                ("statement_timeout", millis(self.statement_timeout)),
                ("lock_timeout", millis(self.lock_timeout)),
                ("idle_in_transaction_session_timeout", millis(self.idle_timeout)),
                // Plans for the values at hand cost more than they bring: every statement goes by key.
                ("plan_cache_mode", "force_generic_plan".to_owned()),
                ("jit", "off".to_owned()),
            ]))
    }
}

/// Whom a transaction acts for.
#[derive(Debug, Clone, Copy)]
pub(super) enum DatabaseRole {
    /// One team.
    Team(TeamId),
    /// One team, and nobody else writes for it through the API meanwhile.
    TeamExclusive(TeamId),
    /// All of them, and nobody else writes for this one through the API meanwhile.
    SystemExclusive(TeamId),
    /// All of them.
    System,
}

impl DatabaseRole {
    /// Whose turn it is; nil where it acts for all teams.
    pub(super) fn team(self) -> Uuid {
        match self {
            Self::Team(team) | Self::TeamExclusive(team) | Self::SystemExclusive(team) => team.uuid(),
            Self::System => Uuid::nil(),
        }
    }
}

/// Connections to a Postgres database. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Postgres {
    pool: PgPool,
    connections: u32,
    acquire_timeout: Duration,
    turns: Arc<TeamRowQueue>,
    /// Transactions of teams, one team after the other. None has more than a quarter of the connections, and all
    /// together leave a quarter to what acts for no team: checks of sessions, admission, recovery.
    fair: FairSemaphore,
    suspects: Arc<Suspects>,
}

/// Who of a team is about to begin a transaction that waits for the team's row. One at a time: the
/// others wait here, without a connection that other teams need.
#[derive(Debug, Default)]
struct TeamRowQueue(std::sync::Mutex<HashMap<TeamId, Arc<tokio::sync::Mutex<()>>>>);

impl TeamRowQueue {
    async fn wait(&self, team: TeamId) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody has or awaits the others: as many stay as requests are under way.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(team).or_default())
        };
        turn.lock_owned().await
    }
}

impl Postgres {
    /// Opens the pool. The database must answer once, so that a wrong address or password is reported at the start;
    /// later it may go and come back.
    pub(super) async fn open(options: &PostgresOptions) -> Result<Self, sqlx::Error> {
        let connections = options.connections.max(2);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(options.acquire_timeout)
            // A connection that died is found at BEGIN, which is then done again on another.
            .test_before_acquire(false)
            .idle_timeout(Duration::from_mins(5))
            .max_lifetime(Duration::from_mins(30))
            .connect_with(options.connect()?)
            .await?;
        Ok(Self {
            pool,
            connections,
            acquire_timeout: options.acquire_timeout,
            turns: Arc::default(),
            fair: FairSemaphore::new(FairLimits {
                permits: (connections - connections / 4) as usize,
                per_team: (connections / 4).max(3) as usize,
                waiting_per_team: usize::MAX,
                waiting: usize::MAX,
            }),
            suspects: Arc::default(),
        })
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(super) async fn read(&self, role: DatabaseRole) -> Result<Tx, sqlx::Error> {
        self.begin(Access::Read, role).await
    }

    pub(super) async fn write(&self, role: DatabaseRole) -> Result<Tx, sqlx::Error> {
        self.begin(Access::Write, role).await
    }

    /// Begins a transaction, in one round trip.
    async fn begin(&self, access: Access, role: DatabaseRole) -> Result<Tx, sqlx::Error> {
        let give_up = Instant::now() + self.acquire_timeout;
        let turn = match role {
            DatabaseRole::TeamExclusive(team) | DatabaseRole::SystemExclusive(team) => {
                Some(Arc::new(self.acquire_team_row(team, give_up).await?))
            }
            DatabaseRole::Team(_) | DatabaseRole::System => None,
        };
        let permit = if matches!(role, DatabaseRole::System) {
            None
        } else {
            let acquired = timeout_at(give_up, self.fair.acquire(role.team())).await;
            Some(acquired.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolTimedOut)?)
        };
        let (mut at_once, mut pause) = (self.connections, FIRST_PAUSE);
        loop {
            // Nothing is done yet: a connection that broke meanwhile, or a database that is just
            // restarting, costs another try, not the request.
            let begun = async {
                let connection = self.pool.acquire().await?;
                let statement = begin::statement(access, role, self.suspects.take());
                Begin::new(connection, statement, turn.clone()).await
            };
            match begun.await {
                Ok(tx) => return Ok(Tx::Postgres(tx, permit)),
                Err(error) if failure::is_failed_begin(&error) => {
                    if failure::in_failed_transaction(&error) {
                        self.suspects.suspect(self.connections);
                    }
                    if Instant::now() + pause > give_up {
                        tracing::warn!(%error, "no transaction can begin");
                        return Err(sqlx::Error::PoolTimedOut);
                    }
                    tracing::debug!(%error, "a transaction is begun again");
                    if at_once > 0 {
                        at_once -= 1;
                    } else {
                        sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits to be the one of a team that may wait for the team's row with a connection in hand.
    pub(super) async fn wait(&self, team: TeamId) -> Result<OwnedMutexGuard<()>, sqlx::Error> {
        self.acquire_team_row(team, Instant::now() + self.acquire_timeout).await
    }

    async fn acquire_team_row(&self, team: TeamId, give_up: Instant) -> Result<OwnedMutexGuard<()>, sqlx::Error> {
        timeout_at(give_up, self.turns.wait(team)).await.map_err(|_| sqlx::Error::PoolTimedOut)
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}
