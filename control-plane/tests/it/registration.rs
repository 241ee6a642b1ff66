//! Who may make an account, and how many e-mails strangers can have sent. No answer informs anybody which addresses
//! have to do with the installation.

use reqwest::Method;
use restroy_control_plane::{
    DomainError,
    auth::{Networks, Registration, operator},
    sql,
    state::Settings,
    store::stranger_mails::StrangerMails,
};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::support::{PASSWORD, Person, Reply, Request, World};

async fn world(registration: Registration, change: impl FnOnce(&mut Settings)) -> World {
    World::with(|settings| {
        settings.registration = registration;
        settings.trusted_proxies = Networks::new(vec!["127.0.0.1/32".parse().unwrap()]);
        change(settings);
    })
    .await
}

/// Asks for it from a network address.
async fn asked(world: &World, from: &str, path: &str, body: Value) -> Reply {
    let headers = vec![("x-forwarded-for", from.to_owned())];
    world.send(Request { headers, body: Some(body), ..Request::new(Method::POST, path) }).await
}

async fn register(world: &World, from: &str, email: &str) -> String {
    let body = json!({ "email": email, "password": PASSWORD, "name": "Somebody" });
    asked(world, from, "/v1/auth/register", body).await.expect(202).text
}

async fn reset(world: &World, from: &str, email: &str) -> String {
    asked(world, from, "/v1/auth/password-reset", json!({ "email": email })).await.expect(202).text
}

/// How many e-mails an address has in the outbox.
async fn mails(world: &World, email: &str) -> i64 {
    world.count(&format!("outbox WHERE recipients = '[\"{email}\"]'")).await
}

/// The token of the newest e-mail to an address.
async fn token(world: &World, email: &str) -> String {
    let mut tx = world.state.db.system_read().await.unwrap();
    let newest = format!("SELECT body_text FROM outbox WHERE recipients = '[\"{email}\"]' ORDER BY id DESC LIMIT 1");
    let text: String = sql!(&mut tx, fetch_one, sqlx::query_scalar(AssertSqlSafe(newest))).unwrap();
    text.split_once('#').unwrap().1.split_whitespace().next().unwrap().to_owned()
}

/// The first account, as the operator makes it, signed in.
async fn first<'a>(world: &'a World, email: &str) -> Person<'a> {
    let made = operator::create_account(&world.state.db, &world.state.ambient, email, None).await.unwrap();
    let body = json!({ "token": made.token, "password": PASSWORD });
    world.anonymous(Method::POST, "/v1/auth/password-reset/confirm", Some(body)).await.expect(204);
    world.sign_in(email).await
}

#[tokio::test]
async fn an_operator_makes_the_first_account_once() {
    let world = world(Registration::Closed, |_| ()).await;
    let (db, ambient) = (&world.state.db, &world.state.ambient);
    let ann = first(&world, "ann@example.com").await;
    let me = ann.get("/v1/me").await.expect(200).body;
    assert_eq!((&me["name"], &me["email"]), (&json!("ann"), &json!("ann@example.com")));
    assert_eq!(world.count("outbox WHERE subject <> 'Another password was chosen'").await, 0, "no e-mail is needed");
    let again = operator::create_account(db, ambient, "Ann@Example.com", None).await.unwrap_err();
    assert!(matches!(again, DomainError::Conflict(_)), "{again}");
    for (email, name) in [("ann", None), ("a@b\r\nBcc: c@d", None), ("bob@example.com", Some("x\ny"))] {
        let wrong = operator::create_account(db, ambient, email, name).await.unwrap_err();
        assert!(matches!(wrong, DomainError::Invalid { .. }), "{email:?}: {wrong}");
    }
    // Who is locked out gets another token; it is good once.
    let found = operator::find(db, "ann@example.com").await.unwrap();
    let given = operator::reset_password(db, ambient, found.id).await.unwrap();
    let body = || Some(json!({ "token": given.token, "password": "another password of ann" }));
    world.anonymous(Method::POST, "/v1/auth/password-reset/confirm", body()).await.expect(204);
    world.anonymous(Method::POST, "/v1/auth/password-reset/confirm", body()).await.problem("invalid");
}

