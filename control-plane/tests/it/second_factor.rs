//! The second factor: codes of an authenticator, and recovery codes.

use std::time::Duration;

use reqwest::Method;
use restroy_control_plane::{
    secrets::{KeyRing, MasterKey},
    store::second_factor,
};
use serde_json::json;
use totp_rs::{Builder, Secret};

use crate::support::{PASSWORD, Person, Reply, World};

/// What an authenticator shows at the world's time, `steps` later.
pub(crate) fn code(world: &World, secret: &str, steps: i64) -> String {
    let totp = Builder::new().with_secret(Secret::try_from_base32(secret).unwrap()).build().unwrap();
    let seconds = world.state.ambient.now().micros() / 1_000_000 + 30 * steps;
    totp.generate(u64::try_from(seconds).unwrap()).to_string()
}

async fn login(world: &World) -> Reply {
    let body = json!({ "email": "ann@example.com", "password": PASSWORD });
    world.anonymous(Method::POST, "/v1/auth/login", Some(body)).await
}

async fn challenge(world: &World) -> String {
    login(world).await.problem("second_factor_required").body["challenge"].as_str().unwrap().to_owned()
}

async fn second(world: &World, challenge: &str, code: &str) -> Reply {
    let body = json!({ "challenge": challenge, "code": code });
    world.anonymous(Method::POST, "/v1/auth/login/second-factor", Some(body)).await
}

/// Lets a step pass: its code is another.
fn wait(world: &World) {
    world.clock.advance(Duration::from_secs(30));
}

/// Turns the second factor on; the secret and the recovery codes.
pub(crate) async fn turn_on(ann: &Person<'_>) -> (String, Vec<String>) {
    let begun = ann.post("/v1/me/totp", json!({ "password": PASSWORD })).await.expect(200).body;
    let secret = begun["secret"].as_str().unwrap().to_owned();
    let uri = begun["uri"].as_str().unwrap();
    assert!(uri.starts_with("otpauth://totp/Restroy:ann") && uri.contains(&secret), "{uri}");
    let body = json!({ "code": code(ann.world, &secret, 0) });
    let codes = ann.post("/v1/me/totp/confirm", body).await.expect(200).body;
    let codes = codes["recovery_codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned());
    (secret, codes.collect())
}

#[tokio::test]
async fn logins_ask_for_a_code_that_is_good_once() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let (secret, recovery) = turn_on(&ann).await;
    assert_eq!(recovery.len(), 10);
    assert_eq!(ann.get("/v1/me").await.body["two_factor"], true);
    let body = json!({ "email": "ann@example.com", "password": "not the password" });
    world.anonymous(Method::POST, "/v1/auth/login", Some(body)).await.problem("invalid_credentials");

    let first = challenge(&world).await;
    // The code that turned it on is used up.
    second(&world, &first, &code(&world, &secret, 0)).await.problem("invalid_credentials");
    wait(&world);
    let now = code(&world, &secret, 0);
    let tokens = second(&world, &first, &now).await.expect(200).body;
    assert!(tokens["access_token"].is_string());
    second(&world, &first, &code(&world, &secret, 1)).await.problem("invalid_credentials");
    let another = challenge(&world).await;
    second(&world, &another, &now).await.problem("invalid_credentials");
    second(&world, "made up", &code(&world, &secret, 1)).await.problem("invalid_credentials");
    // A clock that is half a minute ahead is right enough, one that is two minutes ahead is not.
    second(&world, &another, &code(&world, &secret, 4)).await.problem("invalid_credentials");
    second(&world, &another, &code(&world, &secret, 1)).await.expect(200);

    let late = challenge(&world).await;
    world.clock.advance(Duration::from_secs(301));
    second(&world, &late, &code(&world, &secret, 0)).await.problem("invalid_credentials");
}

#[tokio::test]
async fn a_recovery_code_is_good_once() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let (_, recovery) = turn_on(&ann).await;
    let first = challenge(&world).await;
    second(&world, &first, "aaaa-aaaa-aaaa-aaaa").await.problem("invalid_credentials");
    second(&world, &first, &recovery[3].to_uppercase().replace('-', "")).await.expect(200);
    let again = challenge(&world).await;
    second(&world, &again, &recovery[3]).await.problem("invalid_credentials");
    second(&world, &again, &recovery[4]).await.expect(200);
    assert_eq!(world.count("recovery_codes WHERE used_at IS NOT NULL").await, 2);
}

#[tokio::test]
async fn recovery_codes_are_replaced_by_others() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let path = "/v1/me/totp/recovery-codes";
    ann.post(path, json!({ "password": PASSWORD })).await.problem("conflict");
    let (_, old) = turn_on(&ann).await;
    assert_eq!(
        ann.post(path, json!({ "password": "not the password" })).await.problem("invalid").pointers(),
        ["/password"]
    );
    let new = ann.post(path, json!({ "password": PASSWORD })).await.expect(200).body["recovery_codes"].clone();
    let new: Vec<&str> = new.as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(new.len(), 10);
    let first = challenge(&world).await;
    second(&world, &first, &old[0]).await.problem("invalid_credentials");
    second(&world, &first, new[0]).await.expect(200);
    assert_eq!(world.count("outbox WHERE subject = 'Your recovery codes were replaced'").await, 1);
}

