//! The second wall between teams: with the tenant's condition taken out of a query, a stranger still
//! reads and changes nothing.

use std::{collections::BTreeMap, sync::Arc};

use reqwest::{Method, StatusCode};
use restroy_control_plane::{
    auth::{Caller, Permission},
    runs::storage,
    sql,
    store::{
        Db, Durability, PostgresOptions, Tx,
        migrate::{self, MigrateError},
        quota::{self, Limit},
    },
};
use restroy_sdk::ids::TeamId;
use serde_json::json;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use uuid::Uuid;

use crate::runs_support::*;

/// The tables of no team, and why `restroy_app` may not read them, or what of them.
const OF_NO_TEAM: [(&str, &str); 12] = [
    ("_sqlx_migrations", "the schema's version; restroy_system reads it at the start"),
    ("api_tokens", "hashes of tokens of accounts, which are in several teams"),
    ("executors", "they serve all teams; their credentials' hashes are for restroy_system"),
    ("leader_leases", "which replica does what"),
    ("one_time_tokens", "hashes of tokens of accounts"),
    ("oidc_identities", "how accounts sign in"),
    ("recovery_codes", "hashes of codes of accounts"),
    ("stranger_mails", "e-mails to addresses of no account"),
    ("sessions", "hashes of tokens of accounts"),
    ("totp", "sealed secrets of accounts"),
    ("write_probe", "whether the database takes writes"),
    (
        "users",
        "accounts are in several teams; restroy_app reads names and addresses of those who are or were in the team, by column",
    ),
];

/// Tables that nobody may change what is in: rows are added, and removed when they are old.
const APPENDED_TO: [&str; 1] = ["audit_log"];

/// Name, roles, command, condition to see, condition to write.
type Policy = (String, Vec<String>, String, String, String);

async fn connect(url: &str) -> PgConnection {
    url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
}

/// Runs a text with names of tables in it.
async fn execute(tx: &mut Tx, text: String) -> Result<u64, sqlx::Error> {
    sql!(tx, execute, sqlx::query(AssertSqlSafe(text))).map(restroy_control_plane::store::QueryResult::rows_affected)
}

async fn scalar(tx: &mut Tx, text: String) -> i64 {
    sql!(tx, fetch_one, sqlx::query_scalar(AssertSqlSafe(text))).unwrap()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, sqlx::Error>, what: &str) {
    let error = result.expect_err(what);
    let code = error.as_database_error().and_then(|error| error.code().map(|code| code.to_string()));
    assert_eq!(code.as_deref(), Some("42501"), "{what}: {error}");
}

/// Every tenant table, and the column that names its team.
async fn tenants(owner: &mut PgConnection) -> BTreeMap<String, &'static str> {
    let tables: Vec<(String, bool)> = sqlx::query_as(
        "SELECT c.relname::text, EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'team_id')
         FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')",
    )
    .fetch_all(owner)
    .await
    .unwrap();
    let mut tenants = BTreeMap::new();
    for (table, has_team) in tables {
        match table.as_str() {
            "teams" => drop(tenants.insert(table, "id")),
            "idempotency_keys" => drop(tenants.insert(table, "scope")),
            _ if has_team => drop(tenants.insert(table, "team_id")),
            other => assert!(
                OF_NO_TEAM.iter().any(|(name, _)| *name == other),
                "the table `{other}` has no team_id: give it one, or say here why it belongs to no team"
            ),
        }
    }
    tenants
}

