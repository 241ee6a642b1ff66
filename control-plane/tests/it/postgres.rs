//! Databases of a test's own on the Postgres that `./with-services` started. Other crates' suites
//! take this file in too.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
    path::Path,
};

use restroy_control_plane::store::migrate;
use restroy_sdk::time::Ambient;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use url::Url;

/// Where the tests' Postgres is: a superuser's URL.
const ADDRESS: &str = "TEST_POSTGRES_URL";
/// Whom services log in as, and the password.
const SERVICE: &str = "restroy_test_service";
/// Under this number one test process makes the template while the others wait.
const LOCK: i64 = 0x7265_7374;

/// A database with the schema in it and nothing else, dropped with this value.
pub(crate) struct Database {
    /// For whoever may do anything.
    #[allow(dead_code, reason = "only tests of production ask")]
    pub(crate) owner_url: String,
    /// For services.
    pub(crate) service_url: String,
    server: Url,
    name: String,
}

impl Database {
    /// Makes one.
    pub(crate) async fn new() -> Self {
        let server = server();
        let template = template(&server).await;
        let name = format!("restroy_test_{}", Ambient::system().uuid().simple());
        run(&mut connect(&server).await, &format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        let (owner_url, service_url) = (at(&server, &name).to_string(), service(&server, &name));
        Self { owner_url, service_url, server, name }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, statement) = (self.server.clone(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        // On a thread of its own: here may be a runtime that is going down with a failed test.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { run(&mut connect(&server).await, &statement).await });
        });
        let dropped = dropping.join().is_ok() || std::thread::panicking();
        assert!(dropped, "the test's database {} could not be dropped", self.name);
    }
}

/// The tests' Postgres.
fn server() -> Url {
    let address = std::env::var(ADDRESS)
        .unwrap_or_else(|_| panic!("{ADDRESS} is not set: run the tests by ./with-services cargo nextest run"));
    Url::parse(&address).unwrap()
}

/// A database of the server.
fn at(server: &Url, name: &str) -> Url {
    let mut url = server.clone();
    url.set_path(name);
    url
}

/// The same for services.
fn service(server: &Url, name: &str) -> String {
    let mut url = at(server, name);
    url.set_username(SERVICE).unwrap();
    url.set_password(Some(SERVICE)).unwrap();
    url.to_string()
}

async fn connect(url: &Url) -> PgConnection {
    let options: PgConnectOptions = url.as_str().parse().unwrap();
    options.connect().await.unwrap_or_else(|error| panic!("{ADDRESS}: {error}"))
}

async fn run(connection: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await.unwrap();
}

/// The database that others are copied from: with today's migrations, made by the first who comes.
async fn template(server: &Url) -> String {
    let name = format!("restroy_template_{:016x}", digest_of_migrations());
    let exists = "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)";
    let mut connection = connect(server).await;
    if sqlx::query_scalar(exists).bind(&name).fetch_one(&mut connection).await.unwrap() {
        return name;
    }
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(&mut connection).await.unwrap();
    if !sqlx::query_scalar::<_, bool>(exists).bind(&name).fetch_one(&mut connection).await.unwrap() {
        // Under its name once it is whole: whoever is killed half-way leaves no half template.
        let unfinished = format!("{name}_unfinished");
        run(&mut connection, &format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")).await;
        run(&mut connection, &format!("CREATE DATABASE {unfinished}")).await;
        migrate::postgres(at(server, &unfinished).as_str(), &service(server, &unfinished)).await.unwrap();
        run(&mut connection, &format!("ALTER DATABASE {unfinished} RENAME TO {name}")).await;
    }
    connection.close().await.unwrap(); // and the lock with it
    name
}

/// Changes with every migration, so that a server that outlives a change serves both.
fn digest_of_migrations() -> u64 {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/postgres");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        std::fs::read(file).unwrap().hash(&mut hasher);
    }
    hasher.finish()
}