#[tokio::test]
async fn strangers_make_no_account_where_people_are_invited() {
    let world = world(Registration::Invited, |_| ()).await;
    let ann = first(&world, "ann@example.com").await;
    let team = ann.team("Home").await;
    let path = format!("/v1/teams/{team}/invitations");
    let invitation = json!({ "email": "Bob@example.com", "role": "viewer" });
    ann.post(&path, invitation).await.expect(201);
    let before = mails(&world, "bob@example.com").await;

    let stranger = register(&world, "192.0.2.1", "eve@example.com").await;
    let invited = register(&world, "192.0.2.1", "bob@example.com").await;
    let known = register(&world, "192.0.2.1", "ann@example.com").await;
    assert_eq!(stranger, invited, "the answers are the same");
    assert_eq!(stranger, known);
    assert_eq!(world.count("users").await, 2);
    assert_eq!(mails(&world, "eve@example.com").await, 0);
    assert_eq!(mails(&world, "bob@example.com").await, before + 1);
    let body = json!({ "token": token(&world, "bob@example.com").await, "password": PASSWORD });
    world.anonymous(Method::POST, "/v1/auth/verify-email", Some(body)).await.expect(204);
    let bob = world.sign_in("bob@example.com").await;
    assert_eq!(bob.get("/v1/me/invitations").await.expect(200).items().len(), 1);

    // An invitation that was taken back invites nobody.
    let made = ann.post(&path, json!({ "email": "carl@example.com", "role": "viewer" })).await.expect(201).id();
    ann.delete(&format!("{path}/{made}")).await.expect(204);
    register(&world, "192.0.2.1", "carl@example.com").await;
    assert_eq!(world.count("users").await, 2);
}

#[tokio::test]
async fn some_domains_may_register_or_nobody() {
    let domains = Registration::Domains(vec!["example.com".into()]);
    let open = world(domains, |_| ()).await;
    for email in ["ann@example.com", "eve@evil.example", "eve@sub.example.com", "Bob@EXAMPLE.com"] {
        register(&open, "192.0.2.1", email).await;
    }
    assert_eq!(open.count("users").await, 2);
    let closed = world(Registration::Closed, |_| ()).await;
    let ann = first(&closed, "ann@example.com").await;
    let team = ann.team("Home").await;
    let invitation = json!({ "email": "bob@example.com", "role": "viewer" });
    ann.post(&format!("/v1/teams/{team}/invitations"), invitation).await.expect(201);
    register(&closed, "192.0.2.1", "bob@example.com").await;
    assert_eq!(closed.count("users").await, 1);
}

/// Ever more addresses of others, from one network: they get few e-mails, and whoever asks is not told.
#[tokio::test]
async fn a_network_has_few_e_mails_sent_to_strangers() {
    let world = world(Registration::Open, |settings| {
        settings.stranger_mails = StrangerMails { per_network: 3, per_installation: 100 };
    })
    .await;
    let ann = first(&world, "ann@example.com").await;
    let mut answers = Vec::new();
    for n in 0..6 {
        answers.push(register(&world, &format!("192.0.2.{n}"), &format!("victim{n}@example.org")).await);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "the answer never changes");
    assert_eq!(world.count("outbox WHERE recipients LIKE '%victim%'").await, 3);
    assert_eq!(world.count("users").await, 4, "of the others nothing is kept");
    for n in 6..12 {
        reset(&world, &format!("192.0.2.{n}"), &format!("victim{n}@example.org")).await;
    }
    assert_eq!(world.count("outbox WHERE recipients LIKE '%victim%'").await, 3);
    // Who has an account is not a stranger, and other networks have their own share.
    reset(&world, "192.0.2.1", "ann@example.com").await;
    assert_eq!(world.count("outbox WHERE subject LIKE 'Another password at%'").await, 1);
    register(&world, "198.51.100.1", "victim12@example.org").await;
    reset(&world, "2001:db8::1", "victim13@example.org").await;
    assert_eq!(world.count("outbox WHERE recipients LIKE '%victim%'").await, 5);
    // Nor is whoever an invitation waits for.
    let team = ann.team("Home").await;
    let path = format!("/v1/teams/{team}/invitations");
    ann.post(&path, json!({ "email": "bob@example.org", "role": "viewer" })).await.expect(201);
    let before = mails(&world, "bob@example.org").await;
    register(&world, "192.0.2.1", "bob@example.org").await;
    assert_eq!(mails(&world, "bob@example.org").await, before + 1);
    // After an hour it begins anew.
    world.clock.advance(std::time::Duration::from_mins(61));
    register(&world, "192.0.2.1", "victim14@example.org").await;
    assert_eq!(mails(&world, "victim14@example.org").await, 1);
}

#[tokio::test]
async fn an_installation_sends_few_e_mails_to_strangers_from_everywhere() {
    let world = world(Registration::Open, |settings| {
        settings.stranger_mails = StrangerMails { per_network: 100, per_installation: 4 };
    })
    .await;
    let ann = first(&world, "ann@example.com").await;
    for n in 0..8 {
        register(&world, &format!("192.0.{n}.1"), &format!("victim{n}@example.org")).await;
    }
    assert_eq!(world.count("outbox WHERE recipients LIKE '%victim%'").await, 4);
    // What visitors use up is not taken from those who invite; theirs ends as well.
    let team = ann.team("Home").await;
    let path = format!("/v1/teams/{team}/invitations");
    for n in 0..6 {
        let invitation = json!({ "email": format!("guest{n}@example.org"), "role": "viewer" });
        ann.post(&path, invitation).await.expect(201);
    }
    assert_eq!(world.count("outbox WHERE recipients LIKE '%guest%'").await, 4);
    assert_eq!(world.count("invitations").await, 6, "they wait all the same");
}
