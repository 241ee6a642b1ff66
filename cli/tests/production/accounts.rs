//! What the operator does for people who cannot get into their accounts.

use std::process::Output;

use serde_json::Value;

use crate::{
    identity::{ok, turn_on, types},
    server::Server,
    world::person,
};

fn remove(server: &Server, arguments: &[&str]) -> (i32, String, String) {
    let mut command = server.installation().unwrap().on_the_database();
    let Output { status, stdout, stderr } =
        command.args(["admin", "account", "remove-second-factor"]).args(arguments).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[tokio::test]
async fn the_operator_takes_a_lost_second_factor_away() {
    let server = Server::start(&[]);
    person(&server, "ada").await;
    person(&server, "bob").await;
    let home = tempfile::tempdir().unwrap();
    turn_on(&home, &server);

    let (code, _, err) = remove(&server, &["nobody@example.com", "--yes"]);
    assert!(code == 1 && err.contains("there is no account"), "{err}");
    let (code, _, err) = remove(&server, &["bob@example.com", "--yes"]);
    assert!(code == 1 && err.contains("has no second factor"), "{err}");
    let (code, _, err) = remove(&server, &["ada@example.com"]);
    assert!(code == 2 && err.contains("ada <ada@example.com>") && err.contains("--yes"), "it asks: {err}");
    assert!(ok(types(&home, &["second-factor"], "", &[])).starts_with("on"), "nothing was changed");

    let said: Value = serde_json::from_str(&ok(remove(&server, &["Ada@example.com", "--yes", "--json"]))).unwrap();
    assert_eq!((&said["email"], &said["sessions_ended"]), (&"ada@example.com".into(), &1.into()));
    assert_eq!(types(&home, &["whoami"], "", &[]).0, 3, "its sessions have ended");
    let login = ["login", "ada@example.com", "--password-stdin", "--server", &server.url];
    ok(types(&home, &login, "password of ada\n", &[]));
    let log = ok(types(&home, &["audit", "--mine", "--action", "user.totp_off", "--json"], "", &[]));
    assert!(log.contains("operator"), "{log}");
    // By its id, too; there is nothing left to take away.
    let (code, _, err) = remove(&server, &[said["id"].as_str().unwrap(), "--yes"]);
    assert!(code == 1 && err.contains("has no second factor"), "{err}");
}
