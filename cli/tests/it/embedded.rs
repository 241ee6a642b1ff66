//! What only `restroy dev` has: its data folder, and settings with defaults.

use restroy_client::Paging;
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
    assert!(String::from_utf8_lossy(&second.stderr).contains("another restroy process uses"));
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
    let choose = ["password", "--token", token, "--server", &server.url];
    let (code, _, err) = types(&home, &choose, "", &[]);
    assert!(code == 2 && err.contains("stdin is not a terminal") && err.contains("RESTROY_PASSWORD"), "{err}");
    ok(types(&home, &choose, "", &[("RESTROY_PASSWORD", "a better password")]));
    assert!(ada.teams(&Paging::default()).await.is_err(), "every session has ended");
    let again = [&choose[..], &["--password-stdin"]].concat();
    assert_eq!(types(&home, &again, "a better password\n", &[]).0, 1, "good once");
    let login = ["login", "ada@example.com", "--password-stdin", "--server", &server.url];
    ok(types(&home, &login, "a better password\n", &[]));
}

/// As somebody is whose account the operator made.
#[tokio::test]
async fn who_has_no_team_is_told_the_next_command() {
    let server = Server::start(&[]);
    person(&server, "ada").await;
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| types(&home, arguments, "password of ada\n", &[]);
    let first = "restroy boards --create Main --team";
    let said = ok(run(&["login", "ada@example.com", "--password-stdin", "--server", &server.url]));
    assert!(said.contains("you have no team yet") && said.contains(first), "{said}");
    for list in ["teams", "boards"] {
        let said = ok(run(&[list]));
        assert!(said.contains("you have no team yet") && said.contains(first), "{list}: {said}");
    }
    let folder = home.path().join("hello");
    std::fs::create_dir_all(folder.join("scripts")).unwrap();
    let document = "restroy: 1\nname: Hello\nsteps: { greet: { script: scripts/greet.lua } }\n";
    std::fs::write(folder.join("pipeline.yaml"), document).unwrap();
    std::fs::write(folder.join("scripts/greet.lua"), "return 1").unwrap();
    let folder = folder.to_str().unwrap();
    let (code, _, err) = run(&["push", folder]);
    assert!(code == 1 && err.contains("you have no team yet") && err.contains(first), "{err}");

    ok(run(&["teams", "--create", "Sales"]));
    let first = "restroy boards --create Main";
    for (code, said) in [(0, run(&["boards"])), (1, run(&["push", folder]))] {
        assert!(said.0 == code && format!("{}{}", said.1, said.2).contains(first), "{said:?}");
    }
    ok(run(&["boards", "--create", "Main"]));
    assert!(ok(run(&["push", folder])).contains("version 1"));
}
