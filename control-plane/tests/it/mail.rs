//! E-mail on its way out, seen from the mail server's side.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use reqwest::Method;
use restroy_control_plane::{
    mail::{MailSettings, Mailer},
    runs::purge,
    sql,
};
use restroy_sdk::ids::{MessageId, TeamId};
use serde_json::{Value, json};
use sqlx::query;
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    smtp::{Reaction, Sink},
    support::{PASSWORD, Person, World},
};

const FROM: &str = "Restroy <restroy@example.com>";
const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

/// An installation with a mail server.
struct Post {
    world: World,
    sink: Sink,
    stop: CancellationToken,
    mailers: Vec<JoinHandle<()>>,
}

impl Post {
    /// With so many replicas that send.
    async fn with(replicas: usize) -> Self {
        Self::by(str::to_owned, replicas).await
    }

    /// The same, with the mail server's URL changed.
    async fn by(url: impl FnOnce(&str) -> String, replicas: usize) -> Self {
        let sink = Sink::start().await;
        let settings = MailSettings::new(&url(&sink.url), FROM).unwrap();
        let world = World::with(|all| all.mail = Some(settings)).await;
        let mut post = Self { world, sink, stop: CancellationToken::new(), mailers: Vec::new() };
        for _ in 0..replicas {
            post.send();
        }
        post
    }

    /// One more replica that sends.
    fn send(&mut self) {
        let (state, stop) = (self.world.state.domain.clone(), self.stop.clone());
        self.mailers.push(tokio::spawn(self.mailer().run(state, stop)));
    }

    fn mailer(&self) -> Mailer {
        let settings = self.world.state.settings.mail.clone().unwrap();
        Mailer::new(&settings, "https://restroy.example.com")
    }

    /// Puts an e-mail into the outbox, as it is, and says so.
    async fn put(&self, mail: Mail<'_>) -> MessageId {
        let state = &self.world.state;
        let id: MessageId = state.ambient.id();
        let mut tx = state.db.system_write().await.unwrap();
        sql!(
            &mut tx,
            execute,
            query(
                "INSERT INTO outbox (id, team_id, message_id, recipients, reply_to, subject, body_text, body_html,
                                     status, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'queued', $9)"
            )
            .bind(id)
            .bind(mail.team)
            .bind(mail.message_id.map_or_else(|| format!("<{id}@restroy>"), str::to_owned))
            .bind(json!(mail.to).to_string())
            .bind(mail.reply_to)
            .bind(mail.subject)
            .bind("Hello.\n.\nA line with a dot before this one.\n")
            .bind(mail.html)
            .bind(state.ambient.now())
        )
        .unwrap();
        tx.commit().await.unwrap();
        state.mail_queued();
        id
    }

    /// Somebody who does not look into her mailbox: verified past the API. One e-mail has been sent to her.
    async fn ann(&self) -> Person<'_> {
        let world = &self.world;
        let account = json!({ "email": "ann@example.com", "password": PASSWORD, "name": "Ann" });
        world.anonymous(Method::POST, "/v1/auth/register", Some(account)).await.expect(202);
        let mut tx = world.state.db.system_write().await.unwrap();
        sql!(&mut tx, execute, query("UPDATE users SET email_verified_at = created_at")).unwrap();
        tx.commit().await.unwrap();
        self.sink.mails(1).await;
        world.sign_in("ann@example.com").await
    }

    /// Waits until so many rows of the outbox are as described.
    async fn until(&self, count: i64, condition: &str) {
        let table = format!("outbox WHERE {condition}");
        let reached = async {
            while self.world.count(&table).await != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_mins(1), reached).await;
        assert!(waited.is_ok(), "never {count} in {table}");
    }

    /// Lets time pass, and has the senders look.
    fn later(&self, span: Duration) {
        self.world.clock.advance(span);
        self.world.state.mail_queued();
    }
}

#[derive(Clone, Default)]
struct Mail<'a> {
    team: Option<TeamId>,
    message_id: Option<&'a str>,
    to: &'a [&'a str],
    reply_to: Option<&'a str>,
    subject: &'a str,
    html: Option<&'a str>,
}

const PLAIN: Mail<'static> =
    Mail { team: None, message_id: None, to: &["ann@example.com"], reply_to: None, subject: "Hello", html: None };

