//! The schema of Postgres: brought up to date by its owner, looked at by the services.

use std::{str::FromStr as _, time::Duration};

use super::{
    Tx,
    postgres::{DatabaseRole, Postgres},
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions, query_as,
    query_scalar,
};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations/postgres");

/// How long a migration waits for those who use the tables.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the schema is not, or cannot be brought, up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A migration does not go through.
    #[error(transparent)]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The database refuses or is not there.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// The services' URL names no role, or the owner itself.
    #[error(
        "the services' URL must name a role of its own, not `{0}`, which owns the tables: row-level security is the \
         wall between teams, and their owner could take it down"
    )]
    ServiceRole(String),
    /// A role is stronger than the wall between teams.
    #[error(
        "the role `{0}` could pass by row-level security, the wall between teams: it is a superuser, has BYPASSRLS or \
         is a member of the tables' owner; take that away (ALTER ROLE … NOSUPERUSER NOBYPASSRLS, REVOKE), or let the \
         services log in as another"
    )]
    TooStrong(String),
    /// The schema is older than this binary.
    #[error("the database's schema is at version {found}, this binary needs version {needed}: run `restroy migrate`")]
    Version {
        /// What is there; 0 for nothing.
        found: i64,
        /// The newest that this binary knows.
        needed: i64,
    },
}

/// Brings the schema up to date as its owner, and makes, or brings up to date, the role that the
/// services log in as: it owns nothing, and may act as `restroy_app` and `restroy_system` only.
/// Safe to repeat, also from several places at once. The owner needs CREATEROLE, or the roles must
/// be there.
pub async fn postgres(owner_url: &str, service_url: &str) -> Result<(), MigrateError> {
    let owner = PgConnectOptions::from_str(owner_url)?.application_name("restroy migrate").disable_statement_logging();
    let service = PgConnectOptions::from_str(service_url)?;
    if service.get_username() == owner.get_username() {
        return Err(MigrateError::ServiceRole(service.get_username().to_owned()));
    }
    let mut connection = owner.connect().await?;
    run(&mut connection, &format!("SET lock_timeout = {}", LOCK_TIMEOUT.as_millis())).await?;
    for role in ["restroy_app", "restroy_system"] {
        make_role(&mut connection, role, "NOLOGIN").await?;
    }
    MIGRATIONS.run(&mut connection).await?;
    let name = service.get_username().to_owned();
    let password = password(service_url);
    make_role(&mut connection, &name, "LOGIN NOINHERIT").await?;
    for role in ["restroy_app", "restroy_system", &name] {
        let strong = format!("SELECT {TOO_STRONG}");
        let strong: Option<bool> = query_scalar(AssertSqlSafe(strong)).bind(role).fetch_one(&mut connection).await?;
        if strong != Some(false) {
            return Err(MigrateError::TooStrong(role.to_owned()));
        }
    }
    let inherits: bool = query_scalar("SELECT rolinherit FROM pg_roles WHERE rolname = $1")
        .bind(&name)
        .fetch_one(&mut connection)
        .await?;
    if inherits {
        // It was there before. Without a role taken on it is to have no rights at all.
        run(&mut connection, &format!("ALTER ROLE {} NOINHERIT", identifier(&name))).await?;
    }
    if let Some(password) = password {
        let text = format!("ALTER ROLE {} PASSWORD {}", identifier(&name), literal(&password));
        run(&mut connection, &text).await?;
    }
    run(&mut connection, &format!("GRANT restroy_app, restroy_system TO {}", identifier(&name))).await?;
    // Roles belong to the whole cluster: without this the role of an installation beside this one could
    // come here and act as `restroy_system`.
    let database: String = query_scalar("SELECT current_database()::text").fetch_one(&mut connection).await?;
    let database = identifier(&database);
    run(&mut connection, &format!("REVOKE CONNECT ON DATABASE {database} FROM PUBLIC")).await?;
    run(&mut connection, &format!("GRANT CONNECT ON DATABASE {database} TO {}", identifier(&name))).await?;
    connection.close().await?;
    Ok(())
}

/// Whether the role `$1` could pass by row-level security.
const TOO_STRONG: &str = "(SELECT rolsuper OR rolbypassrls OR EXISTS (
         SELECT 1 FROM pg_class c WHERE c.oid = to_regclass('public.teams') AND pg_has_role(r.oid, c.relowner, 'MEMBER'))
     FROM pg_roles r WHERE r.rolname = $1)";

/// Whether the schema is the one that this binary knows, or newer: a migration leaves in place what the
/// version before it works with, so that during an upgrade old replicas serve until new ones do.
pub(super) async fn check_postgres(postgres: &Postgres) -> Result<(), MigrateError> {
    let needed = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    let begun = postgres.read(DatabaseRole::System).await.map_err(|error| {
        // 22023, 42704: the role is not there, so nothing was ever migrated.
        let missing = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|code| matches!(code.as_ref(), "22023" | "42704" | "42501"));
        if missing { MigrateError::Version { found: 0, needed } } else { error.into() }
    })?;
    let Tx::Postgres(mut tx, _) = begun else { return Err(sqlx::Error::PoolClosed.into()) };
    let (login, strong): (String, Option<bool>) =
        query_as(AssertSqlSafe(format!("SELECT session_user::text, {}", TOO_STRONG.replace("$1", "session_user"))))
            .fetch_one(&mut *tx)
            .await?;
    if strong != Some(false) {
        return Err(MigrateError::TooStrong(login));
    }
    let there: bool =
        query_scalar("SELECT to_regclass('public._sqlx_migrations') IS NOT NULL").fetch_one(&mut *tx).await?;
    let found: i64 = if there {
        query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success").fetch_one(&mut *tx).await?
    } else {
        0
    };
    if found >= needed { Ok(()) } else { Err(MigrateError::Version { found, needed }) }
}

/// Makes a role unless it is there. Roles belong to the whole cluster: somebody else may make it at
/// the same moment.
async fn make_role(connection: &mut PgConnection, name: &str, kind: &str) -> Result<(), sqlx::Error> {
    let there: bool = query_scalar("SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1)")
        .bind(name)
        .fetch_one(&mut *connection)
        .await?;
    if there {
        return Ok(());
    }
    match run(connection, &format!("CREATE ROLE {} {kind}", identifier(name))).await {
        // 42710, 23505: it was made meanwhile.
        Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("42710" | "23505")) => Ok(()),
        done => done,
    }
}

/// Runs a statement that takes no parameters: roles and settings are not data to Postgres.
async fn run(connection: &mut PgConnection, statement: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await.map(|_| ())
}

/// Quoted as Postgres quotes names (SQL syntax, 4.1.1).
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quoted as Postgres quotes texts, with escapes (SQL syntax, 4.1.2.2).
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// The password in a URL.
fn password(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    let encoded = url.password()?.to_owned();
    url::form_urlencoded::parse(format!("p={}", encoded.replace('+', "%2B")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_cannot_leave_their_quotes() {
        assert_eq!(identifier("a\"; DROP"), "\"a\"\"; DROP\"");
        assert_eq!(literal("a'; \\ DROP"), "E'a\\'; \\\\ DROP'");
    }

    #[test]
    fn a_password_is_what_the_url_encodes() {
        assert_eq!(password("postgres://u:a%2Bb+c%40@h/d").as_deref(), Some("a+b+c@"));
        assert_eq!(password("postgres://u@h/d"), None);
    }
}
