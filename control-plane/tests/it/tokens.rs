//! Access tokens that are not quite ours.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Person, Request, SIGNING_KEY, World};

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

fn sign(algorithm: Algorithm, typ: Option<&str>, claims: &Value, key: &[u8]) -> String {
    let header = Header { typ: typ.map(str::to_owned), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(key)).unwrap()
}

fn changed(claims: &Value, field: &str, value: Option<Value>) -> Value {
    let mut claims = claims.clone();
    let fields = claims.as_object_mut().unwrap();
    match value {
        Some(value) => fields.insert(field.into(), value),
        None => fields.remove(field),
    };
    claims
}

async fn try_token(ann: &Person<'_>, token: &str) -> u16 {
    let request = Request { token: Some(token), ..Request::new(Method::GET, "/v1/me") };
    ann.world.send(request).await.status.as_u16()
}

#[tokio::test]
async fn tokens_that_are_not_ours_are_refused() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let bob = world.person("bob").await;
    let good = claims(&ann.token);
    let typ = Some("at+jwt");
    // The way of making them is right: unchanged, it gives a good one.
    assert_eq!(try_token(&ann, &sign(Algorithm::HS256, typ, &good, SIGNING_KEY)).await, 200);

    let (head, rest) = ann.token.split_once('.').unwrap();
    let (body, tag) = rest.split_once('.').unwrap();
    let other_session = changed(&good, "sid", Some(claims(&bob.token)["sid"].clone()));
    let bad = [
        ("alg none", format!("{}.{body}.", part(&json!({ "typ": "at+jwt", "alg": "none" })))),
        ("alg none, old tag", format!("{}.{body}.{tag}", part(&json!({ "typ": "at+jwt", "alg": "none" })))),
        ("HS384", sign(Algorithm::HS384, typ, &good, SIGNING_KEY)),
        ("HS512", sign(Algorithm::HS512, typ, &good, SIGNING_KEY)),
        ("another key", sign(Algorithm::HS256, typ, &good, b"another key of more than thirty-two bytes!")),
        ("typ JWT", sign(Algorithm::HS256, Some("JWT"), &good, SIGNING_KEY)),
        ("no typ", sign(Algorithm::HS256, None, &good, SIGNING_KEY)),
        ("another aud", sign(Algorithm::HS256, typ, &changed(&good, "aud", Some(json!("other"))), SIGNING_KEY)),
        ("no aud", sign(Algorithm::HS256, typ, &changed(&good, "aud", None), SIGNING_KEY)),
        ("no exp", sign(Algorithm::HS256, typ, &changed(&good, "exp", None), SIGNING_KEY)),
        ("no sid", sign(Algorithm::HS256, typ, &changed(&good, "sid", None), SIGNING_KEY)),
        ("another's session", sign(Algorithm::HS256, typ, &other_session, SIGNING_KEY)),
        ("tampered claims", format!("{head}.{}.{tag}", part(&changed(&good, "sub", Some(json!(bob.id)))))),
        ("tampered tag", format!("{head}.{body}.{}", tag.chars().rev().collect::<String>())),
        ("no tag", format!("{head}.{body}")),
        ("garbage", "garbage".into()),
    ];
    for (what, token) in bad {
        assert_eq!(try_token(&ann, &token).await, 401, "{what}");
    }
}

#[tokio::test]
async fn an_access_token_ends_after_fifteen_minutes() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    world.clock.advance(Duration::from_mins(14));
    ann.get("/v1/me").await.expect(200);
    world.clock.advance(Duration::from_secs(61));
    let refused = ann.get("/v1/me").await.problem("unauthorized");
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn the_scheme_is_read_in_any_case_and_no_other_is_taken() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    for (header, status) in [
        (format!("bearer {}", ann.token), 200),
        (format!("Basic {}", ann.token), 401),
        (ann.token.clone(), 401),
        ("Bearer".into(), 401),
    ] {
        let headers = vec![("authorization", header)];
        world.send(Request { headers, ..Request::new(Method::GET, "/v1/me") }).await.expect(status);
    }
}