#[tokio::test]
async fn every_table_of_tenants_has_its_policies() {
    let it = Installation::start().await;
    let owner = &mut connect(&it.database.postgres().owner_url).await;
    for (table, team) in tenants(owner).await {
        let (enabled, forced): (bool, bool) =
            sqlx::query_as("SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = $1::regclass")
                .bind(&table)
                .fetch_one(&mut *owner)
                .await
                .unwrap();
        assert!(enabled && forced, "row-level security of `{table}` is not enabled and forced");
        let policies: Vec<Policy> = sqlx::query_as(
            "SELECT policyname::text, roles::text[], cmd, qual, with_check FROM pg_policies
             WHERE schemaname = 'public' AND tablename = $1 AND permissive = 'PERMISSIVE' ORDER BY policyname",
        )
        .bind(&table)
        .fetch_all(&mut *owner)
        .await
        .unwrap();
        let own = format!("({team} = ( SELECT app_team() AS app_team))");
        let expected: [Policy; 2] = [
            ("everything".into(), vec!["restroy_system".into()], "ALL".into(), "true".into(), "true".into()),
            ("team".into(), vec!["restroy_app".into()], "ALL".into(), own.clone(), own),
        ];
        assert_eq!(policies, expected, "the policies of `{table}`");
    }
    for (table, why) in OF_NO_TEAM {
        let may: bool = sqlx::query_scalar(
            "SELECT has_table_privilege('restroy_app', $1, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')",
        )
        .bind(table)
        .fetch_one(&mut *owner)
        .await
        .unwrap();
        assert!(!may, "restroy_app may use `{table}` ({why})");
    }
    // Texts are compared by their bytes, whatever the database was made with.
    let other: Vec<String> = sqlx::query_scalar(
        "SELECT a.attrelid::regclass || '.' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> '_sqlx_migrations'
           AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid = 'text'::regtype
           AND a.attcollation <> '\"C\"'::regcollation",
    )
    .fetch_all(&mut *owner)
    .await
    .unwrap();
    assert!(other.is_empty(), "not COLLATE \"C\": {other:?}");
}

/// Two teams with rows in every tenant table; the ids of the teams and their people's logins.
async fn two_teams(it: &Arc<Installation>) -> [(TeamId, Person); 2] {
    let mut teams = Vec::new();
    for name in ["ann", "bob"] {
        let person = it.person(name).await;
        let mut document = steps(json!({ "a": {
            "script": "a.lua",
            "secrets": ["SECRET"],
            "allow": { "kv": true, "email": true, "files": true },
        } }));
        document["schedules"] = json!({ "hourly": { "cron": "0 * * * *" } });
        let place = person.place(Some(document.clone())).await;
        let module = json!({ "name": "text", "source": "return 1" });
        let path = format!("/v1/teams/{}/library", place.team);
        person.expect(StatusCode::CREATED, Method::POST, &path, Some(module)).await;
        document["library"] = json!({ "text": 1 });
        person.publish(&place.pipeline, document).await;
        let scripts = person.get(&format!("/v1/pipelines/{}/scripts", place.pipeline)).await;
        let path = format!("/v1/scripts/{}/configuration/SECRET", text(&scripts["items"][0]["id"]));
        let secret = json!({ "value": "a long secret", "secret": true });
        person.expect(StatusCode::OK, Method::PUT, &path, Some(secret)).await;
        let path = format!("/v1/teams/{}/roles", place.team);
        let role = json!({ "name": "R", "permissions": ["run.read"] });
        person.expect(StatusCode::CREATED, Method::POST, &path, Some(role)).await;
        let me = text(&person.get("/v1/me").await["id"]);
        let path = format!("/v1/boards/{}/members/{me}", place.board);
        person.expect(StatusCode::OK, Method::PUT, &path, Some(json!({ "role": "R" }))).await;
        let path = format!("/v1/teams/{}/invitations", place.team);
        let invitation = json!({ "email": "carl@example.com", "role": "R" });
        person.expect(StatusCode::CREATED, Method::POST, &path, Some(invitation)).await;
        let path = format!("/v1/pipelines/{}/runs", place.pipeline);
        let start = person.request(Method::POST, &path).header("Idempotency-Key", "key").json(&json!({}));
        assert_eq!(answer(start).await.0, StatusCode::ACCEPTED);
        let held = it.executor().await.claim(&it.admitted().await).await.unwrap();
        held.reported(1, json!([started("a")])).await;
        held.called("set", json!({ "method": "kv_set", "key": "k", "value": 1 })).await;
        let mail = json!({ "method": "email_send", "to": ["a@example.com"], "subject": "S", "text": "T" });
        held.called("mail", mail).await;
        assert_eq!(held.artifact("artifact", "a.txt", b"x").await.0, StatusCode::OK);
        let team = place.team.parse().unwrap();
        let limits = [(Limit::EmailsPerDay, Some(7))];
        assert!(quota::set(&it.state.db, &it.state.ambient, team, &limits).await.unwrap());
        let token = json!({ "name": "everywhere", "password": "correct horse battery" });
        let token = person.expect(StatusCode::CREATED, Method::POST, "/v1/me/api-tokens", Some(token)).await;
        let path = format!("/v1/teams/{}/api-tokens/{}", place.team, text(&token["id"]));
        person.expect(StatusCode::NO_CONTENT, Method::DELETE, &path, None).await;
        teams.push((team, person));
    }
    teams.try_into().ok().unwrap()
}

