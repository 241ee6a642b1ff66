//! Registering, signing in, refreshing, signing out.

use std::time::Duration;

use reqwest::Method;
use restroy_control_plane::auth::Networks;
use serde_json::{Value, json};

use crate::support::{PASSWORD, Reply, Request, World};

async fn login(world: &World, email: &str, password: &str) -> Reply {
    let body = json!({ "email": email, "password": password });
    world.anonymous(Method::POST, "/v1/auth/login", Some(body)).await
}

async fn register(world: &World, email: &str, password: &str) -> Reply {
    let body = json!({ "email": email, "password": password, "name": "Somebody" });
    world.anonymous(Method::POST, "/v1/auth/register", Some(body)).await
}

async fn verify(world: &World, token: &str, password: &str) -> Reply {
    let body = json!({ "token": token, "password": password });
    world.anonymous(Method::POST, "/v1/auth/verify-email", Some(body)).await
}

/// A reply's body but for its request's id.
fn bare(reply: &Reply) -> Value {
    let mut body = reply.body.clone();
    body.as_object_mut().unwrap().remove("request_id");
    body
}

async fn refresh(world: &World, token: &str) -> Reply {
    world.anonymous(Method::POST, "/v1/auth/refresh", Some(json!({ "refresh_token": token }))).await
}

/// The verification tokens in the outbox, the oldest first.
async fn mailed_tokens(world: &World) -> Vec<String> {
    let mut tx = world.state.db.system_read().await.unwrap();
    let texts = "SELECT body_text FROM outbox ORDER BY id";
    let texts: Vec<String> = restroy_control_plane::sql!(&mut tx, fetch_all, sqlx::query_scalar(texts)).unwrap();
    let token = |text: &String| Some(text.split_once('#')?.1.split_whitespace().next()?.to_owned());
    texts.iter().filter_map(token).collect()
}

#[tokio::test]
async fn a_person_registers_signs_in_and_out() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let me = ann.get("/v1/me").await.expect(200).body;
    assert_eq!(me["email"], "ann@example.com");
    assert_eq!(me["email_verified"], true);
    assert!(me.get("password_hash").is_none());
    ann.call(Method::POST, "/v1/auth/logout", None).await.expect(204);
    ann.get("/v1/me").await.expect(401).problem("unauthorized");
    refresh(&world, &ann.refresh).await.expect(401);
    assert_eq!(world.count("audit_log").await, 3, "register, login, logout");
}

#[tokio::test]
async fn the_answer_to_register_does_not_tell_whether_the_address_was_known() {
    for dev in [true, false] {
        let world = World::with(|settings| settings.dev = dev).await;
        let first = register(&world, "ann@example.com", PASSWORD).await.expect(202);
        let again = register(&world, "ANN@example.com", "another password").await.expect(202);
        assert_eq!(first.body, again.body);
        assert_eq!(world.count("users").await, 1);
    }
}

