//! Host calls that the control-plane carries out: once for each key, within their limits.

use std::time::Duration;

use reqwest::StatusCode;
use restroy_control_plane::{
    mail::MailSettings,
    store::quota::{self, Limit},
};
use serde_json::{Value, json};

use crate::runs_support::*;

async fn holding() -> (std::sync::Arc<Installation>, Scene) {
    let it = Installation::start().await;
    let scene = it.claimed(None).await;
    (it, scene)
}

fn set(key: &str, value: impl serde::Serialize) -> Value {
    json!({ "method": "kv_set", "key": key, "value": json!(value), "ttl_ms": null })
}

fn get(key: &str) -> Value {
    json!({ "method": "kv_get", "key": key })
}

fn incr(key: &str, by: i64) -> Value {
    json!({ "method": "kv_incr", "key": key, "by": by })
}

#[tokio::test]
async fn an_effect_happens_once_for_each_key() {
    let (it, Scene { held, executor, task, .. }) = holding().await;
    assert_eq!(held.called("one", incr("n", 2)).await, json!({ "value": 2, "version": 1 }));
    assert_eq!(held.called("one", incr("n", 2)).await, json!({ "value": 2, "version": 1 }));
    assert_eq!(held.called("two", incr("n", 3)).await, json!({ "value": 5, "version": 2 }));
    // Also from another executor, after the lease was lost.
    it.clock.advance(Duration::from_secs(31));
    let held = executor.claim(&task).await.unwrap();
    assert_eq!(held.called("two", incr("n", 3)).await, json!({ "value": 5, "version": 2 }));
    assert_eq!(held.called("r", get("n")).await, json!({ "value": 5, "version": 2 }));
    // The same key for something else is a mistake.
    assert_eq!(held.call("two", set("n", json!(0))).await.0, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn an_answer_to_a_request_is_stored_for_whoever_repeats_it() {
    let (it, Scene { held, executor, task, .. }) = holding().await;
    let answer = json!({ "status": 201, "headers": [["x", "1"], ["x", "2"]], "body": "b2s=" });
    let answered =
        |request: &str, answer: &Value| json!({ "method": "http_answered", "request": request, "answer": answer });
    let recall = |request: &str| json!({ "method": "http_recall", "request": request });
    assert_eq!(held.called("one", recall("a")).await, Value::Null);
    assert_eq!(held.called("one", answered("a", &answer)).await, Value::Null);
    it.clock.advance(Duration::from_secs(31));
    let held = executor.claim(&task).await.unwrap();
    assert_eq!(held.called("one", recall("a")).await, answer);
    // A script chooses its keys: another request under the same one is another request.
    assert_eq!(held.called("one", recall("b")).await, Value::Null);
    // What was recorded first remains.
    assert_eq!(held.called("one", answered("b", &json!(null))).await, Value::Null);
    assert_eq!(held.called("one", recall("a")).await, answer);
    // An answer that is not stored is known to be none.
    assert_eq!(held.called("two", answered("a", &json!(null))).await, Value::Null);
    assert_eq!(held.called("two", recall("a")).await, Value::Null);
    let long = json!({ "status": 200, "headers": [], "body": "A".repeat(90_000) });
    assert_eq!(held.refused("three", answered("a", &long)).await, "http_bad_answer");
    // Sealed: nothing of it can be read in the database.
    let plain = it.count("SELECT COUNT(*) FROM host_calls WHERE CAST(answer AS TEXT) LIKE '%b2s=%'").await;
    assert_eq!(plain, 0);
}

#[tokio::test]
async fn keys_and_values_do_what_scripts_expect() {
    let (it, Scene { ann, place, held, .. }) = holding().await;
    assert_eq!(held.called("g1", get("x")).await, Value::Null);
    assert_eq!(held.called("s1", set("x", json!({ "b": 1, "a": null }))).await, json!({ "version": 1 }));
    assert_eq!(held.called("s2", set("x", json!([1.5, "ü"]))).await, json!({ "version": 2 }));
    assert_eq!(held.called("g2", get("x")).await, json!({ "value": [1.5, "ü"], "version": 2 }));
    assert_eq!(held.refused("i1", incr("x", 1)).await, "kv_not_an_integer");
    held.called("m", set("max", json!(i64::MAX))).await;
    assert_eq!(held.refused("i2", incr("max", 1)).await, "kv_integer_overflow");

    let cas = |expected: Option<Value>, value: Option<Value>| {
        let mut call = json!({ "method": "kv_cas", "key": "c" });
        for (name, value) in [("expected", expected), ("value", value)] {
            if let Some(value) = value {
                call[name] = value;
            }
        }
        call
    };
    let swapped = |answer: Value| answer["swapped"].as_bool().unwrap();
    assert!(!swapped(held.called("c1", cas(Some(json!(1)), Some(json!(2)))).await));
    assert!(swapped(held.called("c2", cas(None, Some(Value::Null))).await));
    assert!(!swapped(held.called("c3", cas(None, Some(json!(2)))).await), "null is a value");
    assert!(swapped(held.called("c4", cas(Some(Value::Null), Some(json!({ "a": 1, "b": 2 })))).await));
    assert!(swapped(held.called("c5", cas(Some(json!({ "b": 2, "a": 1 })), None)).await));
    assert_eq!(held.called("g3", get("c")).await, Value::Null);

    assert_eq!(held.called("d1", json!({ "method": "kv_delete", "key": "x" })).await, json!({ "deleted": true }));
    assert_eq!(held.called("d2", json!({ "method": "kv_delete", "key": "x" })).await, json!({ "deleted": false }));

    for key in ["p/b", "p/a", "p/c", "q"] {
        held.called(key, set(key, json!(key))).await;
    }
    let list =
        |after: Value, limit: u32| json!({ "method": "kv_list", "prefix": "p/", "after": after, "limit": limit });
    let keys = |answer: Value| -> Vec<String> {
        answer["items"].as_array().unwrap().iter().map(|item| text(&item["key"])).collect()
    };
    assert_eq!(keys(held.called("l1", list(Value::Null, 2)).await), ["p/a", "p/b"]);
    assert_eq!(keys(held.called("l2", list(json!("p/b"), 2)).await), ["p/c"]);
    assert_eq!(held.refused("l3", list(Value::Null, 0)).await, "kv_bad_limit");

    // People see the same store.
    let shown = ann.get(&format!("/v1/boards/{}/kv", place.board)).await;
    assert!(shown["items"].as_array().unwrap().iter().any(|entry| entry["key"] == "p/a"));

    // Time to live, on the database's clock.
    let brief = json!({ "method": "kv_set", "key": "t", "value": 1, "ttl_ms": 5_000 });
    held.called("t1", brief).await;
    it.clock.advance(Duration::from_secs(4));
    assert_eq!(held.called("t2", get("t")).await["value"], json!(1));
    it.clock.advance(Duration::from_secs(1));
    assert_eq!(held.called("t3", get("t")).await, Value::Null);
    assert_eq!(held.called("t4", incr("t", 1)).await, json!({ "value": 1, "version": 1 }));
    it.clock.advance(Duration::from_secs(20));
    assert_eq!(held.called("t5", get("t")).await["value"], json!(1));
}

#[tokio::test]
async fn increments_at_once_are_all_counted() {
    let (_it, Scene { held, .. }) = holding().await;
    let calls = (0..20).map(|n| {
        let held = held.clone();
        tokio::spawn(async move { held.called(&format!("k{n}"), incr("n", 1)).await["value"].as_i64().unwrap() })
    });
    let mut sums = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        sums.push(call.await.unwrap());
    }
    sums.sort_unstable();
    assert_eq!(sums, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_store_has_limits() {
    let (it, Scene { held, .. }) = holding().await;
    assert_eq!(held.refused("k1", set(&"k".repeat(513), json!(1))).await, "kv_key_too_long");
    assert_eq!(held.refused("k2", set("", json!(1))).await, "kv_key_too_long");
    assert_eq!(held.refused("k3", set("v", json!("x".repeat(64 * 1024)))).await, "kv_value_limit");
    // 10 MiB and no more; a refused write leaves nothing behind.
    let value = json!("x".repeat(64 * 1024 - 2));
    let mut call = set("", value);
    call["ttl_ms"] = json!(1000 * 60);
    for n in 0..159 {
        call["key"] = json!(format!("full{n}"));
        held.called(&format!("f{n}"), call.clone()).await;
        it.clock.advance(Duration::from_millis(10));
    }
    call["key"] = json!("over");
    assert_eq!(held.refused("over", call.clone()).await, "kv_store_full");
    assert_eq!(held.called("g", get("over")).await, Value::Null);
    let all = json!({ "method": "kv_list", "prefix": "", "after": null, "limit": 100 });
    assert_eq!(held.refused("l", all).await, "kv_list_too_large");
    // What has outlived its time makes room; a refusal can be tried again under the same key.
    it.clock.advance(Duration::from_secs(20));
    held.renew().await;
    it.clock.advance(Duration::from_secs(20));
    held.renew().await;
    it.clock.advance(Duration::from_secs(20));
    held.called("over", call).await;
}

fn email(to: &[&str], subject: &str) -> Value {
    json!({ "method": "email_send", "to": to, "subject": subject, "text": "Hello", "html": null })
}

#[tokio::test]
async fn an_email_is_put_into_the_outbox_once() {
    let (_it, Scene { ann, place, held, run, .. }) = holding().await;
    let sent = held.called("mail", email(&["a@example.com", "b@example.com"], "Hi")).await;
    assert_eq!(held.called("mail", email(&["a@example.com", "b@example.com"], "Hi")).await, sent);
    let id = text(&sent["message_id"]);
    assert!(id.starts_with('<') && id.ends_with('>') && id.contains('@'), "{id}");
    let outbox = ann.get(&format!("/v1/teams/{}/outbox", place.team)).await;
    let items = outbox["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{outbox}");
    assert_eq!((&items[0]["status"], &items[0]["run_id"]), (&json!("held"), &json!(run)));
    assert_eq!(items[0]["to"], json!(["a@example.com", "b@example.com"]));
}

#[tokio::test]
async fn emails_have_limits() {
    let (it, Scene { held, place, .. }) = holding().await;
    let team = place.team.parse().unwrap();
    let more = [(Limit::EmailsPerRun, Some(300))];
    quota::set(&it.state.db, &it.state.ambient, team, &more).await.unwrap();
    let many: Vec<String> = (0..51).map(|n| format!("a{n}@example.com")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(held.refused("e1", email(&[], "x")).await, "email_recipients");
    assert_eq!(held.refused("e2", email(&many, "x")).await, "email_recipients");
    assert_eq!(held.refused("e3", email(&["a@b.c\r\nBcc: x@y.z"], "x")).await, "email_bad_address");
    assert_eq!(held.refused("e4", email(&["a@b.c, d@e.f"], "x")).await, "email_bad_address");
    assert_eq!(held.refused("e5", email(&["a@b.c"], "x\r\nBcc: x@y.z")).await, "email_bad_subject");
    assert_eq!(held.refused("e6", email(&["a@b.c"], &"x".repeat(999))).await, "email_bad_subject");
    for n in 0..4 {
        held.called(&format!("m{n}"), email(&many[..50], "x")).await;
    }
    assert_eq!(held.refused("m5", email(&["a@b.c"], "x")).await, "quota_exceeded");
    // The day is over, though not in one leap: the lease lives by its renewals.
    for _ in 0..(24 * 60 * 2 + 1) / 60 {
        it.clock.advance(Duration::from_mins(30));
        held.renew().await;
    }
    held.called("m5", email(&["a@b.c"], "x")).await;
}

/// A person has twenty teams, and does not send twenty times as much.
#[tokio::test]
async fn the_teams_of_an_owner_share_a_limit_of_emails() {
    let it = Installation::start().await;
    let ann = it.person("ann").await;
    let executor = it.executor().await;
    let to: Vec<String> = (0..50).map(|n| format!("a{n}@example.com")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let mut last = None;
    for team in 0..3 {
        let place = ann.place(None).await;
        ann.run(&place, json!({})).await;
        let held = executor.claim(&it.admitted().await).await.unwrap();
        for n in 0..4 {
            if team < 2 {
                held.called(&format!("m{n}"), email(&to, "x")).await;
            }
        }
        last = Some(held);
    }
    assert_eq!(last.unwrap().refused("m", email(&["a@b.c"], "x")).await, "quota_exceeded");
    // Others are not concerned.
    let bob = it.person("bob").await;
    let place = bob.place(None).await;
    bob.run(&place, json!({})).await;
    let held = executor.claim(&it.admitted().await).await.unwrap();
    held.called("m", email(&["a@b.c"], "x")).await;
}

/// An e-mail of a script cannot pass for one of the installation.
#[tokio::test]
async fn emails_of_scripts_are_plain_and_answers_go_elsewhere() {
    let it = Installation::with(|settings| {
        let mail = MailSettings::new("smtp://localhost:1", "Restroy <restroy@example.com>").unwrap();
        settings.mail = Some(mail.for_teams(Some("Scripts <scripts@example.com>"), false).unwrap());
    })
    .await;
    let Scene { held, .. } = it.claimed(None).await;
    let mut mail = email(&["a@example.com"], "Another password at Restroy");
    mail["html"] = json!("<p>Click");
    held.called("html", mail.clone()).await;
    assert_eq!(it.count("SELECT COUNT(*) FROM outbox WHERE body_html IS NOT NULL").await, 0);
    mail["html"] = json!(null);
    for own in ["Restroy@example.com", "scripts@example.com"] {
        mail["reply_to"] = json!(own);
        assert_eq!(held.refused(own, mail.clone()).await, "email_bad_address");
    }
    mail["reply_to"] = json!("ann@example.com");
    held.called("ok", mail).await;
}

#[tokio::test]
async fn only_a_running_attempt_can_call() {
    let (_it, Scene { held, .. }) = holding().await;
    held.reported(1, json!([started("a"), finished("a")])).await;
    assert_eq!(held.call("k", set("x", json!(1))).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(held.call("k", get("x")).await.0, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn the_journal_is_bounded() {
    let (it, Scene { held, .. }) = holding().await;
    held.called("k1", incr("n", 1)).await;
    it.sql("UPDATE runs SET journal_calls = 100000").await;
    assert_eq!(held.refused("k2", incr("n", 1)).await, "journal_limit");
    assert_eq!(held.called("k1", incr("n", 1)).await["value"], json!(1), "what is in it stays good");
    assert_eq!(held.called("r", get("n")).await["value"], json!(1));
}

#[tokio::test]
async fn what_has_served_its_time_is_purged() {
    let (it, Scene { ann, place, held, .. }) = holding().await;
    let brief = json!({ "method": "kv_set", "key": "brief", "value": 1, "ttl_ms": 1_000 });
    held.called("k1", brief).await;
    held.called("k2", set("lasting", 1)).await;
    it.clock.advance(Duration::from_secs(2));
    assert_eq!(restroy_control_plane::runs::purge::step(&it.state).await.unwrap(), 1);
    assert_eq!(restroy_control_plane::runs::purge::step(&it.state).await.unwrap(), 0);
    let shown = ann.get(&format!("/v1/boards/{}/kv", place.board)).await;
    assert_eq!(shown["items"].as_array().unwrap().len(), 1);
}
