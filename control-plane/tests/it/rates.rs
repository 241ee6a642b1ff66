//! How much may be asked for, and who may ask from where.

use std::time::Duration;

use reqwest::Method;

use serde_json::json;

use crate::support::{PASSWORD, Person, Request, World};

/// The numbers `r` and `t` of a class in `RateLimit`.
fn standing(headers: &reqwest::header::HeaderMap, class: &str) -> Option<(u64, u64)> {
    let value = headers.get("ratelimit")?.to_str().unwrap();
    let item = value.split(", ").find(|item| item.starts_with(&format!("\"{class}\";")))?;
    let number = |name: &str| item.split(';').find_map(|part| part.strip_prefix(name)?.parse().ok()).unwrap();
    Some((number("r="), number("t=")))
}

#[tokio::test]
async fn requests_are_counted_for_token_account_and_address() {
    let world = World::with(|settings| (settings.dev, settings.requests_per_minute) = (true, 20)).await;
    let ann = world.person("ann").await; // one request so far with this token
    let first = ann.get("/v1/me").await.expect(200);
    assert_eq!(first.headers["ratelimit-policy"], "\"address\";q=200;w=60, \"token\";q=20;w=60, \"account\";q=60;w=60");
    let (left, _) = standing(&first.headers, "token").unwrap();
    for _ in 0..left {
        ann.get("/v1/me").await.expect(200);
    }
    // The time that the requests themselves took gives some back.
    let mut refused = ann.get("/v1/me").await;
    while refused.status == 200 {
        refused = ann.get("/v1/me").await;
    }
    let refused = refused.problem("rate_limited").expect(429);
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=3).contains(&wait), "{wait}");
    assert_eq!(standing(&refused.headers, "token").unwrap().0, 0);
    assert!(refused.text.contains("with this token"), "{}", refused.text);
    // Another login of the same person has its own count, and so has a stranger.
    let again = world.sign_in("ann@example.com").await;
    again.get("/v1/me").await.expect(200);
    world.clock.advance(Duration::from_secs(wait));
    ann.get("/v1/me").await.expect(200);
}

#[tokio::test]
async fn api_tokens_are_counted_apart_and_with_their_account() {
    let world = World::with(|settings| (settings.dev, settings.requests_per_minute) = (true, 20)).await;
    let ann = world.person("ann").await;
    let team = ann.team("Home").await;
    let path = format!("/v1/teams/{team}/service-accounts");
    let robot = ann.post(&path, json!({ "name": "Robot", "role": "viewer" })).await.expect(201).id();
    let tokens = [format!("{path}/{robot}/api-tokens"), "/v1/me/api-tokens".to_owned()];
    for path in tokens {
        let mut new = json!({ "name": "CI" });
        if path.starts_with("/v1/me") {
            new["password"] = PASSWORD.into();
        }
        let made = ann.post(&path, new).await.expect(201);
        let token = made.body["token"].as_str().unwrap().to_owned();
        let program = Person { world: &world, id: String::new(), token, refresh: String::new() };
        let mut through = 0;
        let refused = loop {
            let reply = program.get("/v1/me").await;
            if reply.status == 429 {
                break reply.problem("rate_limited");
            }
            through += 1;
            assert!(through < 400, "it is never refused");
        };
        assert!(through >= 20, "{through}");
        assert!(refused.text.contains("with this token"), "{}", refused.text);
        let (account, _) = standing(&refused.headers, "account").unwrap_or_default();
        assert!(account <= 60, "{account}");
    }
    // The login has its own count, but the account's is that of the token too.
    let (left, _) = standing(&ann.get("/v1/me").await.expect(200).headers, "account").unwrap();
    assert!(left < 40, "{left}");
}

#[tokio::test]
async fn an_account_does_not_grow_by_signing_in_more_often() {
    let world = World::with(|settings| (settings.dev, settings.requests_per_minute) = (true, 30)).await;
    let ann = world.person("ann").await;
    let mut people = vec![ann];
    for _ in 0..5 {
        people.push(world.sign_in("ann@example.com").await);
    }
    let mut through = 0;
    let refused = 'all: loop {
        for person in &people {
            let reply = person.get("/v1/me").await;
            if reply.status == 429 {
                break 'all reply;
            }
            through += 1;
            assert!(through < 400, "nobody is ever refused");
        }
    };
    assert!(refused.text.contains("from your account"), "{}", refused.text);
}