#[tokio::test]
async fn a_known_account_keeps_its_password_when_somebody_registers_again() {
    let world = World::new().await;
    world.person("ann").await;
    register(&world, "ann@example.com", "another password").await.expect(202);
    login(&world, "ann@example.com", "another password").await.problem("invalid_credentials");
    login(&world, "Ann@Example.com", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_account_look_the_same() {
    let world = World::new().await;
    world.person("ann").await;
    let wrong = login(&world, "ann@example.com", "not the password").await.problem("invalid_credentials");
    let unknown = login(&world, "bob@example.com", "not the password").await.problem("invalid_credentials");
    assert_eq!(bare(&wrong), bare(&unknown));
    assert_eq!(wrong.status, unknown.status);
}

#[tokio::test]
async fn outside_dev_the_address_is_verified_first() {
    let world = World::with(|_| {}).await;
    register(&world, "ann@example.com", PASSWORD).await.expect(202);
    login(&world, "ann@example.com", PASSWORD).await.problem("invalid_credentials");
    let token = mailed_tokens(&world).await.remove(0);
    verify(&world, &token, PASSWORD).await.expect(204);
    login(&world, "ann@example.com", PASSWORD).await.expect(200);
    assert_eq!(verify(&world, &token, PASSWORD).await.problem("invalid").pointers(), ["/token"], "once");
    let outbox = world.count("outbox WHERE status = 'held' AND team_id IS NULL").await;
    assert_eq!(outbox, 1);
}

/// Who registers an address and then signs in learns nothing of whether it had an account.
#[tokio::test]
async fn a_login_does_not_tell_whether_a_registration_was_the_first() {
    let world = World::with(|_| {}).await;
    register(&world, "ann@example.com", PASSWORD).await.expect(202);
    let token = mailed_tokens(&world).await.remove(0);
    verify(&world, &token, PASSWORD).await.expect(204);
    let mut answers = Vec::new();
    for address in ["ann@example.com", "new@example.com"] {
        register(&world, address, "the thief's password").await.expect(202);
        answers.push(bare(&login(&world, address, "the thief's password").await.problem("invalid_credentials")));
    }
    answers.push(bare(&login(&world, "nobody@example.com", "the thief's password").await));
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

/// Registers Ann's address many times in her place, until no e-mail goes there any more.
async fn thief(world: &World) -> Vec<String> {
    for _ in 0..10 {
        register(world, "ann@example.com", "the thief's password").await.expect(202);
    }
    mailed_tokens(world).await
}

#[tokio::test]
async fn no_link_makes_somebody_elses_password_valid() {
    let world = World::with(|_| {}).await;
    let links = thief(&world).await;
    assert_eq!(links.len(), 5);
    register(&world, "ann@example.com", PASSWORD).await.expect(202);
    // Whichever she follows, the thief's password is not hers, nor does she make it so.
    for link in &links {
        assert_eq!(verify(&world, link, PASSWORD).await.problem("invalid").pointers(), ["/password"]);
    }
    login(&world, "ann@example.com", "the thief's password").await.problem("invalid_credentials");
    assert_eq!(world.count("users WHERE email_verified_at IS NOT NULL").await, 0);
    // An hour later she gets an e-mail of her own.
    world.clock.advance(Duration::from_secs(3601));
    register(&world, "ann@example.com", PASSWORD).await.expect(202);
    let own = mailed_tokens(&world).await.remove(5);
    verify(&world, &own, PASSWORD).await.expect(204);
    login(&world, "ann@example.com", PASSWORD).await.expect(200);
    login(&world, "ann@example.com", "the thief's password").await.problem("invalid_credentials");
    // The other links change nothing in an account that is verified.
    verify(&world, &links[0], "the thief's password").await.expect(204);
    login(&world, "ann@example.com", "the thief's password").await.problem("invalid_credentials");
    login(&world, "ann@example.com", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn who_gets_no_e_mail_of_their_own_chooses_a_password_by_a_reset() {
    let world = World::with(|_| {}).await;
    thief(&world).await;
    let body = Some(json!({ "email": "ann@example.com" }));
    world.anonymous(Method::POST, "/v1/auth/password-reset", body).await.expect(202);
    let token = mailed_tokens(&world).await.remove(5);
    let body = Some(json!({ "token": token, "password": PASSWORD }));
    world.anonymous(Method::POST, "/v1/auth/password-reset/confirm", body).await.expect(204);
    login(&world, "ann@example.com", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn the_e_mail_describes_the_registration() {
    let world = World::with(|_| {}).await;
    let day = || world.state.ambient.now().to_string().chars().take(10).collect::<String>();
    let before = day();
    register(&world, "ann@example.com", PASSWORD).await.expect(202);
    let mut tx = world.state.db.system_read().await.unwrap();
    let text = "SELECT body_text FROM outbox";
    let text: String = restroy_control_plane::sql!(&mut tx, fetch_one, sqlx::query_scalar(text)).unwrap();
    assert!(text.contains("as Somebody: ") && text.contains(" UTC, from 127.0.0.1."), "{text}");
    assert!(text.contains(&before) || text.contains(&day()), "{text}");
}

#[tokio::test]
async fn a_verification_ends_and_mails_are_bounded() {
    let world = World::with(|_| {}).await;
    for _ in 0..10 {
        register(&world, "ann@example.com", PASSWORD).await.expect(202);
    }
    let tokens = mailed_tokens(&world).await;
    assert_eq!(tokens.len(), 5);
    world.clock.advance(Duration::from_hours(25));
    verify(&world, &tokens[0], PASSWORD).await.problem("invalid");
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_its_reuse_ends_the_session() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let other = world.sign_in("ann@example.com").await;
    let second = refresh(&world, &ann.refresh).await.expect(200).body;
    let token = |field: &str| second[field].as_str().unwrap().to_owned();
    let access = token("access_token");
    let request = Request { token: Some(&access), ..Request::new(Method::GET, "/v1/me") };
    world.send(request).await.expect(200);
    // The first one again: somebody else has it.
    refresh(&world, &ann.refresh).await.problem("unauthorized");
    refresh(&world, &token("refresh_token")).await.problem("unauthorized");
    ann.get("/v1/me").await.problem("unauthorized");
    other.get("/v1/me").await.expect(200);
}

#[tokio::test]
async fn a_made_up_refresh_token_ends_nothing() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let mut made_up = ann.refresh.clone().into_bytes();
    made_up[50] = if made_up[50] == b'A' { b'B' } else { b'A' };
    refresh(&world, std::str::from_utf8(&made_up).unwrap()).await.problem("unauthorized");
    refresh(&world, "").await.problem("unauthorized");
    refresh(&world, &ann.token).await.problem("unauthorized");
    refresh(&world, &ann.refresh).await.expect(200);
}

#[tokio::test]
async fn a_session_that_nobody_refreshes_ends() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    world.clock.advance(Duration::from_hours(31 * 24));
    refresh(&world, &ann.refresh).await.problem("unauthorized");
}

#[tokio::test]
async fn attempts_are_limited_for_known_and_unknown_accounts() {
    let world = World::with(|settings| {
        settings.dev = true;
        settings.sign_ins_per_minute = 3;
    })
    .await;
    world.person("ann").await; // an attempt
    for _ in 0..2 {
        login(&world, "ann@example.com", "wrong").await.problem("invalid_credentials");
    }
    login(&world, "ann@example.com", PASSWORD).await.problem("rate_limited");
    for _ in 0..3 {
        login(&world, "bob@example.com", "wrong").await.problem("invalid_credentials");
    }
    login(&world, "bob@example.com", "wrong").await.problem("rate_limited");
    world.clock.advance(Duration::from_secs(61));
    login(&world, "ann@example.com", PASSWORD).await.expect(200);
}

/// A POST from a network address, as a proxy reports it.
async fn from(world: &World, address: &str, path: &str, body: Value) -> Reply {
    let headers = vec![("x-forwarded-for", address.to_owned())];
    world.send(Request { headers, body: Some(body), ..Request::new(Method::POST, path) }).await
}

/// An installation that lets one attempt a minute through from an address for an account, and ten for the account.
async fn behind_a_proxy() -> World {
    World::with(|settings| {
        settings.dev = true;
        settings.sign_ins_per_minute = 1;
        settings.trusted_proxies = Networks::new(vec!["127.0.0.1/32".parse().unwrap()]);
    })
    .await
}

/// Guesses from ever more addresses until whoever comes from nowhere known, with the right password, is refused.
async fn lock_out(world: &World, email: &str) {
    let mut address = 0_u16;
    let mut next = |net: &str| {
        address += 1;
        let [high, low] = address.to_be_bytes();
        format!("{net}.{high}.{low}")
    };
    let try_it = async |address: String, password: &str| {
        let body = json!({ "email": email, "password": password });
        from(world, &address, "/v1/auth/login", body).await.status == 429
    };
    for _ in 0..100 {
        while !try_it(next("198.51"), "not the password").await {}
        // In between the next one may have become due.
        if try_it(next("203.0"), PASSWORD).await {
            return;
        }
    }
    panic!("nobody is refused");
}

#[tokio::test]
async fn who_guesses_from_many_addresses_locks_nobody_out_of_where_they_have_signed_in() {
    let world = behind_a_proxy().await;
    let account = json!({ "email": "ann@example.com", "password": PASSWORD, "name": "Ann" });
    from(&world, "192.0.2.1", "/v1/auth/register", account).await.expect(202);
    let right = || json!({ "email": "Ann@example.com", "password": PASSWORD });
    for home in ["192.0.2.1", "2001:db8::1"] {
        from(&world, home, "/v1/auth/login", right()).await.expect(200);
    }
    world.clock.advance(Duration::from_secs(61));
    // The count is the same for an address without an account.
    lock_out(&world, "nobody@example.com").await;
    lock_out(&world, "ann@example.com").await;
    for home in ["192.0.2.1", "2001:db8::2"] {
        from(&world, home, "/v1/auth/login", right()).await.expect(200);
        // There, too, one may not guess as often as one likes.
        from(&world, home, "/v1/auth/login", right()).await.problem("rate_limited");
    }
}

#[tokio::test]
async fn what_floods_registrations_and_resets_stops_neither_them_nor_logins() {
    let world = behind_a_proxy().await;
    let account = || json!({ "email": "ann@example.com", "password": PASSWORD, "name": "Ann" });
    let right = || json!({ "email": "ann@example.com", "password": PASSWORD });
    for n in 0..30 {
        let address = format!("198.51.100.{n}");
        from(&world, &address, "/v1/auth/register", account()).await.expect(202);
        from(&world, &address, "/v1/auth/password-reset", json!({ "email": "ann@example.com" })).await.expect(202);
    }
    from(&world, "203.0.113.1", "/v1/auth/password-reset", json!({ "email": "ann@example.com" })).await.expect(202);
    from(&world, "203.0.113.1", "/v1/auth/login", right()).await.expect(200);
}

#[tokio::test]
async fn bad_fields_are_named_together() {
    let world = World::new().await;
    let body = json!({ "email": "nobody", "password": "short", "name": " " });
    let reply = world.anonymous(Method::POST, "/v1/auth/register", Some(body)).await.problem("invalid");
    assert_eq!(reply.pointers(), ["/email", "/password", "/name"]);
}