#[tokio::test]
async fn sessions_without_a_second_factor_end_when_there_is_one() {
    let world = World::new().await;
    let (thief, ann) = (world.person("ann").await, world.sign_in("ann@example.com").await);
    turn_on(&ann).await;
    thief.get("/v1/me").await.problem("unauthorized");
    let refresh = Some(json!({ "refresh_token": thief.refresh }));
    world.anonymous(Method::POST, "/v1/auth/refresh", refresh).await.problem("unauthorized");
    ann.get("/v1/me").await.expect(200);
}

#[tokio::test]
async fn codes_are_not_found_by_trying() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let (secret, recovery) = turn_on(&ann).await;
    wait(&world);
    for n in 0..10 {
        let made_up = challenge(&world).await;
        second(&world, &made_up, &format!("not{n:03}")).await.problem("invalid_credentials");
    }
    let right = challenge(&world).await;
    second(&world, &right, &code(&world, &secret, 0)).await.problem("rate_limited");
    second(&world, &right, &recovery[0]).await.problem("rate_limited");
    world.clock.advance(Duration::from_hours(1));
    let right = challenge(&world).await;
    second(&world, &right, &code(&world, &secret, 0)).await.expect(200);
}

#[tokio::test]
async fn it_is_off_until_confirmed_and_after_it_was_taken_away() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    ann.post("/v1/me/totp/confirm", json!({ "code": "123456" })).await.problem("conflict");
    let wrong = ann.post("/v1/me/totp", json!({ "password": "not the password" })).await.problem("invalid");
    assert_eq!(wrong.pointers(), ["/password"]);
    let begun = ann.post("/v1/me/totp", json!({ "password": PASSWORD })).await.expect(200).body;
    login(&world).await.expect(200);
    ann.post("/v1/me/totp/confirm", json!({ "code": "nocode" })).await.problem("invalid");
    // Asking again gives another secret; the first is good for nothing.
    let first = begun["secret"].as_str().unwrap();
    let (secret, _) = turn_on(&ann).await;
    assert_ne!(first, secret);
    ann.post("/v1/me/totp", json!({ "password": PASSWORD })).await.problem("conflict");
    ann.post("/v1/me/totp/confirm", json!({ "code": code(&world, &secret, 1) })).await.problem("conflict");
    let proof = |password: &str| Some(json!({ "password": password }));
    ann.call(Method::DELETE, "/v1/me/totp", proof("not the password")).await.problem("invalid");
    ann.call(Method::DELETE, "/v1/me/totp", proof(PASSWORD)).await.expect(204);
    login(&world).await.expect(200);
    assert_eq!(world.count("recovery_codes").await, 0);
    ann.call(Method::DELETE, "/v1/me/totp", proof(PASSWORD)).await.problem("conflict");
}

#[tokio::test]
async fn a_password_reset_does_not_take_it_away() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    turn_on(&ann).await;
    let body = Some(json!({ "email": "ann@example.com" }));
    world.anonymous(Method::POST, "/v1/auth/password-reset", body).await.expect(202);
    let mut tx = world.state.db.system_read().await.unwrap();
    let text = "SELECT body_text FROM outbox WHERE body_text LIKE '%#%'";
    let text: String = restroy_control_plane::sql!(&mut tx, fetch_one, sqlx::query_scalar(text)).unwrap();
    drop(tx);
    let token = text.split_once('#').unwrap().1.split_whitespace().next().unwrap();
    let body = Some(json!({ "token": token, "password": PASSWORD }));
    world.anonymous(Method::POST, "/v1/auth/password-reset/confirm", body).await.expect(204);
    login(&world).await.problem("second_factor_required");
}

#[tokio::test]
async fn its_secret_is_sealed_and_moves_to_a_new_master_key() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let (secret, _) = turn_on(&ann).await;
    let user = ann.id.parse().unwrap();
    let ambient = &world.state.ambient;
    let new = MasterKey::generate(ambient, "k2");
    let key = |text: &str| MasterKey::parse(text).unwrap();
    let both = KeyRing::new(vec![key(&new), key(&world.master)]).unwrap();
    // A ring without the key that sealed it leaves it, and says so.
    let strange = KeyRing::new(vec![key(&new)]).unwrap();
    let left = second_factor::rewrap(&world.state.db, &strange, ambient).await.unwrap();
    assert_eq!((left.done, left.unknown.get("k1")), (0, Some(&1)));
    assert_eq!(second_factor::key_uses(&world.state.db).await.unwrap(), [("k1".to_owned(), 1)]);
    assert_eq!(second_factor::rewrap(&world.state.db, &both, ambient).await.unwrap().done, 1);
    assert_eq!(second_factor::rewrap(&world.state.db, &both, ambient).await.unwrap().done, 0);
    assert_eq!(second_factor::key_uses(&world.state.db).await.unwrap(), [("k2".to_owned(), 1)]);
    let mut tx = world.state.db.system_read().await.unwrap();
    let row = second_factor::get(&mut tx, user).await.unwrap().unwrap();
    let only_new = KeyRing::new(vec![key(&new)]).unwrap();
    let open = only_new.open_of_user(user, &row.sealed, &row.key_id).unwrap();
    assert_eq!(Secret::new(open.as_slice().into()).to_base32(), secret);
    // Moved to another account it does not open.
    assert!(only_new.open_of_user(ambient.id(), &row.sealed, &row.key_id).is_err());
}
