//! Sign-in by an OpenID provider: a small real one on loopback, with keys and signatures of its own.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use restroy_control_plane::{
    auth::{Registration, oidc::OidcSettings, operator},
    sql,
    state::Settings,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use crate::{
    second_factor,
    support::{PASSWORD, Person, Reply, Request, World},
};

const CLIENT: &str = "restroy";
const SECRET: &str = "the client's secret";

/// A key of the provider's.
struct Key {
    pair: rcgen::KeyPair,
    id: &'static str,
}

impl Key {
    fn new(id: &'static str) -> Self {
        Self { pair: rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap(), id }
    }

    /// The public half (RFC 7518, section 6.2).
    fn jwk(&self) -> Value {
        let point = self.pair.public_key_raw(); // 4, x, y
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id,
            "x": part(&point[1..33]), "y": part(&point[33..65]) })
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.into()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(&self.pair.serialize_der())).unwrap()
    }
}

/// What somebody agreed to at the provider.
struct Grant {
    nonce: String,
    challenge: String,
    redirect: String,
    claims: Value,
}

struct Provider {
    issuer: String,
    key: Mutex<Key>,
    /// What its tokens are signed with, if not with that.
    other_key: Mutex<Option<Key>>,
    codes: Mutex<HashMap<String, Grant>>,
    away: Mutex<bool>,
    /// How often it was asked what it is like.
    asked: AtomicUsize,
    now: Box<dyn Fn() -> i64 + Send + Sync>,
}

impl Provider {
    /// What a browser does: goes to the address, signs in, and comes back with a code and a state.
    fn agree(&self, url: &str, claims: Value) -> (String, String) {
        let url = reqwest::Url::parse(url).unwrap();
        assert!(url.as_str().starts_with(&format!("{}/authorize?", self.issuer)), "{url}");
        let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
        for (name, value) in [("response_type", "code"), ("client_id", CLIENT), ("code_challenge_method", "S256")] {
            assert_eq!(query[name], value, "{url}");
        }
        assert!(query["scope"].split(' ').any(|scope| scope == "openid"), "{url}");
        let mut codes = self.codes.lock().unwrap();
        let code = format!("code-{}", codes.len());
        let grant = Grant {
            nonce: query["nonce"].clone(),
            challenge: query["code_challenge"].clone(),
            redirect: query["redirect_uri"].clone(),
            claims,
        };
        codes.insert(code.clone(), grant);
        (code, query["state"].clone())
    }
}

async fn describe(State(provider): State<Arc<Provider>>) -> Result<Json<Value>, StatusCode> {
    provider.asked.fetch_add(1, Ordering::SeqCst);
    if *provider.away.lock().unwrap() {
        return Err(StatusCode::BAD_GATEWAY);
    }
    let at = |path: &str| format!("{}/{path}", provider.issuer);
    Ok(Json(json!({
        "issuer": provider.issuer, "authorization_endpoint": at("authorize"), "token_endpoint": at("token"),
        "jwks_uri": at("keys"), "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "none", "HS256"],
    })))
}

async fn keys(State(provider): State<Arc<Provider>>) -> Json<Value> {
    Json(json!({ "keys": [provider.key.lock().unwrap().jwk()] }))
}

