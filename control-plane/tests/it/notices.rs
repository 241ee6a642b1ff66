//! What the owner of an account is informed of when somebody changes how it is signed in to.

use std::time::Duration;

use reqwest::Method;
use restroy_control_plane::sql;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret};

use crate::support::{PASSWORD, Person, World};

/// The subjects of the installation's e-mails to an address that tell what was done, the oldest first.
async fn told(world: &World, address: &str) -> Vec<String> {
    let mut tx = world.state.db.system_read().await.unwrap();
    let texts = "SELECT subject FROM outbox WHERE recipients = $1 AND body_text LIKE '%It was done at%' ORDER BY id";
    sql!(&mut tx, fetch_all, sqlx::query_scalar(texts).bind(json!([address]).to_string())).unwrap()
}

/// The tokens in the installation's e-mails, the oldest first.
async fn tokens(world: &World) -> Vec<String> {
    let mut tx = world.state.db.system_read().await.unwrap();
    let texts = "SELECT body_text FROM outbox ORDER BY id";
    let texts: Vec<String> = sql!(&mut tx, fetch_all, sqlx::query_scalar(texts)).unwrap();
    texts.iter().filter_map(|text| Some(text.split_once('#')?.1.split_whitespace().next()?.to_owned())).collect()
}

async fn post(world: &World, path: &str, body: Value) {
    let reply = world.anonymous(Method::POST, path, Some(body)).await;
    assert!(reply.status.is_success(), "{path}: {}", reply.text);
}

/// Turns the second factor on; the secret and the recovery codes.
async fn turn_on(ann: &Person<'_>) -> (String, Value) {
    let begun = ann.post("/v1/me/totp", json!({ "password": PASSWORD })).await.expect(200).body;
    let secret = begun["secret"].as_str().unwrap().to_owned();
    let code = code(ann.world, &secret);
    let codes = ann.post("/v1/me/totp/confirm", json!({ "code": code })).await.expect(200).body;
    (secret, codes["recovery_codes"].clone())
}

fn code(world: &World, secret: &str) -> String {
    let totp = Builder::new().with_secret(Secret::try_from_base32(secret).unwrap()).build().unwrap();
    totp.generate(u64::try_from(world.state.ambient.now().micros() / 1_000_000).unwrap()).to_string()
}

/// Signs in with a password and a code.
async fn sign_in(world: &World, code: &str) {
    let login = json!({ "email": "ann@example.com", "password": PASSWORD });
    let asked = world.anonymous(Method::POST, "/v1/auth/login", Some(login)).await.problem("second_factor_required");
    let second = json!({ "challenge": asked.body["challenge"], "code": code });
    post(world, "/v1/auth/login/second-factor", second).await;
}

#[tokio::test]
async fn the_owner_hears_of_every_other_way_in() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let (secret, recovery) = turn_on(&ann).await;
    world.clock.advance(Duration::from_mins(1));
    sign_in(&world, &code(&world, &secret)).await;
    sign_in(&world, recovery[0].as_str().unwrap()).await;
    ann.post("/v1/me/api-tokens", json!({ "name": "CI", "password": PASSWORD })).await.expect(201);
    ann.call(Method::DELETE, "/v1/me/totp", Some(json!({ "password": PASSWORD }))).await.expect(204);
    let change = json!({ "password": PASSWORD, "new_password": PASSWORD });
    ann.post("/v1/me/password", change).await.expect(204);

    ann.post("/v1/me/email", json!({ "email": "new@example.com", "password": PASSWORD })).await.expect(202);
    for token in tokens(&world).await {
        post(&world, "/v1/me/email/confirm", json!({ "token": token })).await;
    }
    post(&world, "/v1/auth/password-reset", json!({ "email": "new@example.com" })).await;
    let token = tokens(&world).await.remove(2);
    post(&world, "/v1/auth/password-reset/confirm", json!({ "token": token, "password": PASSWORD })).await;

    let at_the_old = [
        "Your second factor is on",
        "A recovery code was used",
        "A new API token",
        "Your second factor was removed",
        "Your password was changed",
        "The address of your account was changed",
    ];
    assert_eq!(told(&world, "ann@example.com").await, at_the_old);
    let at_the_new = ["The address of your account was changed", "Another password was chosen"];
    assert_eq!(told(&world, "new@example.com").await, at_the_new);
    let from = world.count("outbox WHERE body_text LIKE '%It was done at%UTC, from 127.0.0.1%'").await;
    assert_eq!(from, 8, "each says from where");
}

#[tokio::test]
async fn the_log_says_how_somebody_signed_in() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let (secret, recovery) = turn_on(&ann).await;
    world.clock.advance(Duration::from_mins(1));
    sign_in(&world, &code(&world, &secret)).await;
    sign_in(&world, recovery[0].as_str().unwrap()).await;
    let log = ann.get("/v1/me/audit?action=session.login").await.expect(200);
    let how: Vec<_> = log.items().iter().map(|entry| &entry["details"]).collect();
    let expected = [
        json!({ "method": "password", "second_factor": "recovery_code" }),
        json!({ "method": "password", "second_factor": "authenticator" }),
        json!({ "method": "password" }),
    ];
    assert_eq!(how, expected.iter().collect::<Vec<_>>());
}
