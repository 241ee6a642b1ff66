//! What was true when a request began, and is not any more when its transaction comes to it. On SQLite one writer is
//! running at a time, so there is no moment in between that a test could wait for.

use reqwest::{Method, StatusCode};
use serde_json::json;
use totp_rs::{Builder, Secret};

use crate::{
    retries::{owner, run, until_one_waits},
    runs_support::*,
};

#[tokio::test]
async fn who_registers_while_the_purge_removes_the_account_has_one() {
    let it = Installation::start().await;
    let ann = it.person("ann").await;
    let (mut purge, mut watch) = (owner(&it).await, owner(&it).await);
    run(&mut purge, "BEGIN; SELECT 1 FROM users FOR UPDATE").await;
    let account = json!({ "email": "ann@example.com", "password": "correct horse battery", "name": "Ann" });
    let register = tokio::spawn(async move { ann.call(Method::POST, "/v1/auth/register", Some(account)).await });
    until_one_waits(&mut watch).await;
    run(&mut purge, "DELETE FROM users; COMMIT").await;
    let (status, answer) = register.await.unwrap();
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    assert_eq!(it.count("SELECT count(*) FROM users WHERE name = 'Ann'").await, 1);
}

#[tokio::test]
async fn a_session_that_ends_meanwhile_turns_no_second_factor_on() {
    let it = Installation::start().await;
    let ann = it.person("ann").await;
    let proof = json!({ "password": "correct horse battery" });
    let begun = ann.expect(StatusCode::OK, Method::POST, "/v1/me/totp", Some(proof)).await;
    let secret = Secret::try_from_base32(text(&begun["secret"])).unwrap();
    let seconds = u64::try_from(it.state.ambient.now().micros() / 1_000_000).unwrap();
    let code = Builder::new().with_secret(secret).build().unwrap().generate(seconds).to_string();
    let (mut reset, mut watch) = (owner(&it).await, owner(&it).await);
    run(&mut reset, "BEGIN; SELECT 1 FROM users FOR UPDATE").await;
    let confirm =
        tokio::spawn(async move { ann.call(Method::POST, "/v1/me/totp/confirm", Some(json!({ "code": code }))).await });
    until_one_waits(&mut watch).await;
    run(&mut reset, "UPDATE sessions SET revoked_at = created_at; COMMIT").await;
    let (status, answer) = confirm.await.unwrap();
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
    assert_eq!(it.count("SELECT count(*) FROM totp WHERE confirmed_at IS NOT NULL").await, 0);
}