/// Without a condition the team changes and removes its own rows, and no others.
async fn its_own_rows(tx: &mut Tx, (table, team): (&str, &str), own: i64, other: Uuid) {
    let changed = execute(tx, format!("UPDATE {table} SET {team} = {team}")).await.unwrap();
    assert_eq!(i64::try_from(changed).unwrap(), own, "{table}");
    let deleted = execute(tx, format!("DELETE FROM {table} WHERE {team} = '{other}'")).await.unwrap();
    assert_eq!(deleted, 0, "{table}");
    // What others refer to is not deleted; what is, is one's own.
    if let Ok(deleted) = execute(tx, format!("DELETE FROM {table}")).await {
        assert_eq!(i64::try_from(deleted).unwrap(), own, "{table}");
    }
}

#[tokio::test]
async fn without_the_condition_a_stranger_reads_and_changes_nothing() {
    let it = Installation::start().await;
    let [(ann, _), (bob, stranger)] = two_teams(&it).await;
    let owner = &mut connect(&it.database.postgres().owner_url).await;
    let (of_ann, of_bob): (Uuid, Uuid) = (ann.0, bob.0);
    // What they store is counted, and something is added since.
    storage::fold(&it.state).await.unwrap();
    let added = "INSERT INTO storage_changes (team_id, part, bytes) SELECT id, 'kv', 1 FROM teams";
    sqlx::query(added).execute(&mut *owner).await.unwrap();
    for (table, team) in tenants(owner).await {
        let rows = |of: Uuid| format!("SELECT count(*) FROM {table} WHERE {team} = '{of}'");
        let has: i64 = sqlx::query_scalar(AssertSqlSafe(rows(of_ann))).fetch_one(&mut *owner).await.unwrap();
        let own: i64 = sqlx::query_scalar(AssertSqlSafe(rows(of_bob))).fetch_one(&mut *owner).await.unwrap();
        assert!(has > 0 && own > 0, "`{table}` has no rows of both teams: this test must make some");
        let row: String = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT to_jsonb(t)::text FROM {table} t WHERE {team} = '{of_ann}' LIMIT 1"
        )))
        .fetch_one(&mut *owner)
        .await
        .unwrap();

        for tx in [
            it.state.db.team_read(bob).await.unwrap(),
            it.state.db.begin_team_exclusive(bob, Durability::Commit).await.unwrap(),
        ] {
            let mut tx = tx;
            assert_eq!(scalar(&mut tx, format!("SELECT count(*) FROM {table}")).await, own, "{table}");
            assert_eq!(scalar(&mut tx, rows(of_ann)).await, 0, "{table}");
        }
        let db = &it.state.db;
        if APPENDED_TO.contains(&table.as_str()) {
            for statement in [format!("UPDATE {table} SET {team} = {team}"), format!("DELETE FROM {table}")] {
                refused(execute(&mut db.team_write(bob).await.unwrap(), statement.clone()).await, &statement);
            }
            let statement = format!("UPDATE {table} SET {team} = {team}");
            refused(execute(&mut db.system_write().await.unwrap(), statement.clone()).await, &statement);
        } else {
            its_own_rows(&mut db.team_write(bob).await.unwrap(), (&table, team), own, of_ann).await;
        }
        let columns: String = sqlx::query_scalar(
            "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
             WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity <> 'a'",
        )
        .bind(&table)
        .fetch_one(&mut *owner)
        .await
        .unwrap();
        let insert = format!(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM jsonb_populate_record(NULL::{table}, $row${row}$row$)"
        );
        refused(execute(&mut db.team_write(bob).await.unwrap(), insert).await, &format!("INSERT INTO {table}"));
        let give = format!("UPDATE {table} SET {team} = '{of_ann}'");
        refused(execute(&mut db.team_write(bob).await.unwrap(), give).await, &format!("UPDATE {table}"));
        let truncate = format!("TRUNCATE {table} CASCADE");
        refused(execute(&mut db.team_write(bob).await.unwrap(), truncate).await, &format!("TRUNCATE {table}"));

        let left: i64 = sqlx::query_scalar(AssertSqlSafe(rows(of_ann))).fetch_one(&mut *owner).await.unwrap();
        assert_eq!(left, has, "{table}");
    }
    a_query_of_the_api(&it, ann, bob, &stranger).await;
}