#[tokio::test]
async fn a_verification_arrives_and_its_link_works() {
    let post = Post::with(1).await;
    let world = &post.world;
    let account = json!({ "email": "ann@example.com", "password": PASSWORD, "name": "Ann" });
    world.anonymous(Method::POST, "/v1/auth/register", Some(account)).await.expect(202);
    let mail = post.sink.mails(1).await.remove(0);
    assert_eq!((mail.from.as_str(), mail.to.as_slice()), ("restroy@example.com", &["ann@example.com".to_owned()][..]));
    assert_eq!(mail.header("from").unwrap(), FROM);
    assert_eq!(mail.header("subject").unwrap(), "Verify your address");
    let text = mail.readable();
    let link = text.split_whitespace().find(|word| word.starts_with(&world.url) && word.contains('#')).unwrap();
    let token = link.split_once("/verify-email#").unwrap().1;
    let body = Some(json!({ "token": token, "password": PASSWORD }));
    world.anonymous(Method::POST, "/v1/auth/verify-email", body).await.expect(204);
    world.sign_in("ann@example.com").await;
    // A token that was mailed is not kept.
    post.until(1, "status = 'sent' AND body_text = '' AND attempts = 1").await;
    assert_eq!(post.sink.tries(), 1);
}

#[tokio::test]
async fn an_e_mail_refused_for_now_is_sent_once_later() {
    let post = Post::with(1).await;
    let later = ["451 4.7.1 greylisted, try again later", "452 4.3.1 no room just now"];
    post.sink.react([Reaction::RefuseRecipient(later[0]), Reaction::RefuseText(later[1])]);
    post.put(PLAIN).await;
    for attempt in 1..=2 {
        post.until(
            1,
            &format!("status = 'queued' AND attempts = {attempt} AND error LIKE '%{}%'", &later[attempt - 1][..3]),
        )
        .await;
        assert_eq!(post.sink.tries(), attempt);
        post.later(HOUR);
    }
    post.until(1, "status = 'sent' AND attempts = 3 AND error IS NULL").await;
    post.later(HOUR);
    post.put(Mail { subject: "Another", ..PLAIN }).await;
    let subjects: Vec<_> = post.sink.mails(2).await.iter().map(|mail| mail.header("subject").unwrap()).collect();
    assert_eq!(subjects, ["Hello", "Another"]);
    assert_eq!(post.sink.tries(), 4);
}

#[tokio::test]
async fn an_e_mail_refused_for_good_fails_with_the_reason() {
    let post = Post::with(1).await;
    post.sink.react([Reaction::RefuseRecipient("550 5.1.1 no such mailbox"), Reaction::RefuseText("554 5.7.1 spam")]);
    post.put(PLAIN).await;
    post.until(1, "status = 'failed' AND attempts = 1 AND error LIKE '%no such mailbox%'").await;
    post.put(PLAIN).await;
    post.until(1, "status = 'failed' AND attempts = 1 AND error LIKE '%spam%'").await;
    post.later(HOUR);
    post.put(Mail { subject: "Another", ..PLAIN }).await;
    assert_eq!(post.sink.mails(1).await[0].header("subject").unwrap(), "Another");
    assert_eq!(post.sink.tries(), 3, "what failed is not tried again");
}

