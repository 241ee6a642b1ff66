//! API tokens and the second factor, as a person types them.

use std::{
    io::Write as _,
    process::{Output, Stdio},
};

use restroy_sdk::client::{Client, Paging};
use serde_json::Value;

use crate::{
    server::{Server, restroy},
    world::person,
};

/// Types a command in a person's home, with more in the environment; exit code, output, errors.
pub fn types(home: &tempfile::TempDir, arguments: &[&str], input: &str, set: &[(&str, &str)]) -> (i32, String, String) {
    let mut child = restroy()
        .args(arguments)
        .env("RESTROY_CONFIG_DIR", home.path())
        .envs(set.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

pub fn ok((code, out, err): (i32, String, String)) -> String {
    assert_eq!(code, 0, "{out}{err}");
    out
}

#[tokio::test]
async fn a_program_works_with_a_token() {
    let server = Server::start(&[]);
    let ada = person(&server, "ada").await;
    let team = ada.create_team(&restroy_sdk::api::team::NewTeam { name: "Sales".into() }).await.unwrap();
    let (home, ci) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let login = ["login", "ada@example.com", "--password-stdin", "--server", &server.url];
    ok(types(&home, &login, "password of ada\n", &[]));

    let make = [
        "tokens",
        "--create",
        "CI",
        "--expires",
        "90d",
        "--scope",
        "team.read",
        "--scope",
        "board.read",
        "--team",
        "Sales",
        "--password-stdin",
    ];
    assert_eq!(types(&home, &make, "not the password\n", &[]).0, 1, "a session alone makes no token");
    let token = ok(types(&home, &make, "password of ada\n", &[])).trim().to_owned();
    assert!(token.starts_with("rst_"), "{token}");
    let list = ok(types(&home, &["tokens"], "", &[]));
    assert!(list.contains("CI") && list.contains("Sales") && list.contains("board.read"), "{list}");
    assert!(!list.contains("rst_"), "it is shown once");

    // By the environment, for one command.
    let environment = [("RESTROY_TOKEN", token.as_str()), ("RESTROY_SERVER", server.url.as_str())];
    assert!(ok(types(&ci, &["whoami"], "", &environment)).contains("owner of Sales"));
    // Kept, in place of a session.
    ok(types(&ci, &["login", "--token-stdin", "--server", &server.url], &format!("{token}\n"), &[]));
    assert!(ok(types(&ci, &["boards"], "", &[])).contains("BOARD"));
    let (code, _, err) = types(&ci, &["boards", "--create", "New", "--team", "Sales"], "", &[]);
    assert!(code == 1 && err.contains("board.create"), "{err}");
    let (code, _, err) = types(&ci, &["tokens"], "", &[]);
    assert!(code == 1 && err.contains("API token"), "a token manages no tokens: {err}");

    let tokens: Value = serde_json::from_str(&ok(types(&home, &["tokens", "--json"], "", &[]))).unwrap();
    let id = tokens[0]["id"].as_str().unwrap();
    assert_eq!(tokens[0]["team_id"], team.id.to_string());
    ok(types(&home, &["tokens", "--revoke", id], "", &[]));
    let (code, _, err) = types(&ci, &["whoami"], "", &[]);
    assert!(code == 3 && err.contains("the API token is not good"), "{err}");
    ok(types(&ci, &["logout"], "", &[]));
    assert_eq!(types(&ci, &["login", "--token-stdin", "--server", &server.url], "rst_made-up\n", &[]).0, 3);
}

#[tokio::test]
async fn logging_out_everywhere_ends_the_other_sessions() {
    let server = Server::start(&[]);
    let ada: Client = person(&server, "ada").await;
    let home = tempfile::tempdir().unwrap();
    let login = ["login", "ada@example.com", "--password-stdin", "--server", &server.url];
    ok(types(&home, &login, "password of ada\n", &[]));
    ada.teams(&Paging::default()).await.unwrap();
    ok(types(&home, &["logout", "--everywhere"], "", &[]));
    assert!(ada.teams(&Paging::default()).await.is_err());
}