/// The statement of `GET /v1/boards/{id}/pipelines`, with and without its condition.
async fn a_query_of_the_api(it: &Installation, ann: TeamId, bob: TeamId, stranger: &Person) {
    let caller = Caller::from_token(&it.state, &stranger.token, None).await.unwrap();
    let scope = caller.team(&it.state, bob, Permission::TeamRead).await.unwrap();
    let forgotten = "SELECT team_id FROM pipelines WHERE deleted_at IS NULL ORDER BY id";
    let mut tx = scope.read().await.unwrap();
    let found: Vec<TeamId> = sql!(&mut *tx, fetch_all, sqlx::query_scalar(forgotten)).unwrap();
    assert_eq!(found, [bob], "a stranger's scope shows the stranger's own");
    drop(tx);
    // The same statement where it is meant for all teams: it is the role that keeps them apart.
    let found: Vec<TeamId> =
        sql!(&mut it.state.db.system_read().await.unwrap(), fetch_all, sqlx::query_scalar(forgotten)).unwrap();
    assert_eq!(found, [ann, bob]);
    assert!(caller.team(&it.state, ann, Permission::TeamRead).await.is_err());
}

/// The files that act for all teams stand in the store's documentation, and nobody else does.
#[test]
fn who_sees_all_teams_is_listed() {
    let files = source_files();
    let listed = &files["store/lib.rs"];
    let mut seen = 0;
    for (name, text) in &files {
        let calls = ["system_read(", "system_write(", "begin_system_exclusive(", "bypassing_rls("];
        if !calls.iter().any(|call| text.contains(call)) || ["store/db.rs", "store/scope.rs"].contains(&name.as_str()) {
            continue;
        }
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let known = listed.contains(&format!("`{name}`")) || listed.contains(&format!("`{folder}/*`"));
        assert!(
            known,
            "`{name}` acts for all teams: let it act for one, or list it in control-plane/store/src/lib.rs with its reason"
        );
        seen += 1;
    }
    assert!(seen > 10);
}

/// The compiler does not complain of an unused variant of a public type.
#[test]
fn every_reason_to_bypass_row_level_security_is_used() {
    let mut files = source_files();
    let declared = files.remove("store/bypass.rs").unwrap();
    let code = declared.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let reasons: Vec<&str> = code.filter_map(|line| line.strip_suffix(',')).collect();
    assert!(reasons.len() > 3, "{reasons:?}");
    for reason in reasons {
        let used = format!("Bypass::{reason}");
        assert!(files.values().any(|text| text.contains(&used)), "nobody gives the reason `{reason}`: remove it");
    }
}

/// The sources of the crates of the control-plane: those of the server by their paths in its `src`, those of the crates
/// inside it with the crate's folder in front (`store/db.rs`).
fn source_files() -> BTreeMap<String, String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = BTreeMap::new();
    for (source, prefix) in [("src", ""), ("domain/src", "domain/"), ("store/src", "store/")] {
        let source = root.join(source);
        let mut folders = vec![source.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let name = format!("{prefix}{}", path.strip_prefix(&source).unwrap().display());
                    files.insert(name, std::fs::read_to_string(&path).unwrap());
                }
            }
        }
    }
    files
}

#[tokio::test]
async fn without_a_team_nothing_is_there() {
    let it = Installation::start().await;
    two_teams(&it).await;
    let database = it.database.postgres();
    let tables = tenants(&mut connect(&database.owner_url).await).await;
    let service = &mut connect(&database.service_url).await;
    for statement in ["BEGIN", "SET LOCAL ROLE restroy_app"] {
        sqlx::query(statement).execute(&mut *service).await.unwrap();
    }
    for table in tables.keys() {
        let text = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let seen: i64 = sqlx::query_scalar(text).fetch_one(&mut *service).await.unwrap();
        assert_eq!(seen, 0, "{table}");
    }
}