#[tokio::test]
async fn a_server_that_refuses_us_is_not_the_e_mails_fault_and_its_words_are_the_operators() {
    let post = Post::by(|url| url.replace("smtp://", "smtp://restroy:hush-hush@"), 1).await;
    let ann = post.ann().await;
    let team = ann.team("Home").await;
    let mail = Mail { team: Some(team.parse().unwrap()), ..PLAIN };
    for (n, refused) in [
        ("", "554 5.7.1 your address is on a list"),
        ("EHLO", "550 5.7.1 who is that"),
        ("AUTH", "535 5.7.8 restroy: wrong password"),
        ("MAIL", "550 5.7.1 restroy@example.com may not send here"),
    ]
    .into_iter()
    .enumerate()
    {
        post.sink.refuse(Some(refused));
        post.put(mail.clone()).await;
        let plain = "error = 'the mail server cannot be reached or refuses us'";
        post.until(1, &format!("status = 'queued' AND attempts = 1 AND {plain}")).await;
        let page = ann.get(&format!("/v1/teams/{team}/outbox?status=queued")).await.expect(200);
        assert!(!page.text.contains("5.7."), "{}", page.text);
        post.sink.refuse(None);
        post.later(MINUTE);
        post.until(i64::try_from(n).unwrap() + 1, "status = 'sent' AND error IS NULL AND team_id IS NOT NULL").await;
    }
    // With the e-mail at hand, too: these are about us.
    for answer in ["530 5.7.0 authentication required", "421 4.3.2 closing"] {
        post.sink.react([Reaction::RefuseRecipient(answer)]);
        post.put(mail.clone()).await;
        post.until(1, "status = 'queued' AND attempts = 1 AND error LIKE '%cannot be reached or refuses us'").await;
        post.later(MINUTE);
        post.until(0, "status = 'queued'").await;
    }
    post.until(6, "status = 'sent' AND team_id IS NOT NULL").await;
    assert_eq!(post.world.count("outbox WHERE status = 'failed'").await, 0);
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_tried_again_under_the_same_message_id() {
    let post = Post::with(1).await;
    post.sink.react([Reaction::HangUp]);
    post.put(Mail { message_id: Some("<one@example.com>"), ..PLAIN }).await;
    post.until(1, "status = 'queued' AND attempts = 1 AND error IS NOT NULL").await;
    post.later(HOUR);
    post.until(1, "status = 'sent' AND attempts = 2").await;
    let mails = post.sink.caught();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].header("message-id").unwrap(), "<one@example.com>");
}

#[tokio::test]
async fn an_e_mail_is_given_up_after_a_day() {
    let post = Post::with(1).await;
    post.sink.react(vec![Reaction::RefuseText("451 later"); 2]);
    post.put(PLAIN).await;
    post.until(1, "status = 'queued' AND attempts = 1 AND error IS NOT NULL").await;
    post.later(Duration::from_hours(24));
    post.until(1, "status = 'failed' AND error LIKE 'given up after 2 attempts%'").await;
    assert!(post.sink.caught().is_empty());
}

