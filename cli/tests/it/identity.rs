//! API tokens and the second factor, as a person types them.

use std::{
    io::Write as _,
    process::{Output, Stdio},
};

use restroy_client::{Client, Paging};
use restroy_sdk::time::{Clock as _, System};
use serde_json::Value;
use totp_rs::{Builder, Secret};

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
    assert!(ok(types(&ci, &["boards"], "", &[])).contains("there is no board yet"));
    let (code, _, err) = types(&ci, &["boards", "--create", "New", "--team", "Sales"], "", &[]);
    assert!(code == 1 && err.contains("board.create"), "{err}");
    let (code, _, err) = types(&ci, &["tokens"], "", &[]);
    assert!(code == 1 && err.contains("API token"), "a token manages no tokens: {err}");

    let tokens: Value = serde_json::from_str(&ok(types(&home, &["tokens", "--json"], "", &[]))).unwrap();
    let id = tokens[0]["id"].as_str().unwrap();
    assert_eq!(tokens[0]["team_id"], team.id.to_string());
    ok(types(&home, &["tokens", "--revoke", id], "", &[]));
    let (code, _, err) = types(&ci, &["whoami"], "", &[]);
    assert!(code == 3 && err.contains("is invalid, expired or revoked"), "{err}");
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

/// What an authenticator shows, so many steps from now.
pub fn code(secret: &str, steps: u64) -> String {
    let totp = Builder::new().with_secret(Secret::try_from_base32(secret).unwrap()).build().unwrap();
    let seconds = u64::try_from(System.now().micros() / 1_000_000).unwrap();
    totp.generate(seconds + 30 * steps).to_string()
}

fn json(said: &str) -> Value {
    serde_json::from_str(said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// Signs Ada in and turns her second factor on: the secret, and the recovery codes.
pub fn turn_on(home: &tempfile::TempDir, server: &Server) -> (String, Vec<String>) {
    let login = ["login", "ada@example.com", "--password-stdin", "--server", &server.url];
    ok(types(home, &login, "password of ada\n", &[]));
    let begun = ok(types(home, &["second-factor", "on", "--password-stdin", "--json"], "password of ada\n", &[]));
    let secret = json(&begun)["secret"].as_str().unwrap().to_owned();
    let codes = ok(types(home, &["second-factor", "confirm", &code(&secret, 0), "--json"], "", &[]));
    let codes = json(&codes)["recovery_codes"].as_array().unwrap().clone();
    (secret, codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect())
}

#[tokio::test]
async fn a_second_factor_by_the_command_line() {
    let server = Server::start(&[]);
    person(&server, "ada").await;
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let login = ["login", "ada@example.com", "--password-stdin", "--server", &server.url];
    ok(types(&other, &login, "password of ada\n", &[]));
    assert!(ok(types(&other, &["second-factor"], "", &[])).contains("off"));
    let (code_is_wrong, _, err) = types(&other, &["second-factor", "on", "--password-stdin"], "not it\n", &[]);
    assert!(code_is_wrong == 1 && err.contains("password"), "{err}");
    let begun = ok(types(&other, &["second-factor", "on"], "", &[("RESTROY_PASSWORD", "password of ada")]));
    assert!(begun.contains("otpauth://totp/") && begun.contains("second-factor confirm CODE"), "{begun}");

    let (secret, recovery) = turn_on(&home, &server);
    assert_eq!(recovery.len(), 10);
    assert!(ok(types(&home, &["second-factor"], "", &[])).starts_with("on"));
    assert_eq!(types(&other, &["whoami"], "", &[]).0, 3, "what was signed in without it has ended");

    let (code_is_missing, _, err) = types(&other, &login, "password of ada\n", &[]);
    assert!(code_is_missing == 2 && err.contains("--code"), "{err}");
    let with = |code: &str| {
        let login = [&login[..], &["--code", code]].concat();
        types(&other, &login, "password of ada\n", &[])
    };
    ok(with(&code(&secret, 1)));
    ok(with(&recovery[0]));
    assert_ne!(with(&recovery[0]).0, 0, "a recovery code is good once");

    let said = ok(types(&other, &["second-factor", "codes", "--password-stdin"], "password of ada\n", &[]));
    let renewed: Vec<&str> = said.lines().map(str::trim).filter(|line| line.matches('-').count() == 3).collect();
    assert_eq!(renewed.len(), 10, "{said}");
    ok(with(renewed[0]));
    ok(types(&other, &["second-factor", "off", "--password-stdin"], "password of ada\n", &[]));
    assert!(ok(types(&other, &["second-factor"], "", &[])).contains("off"));
}