#[tokio::test]
async fn who_shows_no_token_is_counted_by_address_and_probes_are_not() {
    let world = World::with(|settings| settings.requests_per_minute = 2).await;
    let mut refused = 0;
    for _ in 0..60 {
        let reply = world.anonymous(Method::GET, "/v1/teams", None).await;
        if reply.status == 429 {
            reply.problem("rate_limited");
            refused += 1;
        } else {
            reply.problem("unauthorized");
        }
    }
    assert!(refused > 0);
    for _ in 0..60 {
        let probe = world.anonymous(Method::GET, "/healthz", None).await.expect(200);
        assert!(!probe.headers.contains_key("ratelimit"));
    }
}

#[tokio::test]
async fn without_a_limit_nothing_is_counted() {
    let world = World::with(|settings| (settings.dev, settings.requests_per_minute) = (true, 0)).await;
    let ann = world.person("ann").await;
    assert!(!ann.get("/v1/me").await.expect(200).headers.contains_key("ratelimit"));
}

#[tokio::test]
async fn attempts_to_sign_in_say_when_to_come_back() {
    let world = World::with(|settings| settings.sign_ins_per_minute = 1).await;
    let login = serde_json::json!({ "email": "ann@example.com", "password": "wrong wrong wrong" });
    let send = || world.anonymous(Method::POST, "/v1/auth/login", Some(login.clone()));
    send().await.problem("invalid_credentials");
    let refused = send().await.problem("rate_limited");
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    world.clock.advance(Duration::from_secs(wait));
    send().await.problem("invalid_credentials");
}

#[tokio::test]
async fn pages_of_known_origins_may_call_and_others_may_not() {
    let world = World::with(|settings| settings.allowed_origins = vec!["https://app.example/".into()]).await;
    let preflight = |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "authorization,content-type,if-match,idempotency-key"),
        ];
        let headers = headers.map(|(name, value)| (name, value.to_owned())).into();
        world.send(Request { headers, ..Request::new(Method::OPTIONS, "/v1/teams") })
    };
    for known in ["https://app.example", &world.url] {
        let reply = preflight(known).await.expect(200);
        assert_eq!(reply.headers["access-control-allow-origin"], *known);
        assert!(!reply.headers.contains_key("access-control-allow-credentials"));
        let allowed = reply.headers["access-control-allow-headers"].to_str().unwrap();
        for header in ["authorization", "if-match", "idempotency-key"] {
            assert!(allowed.contains(header), "{allowed}");
        }
    }
    for strange in ["https://evil.example", "null", "https://app.example.evil.example"] {
        let reply = preflight(strange).await;
        assert!(!reply.headers.contains_key("access-control-allow-origin"), "{strange}");
    }
    // The answer itself: an error, too, can be read by the page, with the headers that it needs.
    let headers = vec![("origin", "https://app.example".to_owned())];
    let reply = world.send(Request { headers, ..Request::new(Method::GET, "/v1/teams") }).await.expect(401);
    assert_eq!(reply.headers["access-control-allow-origin"], "https://app.example");
    let exposed = reply.headers["access-control-expose-headers"].to_str().unwrap();
    for header in ["etag", "ratelimit", "retry-after", "x-request-id"] {
        assert!(exposed.contains(header), "{exposed}");
    }
}

#[tokio::test]
async fn https_is_insisted_on_where_it_is_spoken() {
    let world = World::with(|settings| settings.public_url = "https://restroy.example".into()).await;
    let reply = world.anonymous(Method::GET, "/healthz", None).await.expect(200);
    assert_eq!(reply.headers["strict-transport-security"], "max-age=63072000");
    let plain = World::new().await.anonymous(Method::GET, "/healthz", None).await.expect(200);
    assert!(!plain.headers.contains_key("strict-transport-security"));
}