async fn token(State(provider): State<Arc<Provider>>, headers: HeaderMap, body: String) -> (StatusCode, Json<Value>) {
    let form: HashMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let refused = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": error })));
    let secret: String =
        reqwest::Url::parse_with_params("http://x", [("s", SECRET)]).unwrap().query().unwrap()[2..].into();
    let basic = format!("Basic {}", STANDARD.encode(format!("{CLIENT}:{secret}")));
    if headers.get("authorization").and_then(|value| value.to_str().ok()) != Some(&basic) {
        return refused("invalid_client");
    }
    let Some(grant) = provider.codes.lock().unwrap().remove(&form["code"]) else { return refused("invalid_grant") };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes()));
    if challenge != grant.challenge || form["redirect_uri"] != grant.redirect {
        return refused("invalid_grant");
    }
    let now = (provider.now)();
    let mut claims =
        json!({ "iss": provider.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": grant.nonce });
    claims.as_object_mut().unwrap().extend(grant.claims.as_object().unwrap().clone());
    let other = provider.other_key.lock().unwrap();
    let algorithm = claims.as_object_mut().unwrap().remove("alg");
    let id_token = match algorithm.as_ref().and_then(Value::as_str) {
        Some("HS256") => {
            // What a client may take that looks at the token's word for how it is signed.
            let key = EncodingKey::from_secret(SECRET.as_bytes());
            jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
        }
        Some(_) => {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            format!("{}.{}.", part(&json!({ "alg": "none" })), part(&claims))
        }
        None => match &*other {
            Some(key) => key.sign(&claims),
            None => provider.key.lock().unwrap().sign(&claims),
        },
    };
    (
        StatusCode::OK,
        Json(json!({ "access_token": "a", "token_type": "Bearer", "expires_in": 300, "id_token": id_token })),
    )
}

/// An installation with a provider.
async fn installation() -> (World, Arc<Provider>) {
    installation_with(|_| ()).await
}

async fn installation_with(change: impl FnOnce(&mut Settings)) -> (World, Arc<Provider>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let settings =
        OidcSettings { issuer: issuer.clone(), client_id: CLIENT.into(), client_secret: SECRET.to_owned().into() };
    let world = World::with(|all| {
        all.oidc = Some(settings);
        change(all);
    })
    .await;
    let ambient = world.state.ambient.clone();
    let provider = Arc::new(Provider {
        issuer,
        key: Mutex::new(Key::new("first")),
        other_key: Mutex::default(),
        codes: Mutex::default(),
        away: Mutex::default(),
        asked: AtomicUsize::default(),
        now: Box::new(move || ambient.now().micros() / 1_000_000),
    });
    let router = Router::new()
        .route("/.well-known/openid-configuration", get(describe))
        .route("/keys", get(keys))
        .route("/token", post(token))
        .with_state(provider.clone());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (world, provider)
}

async fn begin(world: &World) -> (String, String) {
    let begun = world.anonymous(Method::POST, "/v1/auth/oidc", None).await.expect(200).body;
    let text = |field: &str| begun[field].as_str().unwrap().to_owned();
    (text("authorization_url"), text("flow"))
}

async fn finish(world: &World, flow: &str, code: &str, state: &str) -> Reply {
    let body = json!({ "flow": flow, "code": code, "state": state });
    world.anonymous(Method::POST, "/v1/auth/oidc/finish", Some(body)).await
}

/// The whole way, for somebody with these claims.
async fn sign_in(world: &World, provider: &Provider, claims: Value) -> Reply {
    let (url, flow) = begin(world).await;
    let (code, state) = provider.agree(&url, claims);
    finish(world, &flow, &code, &state).await
}

fn ann() -> Value {
    json!({ "sub": "4711", "email": "ann@example.com", "email_verified": true, "name": "Ann" })
}

/// The token of the newest e-mail.
async fn mailed(world: &World) -> String {
    let mut tx = world.state.db.system_read().await.unwrap();
    let newest = "SELECT body_text FROM outbox ORDER BY id DESC LIMIT 1";
    let text: String = sql!(&mut tx, fetch_one, sqlx::query_scalar(newest)).unwrap();
    text.split_once('#').unwrap().1.split_whitespace().next().unwrap().to_owned()
}

async fn me(world: &World, reply: &Reply) -> Value {
    let token = reply.body["access_token"].as_str().unwrap();
    let request = crate::support::Request::new(Method::GET, "/v1/me");
    world.send(crate::support::Request { token: Some(token), ..request }).await.expect(200).body
}

#[tokio::test]
async fn somebody_new_and_somebody_known() {
    let (world, provider) = installation().await;
    let first = sign_in(&world, &provider, ann()).await.expect(200);
    let account = me(&world, &first).await;
    assert_eq!((&account["email"], &account["name"]), (&json!("ann@example.com"), &json!("Ann")));
    let (token, path) = (first.body["access_token"].as_str(), "/v1/me/audit");
    let log = world.send(Request { token, ..Request::new(Method::GET, path) }).await.expect(200);
    let told: Vec<_> = log.items().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(told, ["session.login", "user.oidc_link", "user.register"]);
    // Known by who it is there, whatever the address is now.
    let moved = json!({ "sub": "4711", "email": "else@example.com", "email_verified": false });
    let again = sign_in(&world, &provider, moved).await.expect(200);
    assert_eq!(me(&world, &again).await["id"], account["id"]);
    // Nobody signs in there with a password, not even an empty one.
    for password in ["", PASSWORD] {
        let login = json!({ "email": "ann@example.com", "password": password });
        world.anonymous(Method::POST, "/v1/auth/login", Some(login)).await.problem("invalid_credentials");
    }
}

#[tokio::test]
async fn an_account_is_linked_by_a_verified_address_only() {
    let (world, provider) = installation().await;
    // Registered by somebody who does not have the mailbox.
    let thief = json!({ "email": "ann@example.com", "password": PASSWORD, "name": "Thief" });
    world.anonymous(Method::POST, "/v1/auth/register", Some(thief)).await.expect(202);
    let unverified = json!({ "sub": "1", "email": "ann@example.com", "email_verified": false });
    sign_in(&world, &provider, unverified).await.problem("forbidden");
    let unsaid = json!({ "sub": "1", "email": "ann@example.com" });
    sign_in(&world, &provider, unsaid).await.problem("forbidden");
    sign_in(&world, &provider, json!({ "sub": "1" })).await.problem("forbidden");
    assert_eq!(world.count("oidc_identities").await, 0);
    sign_in(&world, &provider, ann()).await.expect(200);
    assert_eq!(world.count("users").await, 1);
    let login = json!({ "email": "ann@example.com", "password": PASSWORD });
    world.anonymous(Method::POST, "/v1/auth/login", Some(login)).await.problem("invalid_credentials");
}

#[tokio::test]
async fn what_is_not_the_providers_word_is_refused() {
    let (world, provider) = installation().await;
    let with = |field: &str, value: Value| {
        let mut claims = ann();
        claims[field] = value;
        claims
    };
    let now = world.state.ambient.now().micros() / 1_000_000;
    for claims in [
        with("alg", json!("none")),
        with("alg", json!("HS256")),
        with("iss", json!("https://other.example.com")),
        with("aud", json!("another client")),
        with("aud", json!([CLIENT, "another client"])),
        with("exp", json!(now - 60)),
        with("nonce", json!("another nonce")),
    ] {
        sign_in(&world, &provider, claims.clone()).await.problem("invalid_credentials");
    }
    *provider.other_key.lock().unwrap() = Some(Key::new("first"));
    sign_in(&world, &provider, ann()).await.problem("invalid_credentials");
    *provider.other_key.lock().unwrap() = None;
    assert_eq!(world.count("users").await, 0);
    // New keys of the provider's are found.
    *provider.key.lock().unwrap() = Key::new("second");
    world.clock.advance(Duration::from_mins(2));
    sign_in(&world, &provider, ann()).await.expect(200);
}

#[tokio::test]
async fn a_flow_is_for_who_began_it_and_good_once() {
    let (world, provider) = installation().await;
    let (url, flow) = begin(&world).await;
    let (other_url, other_flow) = begin(&world).await;
    let (code, state) = provider.agree(&url, ann());
    let (_, other_state) = provider.agree(&other_url, ann());
    finish(&world, "made up", &code, &state).await.problem("invalid_credentials");
    finish(&world, &flow, &code, &other_state).await.problem("invalid_credentials");
    // Another's code does not fit the verifier (PKCE).
    finish(&world, &other_flow, &code, &other_state).await.problem("invalid_credentials");
    let (code, state) = provider.agree(&url, ann());
    finish(&world, &flow, &code, &state).await.expect(200);
    let (code, state) = provider.agree(&url, ann());
    finish(&world, &flow, &code, &state).await.problem("invalid_credentials");
    let (url, flow) = begin(&world).await;
    world.clock.advance(Duration::from_secs(601));
    let (code, state) = provider.agree(&url, ann());
    finish(&world, &flow, &code, &state).await.problem("invalid_credentials");
}

#[tokio::test]
async fn an_account_with_a_second_factor_asks_for_it() {
    let (world, provider) = installation().await;
    let first = sign_in(&world, &provider, ann()).await.expect(200);
    let token = first.body["access_token"].as_str().unwrap().to_owned();
    let before = Person { world: &world, id: String::new(), token, refresh: String::new() };
    // A password by e-mail, a second factor with it.
    let reset = json!({ "email": "ann@example.com" });
    world.anonymous(Method::POST, "/v1/auth/password-reset", Some(reset)).await.expect(202);
    let confirm = json!({ "token": mailed(&world).await, "password": PASSWORD });
    world.anonymous(Method::POST, "/v1/auth/password-reset/confirm", Some(confirm)).await.expect(204);
    before.get("/v1/me").await.problem("unauthorized");
    second_factor::turn_on(&world.sign_in("ann@example.com").await).await;
    let asked = sign_in(&world, &provider, ann()).await.problem("second_factor_required");
    assert!(asked.body["challenge"].is_string() && asked.body.get("access_token").is_none(), "{}", asked.text);
}

#[tokio::test]
async fn who_had_an_account_before_hears_of_the_link() {
    let (world, provider) = installation().await;
    sign_in(&world, &provider, ann()).await.expect(200);
    assert_eq!(world.count("outbox").await, 0, "who is new knows");
    let bob = json!({ "email": "bob@example.com", "password": PASSWORD, "name": "Bob" });
    world.anonymous(Method::POST, "/v1/auth/register", Some(bob)).await.expect(202);
    let verify = json!({ "token": mailed(&world).await, "password": PASSWORD });
    world.anonymous(Method::POST, "/v1/auth/verify-email", Some(verify)).await.expect(204);
    let claims = json!({ "sub": "1", "email": "Bob@example.com", "email_verified": true });
    sign_in(&world, &provider, claims.clone()).await.expect(200);
    sign_in(&world, &provider, claims).await.expect(200);
    assert_eq!(world.count("outbox WHERE subject = 'Another way to sign in'").await, 1);
    // The password is as good as before.
    world.sign_in("bob@example.com").await;
}

#[tokio::test]
async fn an_address_that_went_to_somebody_else_takes_no_account_along() {
    let (world, provider) = installation().await;
    let first = sign_in(&world, &provider, ann()).await.expect(200);
    let account = me(&world, &first).await;
    let successor = json!({ "sub": "4712", "email": "ann@example.com", "email_verified": true });
    sign_in(&world, &provider, successor).await.problem("forbidden");
    let again = sign_in(&world, &provider, ann()).await.expect(200);
    assert_eq!(me(&world, &again).await["id"], account["id"]);
}

#[tokio::test]
async fn a_provider_that_is_away_is_asked_once_and_found_again() {
    let (world, provider) = installation().await;
    *provider.away.lock().unwrap() = true;
    for _ in 0..5 {
        world.anonymous(Method::POST, "/v1/auth/oidc", None).await.problem("unavailable");
    }
    assert_eq!(provider.asked.load(Ordering::SeqCst), 1);
    *provider.away.lock().unwrap() = false;
    world.clock.advance(Duration::from_secs(5));
    sign_in(&world, &provider, ann()).await.expect(200);
}

#[tokio::test]
async fn many_behind_one_address_may_begin_and_strangers_elsewhere_do_not_count() {
    let (world, provider) = installation_with(|all| all.sign_ins_per_minute = 2).await;
    for _ in 0..10 {
        sign_in(&world, &provider, ann()).await.expect(200);
        world.clock.advance(Duration::from_secs(6));
    }
    // All that one address may, an account or not.
    let mut begun = 0;
    while world.anonymous(Method::POST, "/v1/auth/oidc", None).await.status == 200 {
        begun += 1;
        assert!(begun < 100, "nobody is ever refused");
    }
    assert!(begun >= 2, "{begun}");
}

#[tokio::test]
async fn the_provider_makes_no_account_that_the_operator_does_not_want() {
    let (world, provider) = installation_with(|all| all.registration = Registration::Invited).await;
    sign_in(&world, &provider, ann()).await.problem("forbidden");
    assert_eq!(world.count("users").await, 0);
    // Whom the operator made an account for gets in.
    operator::create_account(&world.state.db, &world.state.ambient, "ann@example.com", None).await.unwrap();
    sign_in(&world, &provider, ann()).await.expect(200);
}

#[tokio::test]
async fn without_a_provider_there_is_none() {
    let world = World::new().await;
    world.anonymous(Method::POST, "/v1/auth/oidc", None).await.problem("not_found");
}