#[tokio::test]
async fn a_team_sees_what_became_of_its_e_mails() {
    let post = Post::with(1).await;
    let ann = post.ann().await;
    let team = ann.team("Home").await;
    let mail = Mail { team: Some(team.parse().unwrap()), ..PLAIN };

    post.put(Mail {
        to: &["bob@example.com", "carl@example.com"],
        reply_to: Some("dora@example.com"),
        html: Some("<p>Hello.</p>"),
        ..mail.clone()
    })
    .await;
    let sent = post.sink.mails(2).await.remove(1);
    assert_eq!(sent.to, ["bob@example.com", "carl@example.com"]);
    assert_eq!(sent.header("to").unwrap(), "bob@example.com, carl@example.com");
    assert_eq!(sent.header("reply-to").unwrap(), "dora@example.com");
    assert!(sent.header("content-type").unwrap().starts_with("multipart/alternative"));
    assert!(sent.readable().contains("<p>Hello.</p>"));
    assert_eq!(sent.header("from").unwrap().replace('"', ""), "Team Home via Restroy <restroy@example.com>");
    assert_eq!(sent.header("x-restroy-team").unwrap(), team);
    assert!(sent.readable().contains("-- \r\nThe team \"Home\" sent"), "{}", sent.readable());
    assert!(sent.readable().contains("\r\n.\r\nA line"), "a dot alone does not end the text");
    post.until(1, "status = 'sent' AND team_id IS NOT NULL").await;

    post.sink.react([Reaction::RefuseText("554 no")]);
    post.put(mail).await;
    post.until(1, "status = 'failed'").await;
    let page = ann.get(&format!("/v1/teams/{team}/outbox")).await.expect(200);
    let statuses: Vec<_> = page.items().iter().map(|mail| mail["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["failed", "sent"]);
    assert!(page.items()[0]["error"].as_str().unwrap().contains("no"));
    assert_eq!(page.items()[1].get("error"), None::<&Value>);
    assert!(page.items()[1]["text"].as_str().unwrap().starts_with("Hello."), "the team's own texts are kept");
}

#[tokio::test]
async fn nothing_in_a_row_becomes_a_header_or_a_recipient() {
    let post = Post::with(1).await;
    let bad = [
        Mail { subject: "Hi\r\nBcc: eve@example.com", ..PLAIN },
        Mail { subject: "Hi\nBcc: eve@example.com", ..PLAIN },
        Mail { to: &["ann@example.com\r\nBcc: eve@example.com"], ..PLAIN },
        Mail { to: &["ann@example.com>\r\nRCPT TO:<eve@example.com"], ..PLAIN },
        Mail { to: &["ann@example.com", "x\r\nDATA"], ..PLAIN },
        Mail { to: &[], ..PLAIN },
        Mail { reply_to: Some("a@b.example\r\nBcc: eve@example.com"), ..PLAIN },
        Mail { message_id: Some("<a@b>\r\nBcc: eve@example.com"), ..PLAIN },
    ];
    for mail in &bad {
        post.put(mail.clone()).await;
    }
    post.until(i64::try_from(bad.len()).unwrap(), "status = 'failed' AND error IS NOT NULL").await;
    assert_eq!(post.sink.tries(), 0);
    post.put(PLAIN).await;
    post.sink.mails(1).await;
}

#[tokio::test]
async fn two_replicas_send_each_e_mail_once() {
    let post = Post::with(2).await;
    let count = 40;
    let mut ids = BTreeSet::new();
    for n in 0..count {
        let id = format!("<{n}@example.com>");
        post.put(Mail { message_id: Some(&id), ..PLAIN }).await;
        post.world.state.mail_queued();
        ids.insert(id);
    }
    post.until(count, "status = 'sent' AND attempts = 1").await;
    let caught: Vec<_> = post.sink.caught().iter().map(|mail| mail.header("message-id").unwrap()).collect();
    assert_eq!(caught.len(), ids.len());
    assert_eq!(caught.into_iter().collect::<BTreeSet<_>>(), ids);
}

#[tokio::test]
async fn what_a_dead_replica_had_in_hand_is_sent_after_its_lease() {
    let mut post = Post::with(1).await;
    post.sink.react([Reaction::TakeWhen(Arc::new(Notify::new()))]);
    post.put(PLAIN).await;
    post.sink.tried(1).await;
    post.mailers[0].abort();
    post.send();
    post.later(Duration::from_secs(1));
    // While the lease lasts nobody else touches it; another e-mail passes.
    post.put(Mail { subject: "Another", ..PLAIN }).await;
    assert_eq!(post.sink.mails(1).await[0].header("subject").unwrap(), "Another");
    post.until(1, "status = 'sent'").await;
    post.later(HOUR);
    assert_eq!(post.sink.mails(2).await[1].header("subject").unwrap(), "Hello");
    post.until(2, "status = 'sent'").await;
}

#[tokio::test]
async fn a_stopping_consumer_finishes_its_open_work() {
    let mut post = Post::with(1).await;
    let told = Arc::new(Notify::new());
    post.sink.react([Reaction::TakeWhen(Arc::clone(&told))]);
    post.put(PLAIN).await;
    post.sink.tried(1).await;
    post.stop.cancel();
    post.put(Mail { subject: "Another", ..PLAIN }).await;
    told.notify_one();
    post.mailers.remove(0).await.unwrap();
    assert_eq!(post.world.count("outbox WHERE status = 'sent' AND attempts = 1").await, 1);
    assert_eq!(post.world.count("outbox WHERE status = 'queued' AND attempts = 0").await, 1, "nothing new is taken");
}

#[tokio::test]
async fn a_stopping_consumer_returns_what_was_not_handed_over() {
    let mut post = Post::with(1).await;
    post.sink.react([Reaction::KeepWaiting]);
    post.put(PLAIN).await;
    post.sink.tried(1).await;
    post.stop.cancel();
    post.mailers.remove(0).await.unwrap();
    // Another replica has it at once, not after a lease.
    post.stop = CancellationToken::new();
    post.send();
    post.until(1, "status = 'sent' AND attempts = 2").await;
    assert_eq!(post.sink.caught().len(), 1);
}

#[tokio::test]
async fn what_was_handed_over_without_an_answer_is_sent_again_under_the_same_message_id() {
    let mut post = Post::with(0).await;
    let (state, stop) = (post.world.state.domain.clone(), post.stop.clone());
    let impatient = tokio::spawn(post.mailer().drain_timeout(Duration::ZERO).run(state, stop));
    let told = Arc::new(Notify::new());
    post.sink.react([Reaction::TakeWhen(Arc::clone(&told))]);
    post.put(PLAIN).await;
    post.sink.tried(1).await;
    post.stop.cancel();
    impatient.await.unwrap();
    told.notify_one();
    post.sink.mails(1).await;
    post.stop = CancellationToken::new();
    post.send();
    post.later(HOUR);
    let caught = post.sink.mails(2).await;
    assert_eq!(caught[0].header("message-id"), caught[1].header("message-id"));
    post.until(1, "status = 'sent' AND attempts = 2").await;
}

#[tokio::test]
async fn an_invitation_that_does_not_wait_any_more_is_not_sent() {
    let sink = Sink::start().await;
    let settings = MailSettings::new(&sink.url, FROM).unwrap();
    let world = World::with(|all| (all.dev, all.mail) = (true, Some(settings))).await;
    let mut post = Post { world, sink, stop: CancellationToken::new(), mailers: Vec::new() };
    let ann = post.world.person("ann").await;
    let (team, gone) = (ann.team("Team").await, ann.team("Gone").await);
    let invite = async |team: &str, name: &str| {
        let body = json!({ "email": format!("{name}@example.com"), "role": "viewer" });
        ann.post(&format!("/v1/teams/{team}/invitations"), body).await.expect(201).id()
    };
    let taken_back = invite(&team, "bob").await;
    invite(&gone, "carl").await;
    invite(&team, "dora").await;
    ann.delete(&format!("/v1/teams/{team}/invitations/{taken_back}")).await.expect(204);
    let name = Some(json!({ "name": "Gone" }));
    ann.call(Method::DELETE, &format!("/v1/teams/{gone}"), name).await.expect(204);
    post.send();
    assert_eq!(post.sink.mails(1).await[0].to, ["dora@example.com"]);
    post.until(2, "status = 'failed' AND body_text = '' AND error LIKE '%no longer pending%'").await;
    post.until(1, "status = 'sent'").await;
    assert_eq!(post.sink.tries(), 1);
}

#[tokio::test]
async fn without_a_mail_server_nothing_is_queued_and_old_e_mails_go() {
    let world = World::with(|_| {}).await;
    let account = json!({ "email": "ann@example.com", "password": PASSWORD, "name": "Ann" });
    world.anonymous(Method::POST, "/v1/auth/register", Some(account)).await.expect(202);
    assert_eq!(world.count("outbox WHERE status = 'held'").await, 1);
    world.clock.advance(Duration::from_hours(29 * 24));
    purge::step(&world.state).await.unwrap();
    assert_eq!(world.count("outbox").await, 1);
    world.clock.advance(Duration::from_hours(2 * 24));
    purge::step(&world.state).await.unwrap();
    assert_eq!(world.count("outbox").await, 0);
}

#[tokio::test]
async fn accounts_that_nobody_verified_go_after_a_week() {
    let world = World::with(|_| {}).await;
    let register = async |name: &str| {
        let account = json!({ "email": format!("{name}@example.com"), "password": PASSWORD, "name": name });
        world.anonymous(Method::POST, "/v1/auth/register", Some(account)).await.expect(202);
    };
    for name in ["ann", "bob", "carl"] {
        register(name).await;
    }
    let mut tx = world.state.db.system_write().await.unwrap();
    let verify = "UPDATE users SET email_verified_at = created_at WHERE email = 'ann@example.com'";
    sql!(&mut tx, execute, query(verify)).unwrap();
    tx.commit().await.unwrap();
    world.clock.advance(Duration::from_hours(6 * 24));
    purge::step(&world.state).await.unwrap();
    assert_eq!(world.count("users").await, 3);
    // Bob has just asked for another e-mail: its link must work.
    world.clock.advance(Duration::from_hours(30));
    register("bob").await;
    purge::step(&world.state).await.unwrap();
    assert_eq!(world.count("users WHERE email = 'carl@example.com'").await, 0);
    assert_eq!(world.count("users").await, 2);
    assert_eq!(world.count("one_time_tokens").await, 1);
    world.sign_in("ann@example.com").await;
}