#[tokio::test]
async fn a_login_that_could_pass_by_the_wall_is_refused() {
    let it = Installation::start().await;
    let database = it.database.postgres();
    // The owner of the tables is the tests' superuser.
    let open = Db::open_postgres(&PostgresOptions::new(&database.owner_url)).await.unwrap();
    let error = open.migrate().await.unwrap_err();
    assert!(matches!(&error, MigrateError::TooStrong(role) if role == "postgres"), "{error}");
    let error = migrate::postgres(&database.owner_url, &database.owner_url).await.unwrap_err();
    assert!(matches!(&error, MigrateError::ServiceRole(role) if role == "postgres"), "{error}");

    let owner = &mut connect(&database.owner_url).await;
    let role = format!("restroy_test_{}", it.state.replica.simple());
    let mut service: url::Url = database.service_url.parse().unwrap();
    service.set_username(&role).unwrap();
    for (attributes, too_strong) in [("BYPASSRLS", true), ("SUPERUSER", true), ("INHERIT", false)] {
        let make = format!("CREATE ROLE {role} LOGIN {attributes}");
        sqlx::query(AssertSqlSafe(make)).execute(&mut *owner).await.unwrap();
        let migrated = migrate::postgres(&database.owner_url, service.as_str()).await;
        let inherits: bool = sqlx::query_scalar("SELECT rolinherit FROM pg_roles WHERE rolname = $1")
            .bind(&role)
            .fetch_one(&mut *owner)
            .await
            .unwrap();
        for statement in ["DROP OWNED BY", "DROP ROLE"] {
            sqlx::query(AssertSqlSafe(format!("{statement} {role}"))).execute(&mut *owner).await.unwrap();
        }
        if too_strong {
            assert!(matches!(migrated, Err(MigrateError::TooStrong(_))), "{attributes}: {migrated:?}");
        } else {
            migrated.unwrap();
            assert!(!inherits, "it has no rights by itself");
        }
    }
}

#[tokio::test]
async fn the_login_by_itself_may_do_nothing() {
    let it = Installation::start().await;
    let database = it.database.postgres();
    let tables = tenants(&mut connect(&database.owner_url).await).await;
    let service = &mut connect(&database.service_url).await;
    let all = tables.keys().map(String::as_str).chain(OF_NO_TEAM.iter().map(|(table, _)| *table));
    let mut statements: Vec<String> = Vec::new();
    for table in all {
        statements.push(format!("SELECT 1 FROM {table}"));
        statements.push(format!("DELETE FROM {table}"));
        statements.push(format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"));
    }
    statements.extend(["SET ROLE postgres", "CREATE TABLE mine (id int)", "CREATE ROLE more"].map(str::to_owned));
    for statement in statements {
        refused(sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut *service).await, &statement);
    }
    // As a team's: no secrets of accounts, nothing of the installation.
    let team = TeamId::from(Uuid::nil());
    for statement in [
        "SELECT password_hash FROM users",
        "SELECT * FROM users",
        "UPDATE users SET name = ''",
        "SELECT 1 FROM sessions",
        "SELECT 1 FROM one_time_tokens",
        "SELECT 1 FROM api_tokens",
        "SELECT 1 FROM totp",
        "SELECT 1 FROM executors",
        "SELECT 1 FROM leader_leases",
        "SELECT 1 FROM _sqlx_migrations",
        "ALTER TABLE boards DISABLE ROW LEVEL SECURITY",
        "DROP POLICY team ON boards",
        "SET LOCAL ROLE postgres",
    ] {
        refused(execute(&mut it.state.db.team_write(team).await.unwrap(), statement.to_owned()).await, statement);
    }
}

#[tokio::test]
async fn of_people_a_team_sees_its_members() {
    let it = Installation::start().await;
    let [(ann, _), (bob, _)] = two_teams(&it).await;
    for (team, name) in [(ann, "ann"), (bob, "bob")] {
        let mut tx = it.state.db.team_read(team).await.unwrap();
        let all = "SELECT name FROM users ORDER BY name";
        let seen: Vec<String> = sql!(&mut *tx, fetch_all, sqlx::query_scalar(all)).unwrap();
        assert_eq!(seen, [name], "with the condition taken out");
    }
    let mut tx = it.state.db.team_read(TeamId::from(Uuid::nil())).await.unwrap();
    assert_eq!(scalar(&mut tx, "SELECT count(id) FROM users".to_owned()).await, 0);
}
