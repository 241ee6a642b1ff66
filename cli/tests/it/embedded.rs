//! What only `restroy dev` has: its data folder, and settings with defaults.

use restroy_sdk::client::Paging;
use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};

use crate::{
    identity::{ok, types},
    server::{Server, data, restroy},
    world::person,
};

#[test]
fn the_settings_in_force_can_be_seen_and_a_second_server_is_refused() {
    let server = Server::start(&[]);
    let second =
        restroy().args(["dev", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data(server.work())).output().unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("another restroy works on"));
    let config = restroy().args(["config"]).env("RESTROY_SLOTS", "9").current_dir(server.work()).output().unwrap();
    assert!(String::from_utf8_lossy(&config.stdout).contains("slots = 9"));
    let remote = restroy().args(["dev", "--listen", "0.0.0.0:0"]).current_dir(server.work()).output().unwrap();
    assert!(String::from_utf8_lossy(&remote.stderr).contains("--allow-remote"));
}

/// Here, since it is known where the e-mail is: without a mail server it stays in the outbox.
#[tokio::test]
async fn a_password_that_was_forgotten_is_replaced() {
    let server = Server::start(&[]);
    let ada = person(&server, "ada").await;
    let home = tempfile::tempdir().unwrap();
    let said = ok(types(&home, &["password", "ada@example.com", "--server", &server.url], "", &[]));
    assert!(said.contains("restroy password --token"), "{said}");
    let file = data(server.work()).join("restroy.db");
    let mut database = SqliteConnectOptions::new().filename(file).read_only(true).connect().await.unwrap();
    let text: String = sqlx::query_scalar("SELECT body_text FROM outbox").fetch_one(&mut database).await.unwrap();
    let token = text.split_once("/reset-password#").unwrap().1.split_whitespace().next().unwrap();
    let choose = ["password", "--token", token, "--password-stdin", "--server", &server.url];
    ok(types(&home, &choose, "a better password\n", &[]));
    assert!(ada.teams(&Paging::default()).await.is_err(), "every session has ended");
    assert_eq!(types(&home, &choose, "a better password\n", &[]).0, 1, "good once");
    let login = ["login", "ada@example.com", "--password-stdin", "--server", &server.url];
    ok(types(&home, &login, "a better password\n", &[]));
}
