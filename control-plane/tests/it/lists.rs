//! Every list of the API's document: it can be turned round, comes in pages that cover it once, and a cursor
//! keeps to the order and the filters that it was given for.

use std::{collections::BTreeMap, time::Duration};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{documented::DOCUMENT, runs_support::*, support::PASSWORD};

/// Lists without an order of the caller's choice, and why.
const UNSORTED: &[(&str, &str)] = &[
    ("/v1/permissions", "the same for everybody, in the order of the code"),
    ("/v1/runs/{id}/events", "a stream: by number, on from `after`"),
    ("/v1/teams/{id}/audit", "a log: newest first, back in time by `from` and `to`, a bounded look a page"),
    ("/v1/me/audit", "a log, like the team's"),
];

/// A value of each filter, such that it is another request than without it.
fn filter(path: &str, name: &str) -> Option<&'static str> {
    Some(match (name, path) {
        ("limit" | "cursor" | "sort" | "from" | "to" | "after", _) => return None,
        ("name", _) => "a",
        ("prefix", _) => "k",
        ("deleted", _) => "true",
        ("state", _) => "pending",
        ("status", "/v1/teams/{id}/outbox") => "held",
        ("status", _) => "running",
        ("trigger", _) => "schedule",
        _ => panic!("{path} has a filter {name} that this test knows no value of"),
    })
}

/// The lists that are sorted: their paths, the names of their parameters, and their orders.
fn sorted() -> Vec<(&'static str, Vec<&'static str>, Vec<String>)> {
    let mut lists = Vec::new();
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        let parameters = item["get"]["parameters"].as_array().map_or(&[] as &[Value], Vec::as_slice);
        let query = parameters.iter().filter(|parameter| parameter["in"] == "query");
        let names: Vec<&str> = query.clone().filter_map(|parameter| parameter["name"].as_str()).collect();
        if !names.contains(&"limit") {
            continue;
        }
        let unsorted = UNSORTED.iter().any(|(unsorted, _)| unsorted == path);
        let sort = query.clone().find(|parameter| parameter["name"] == "sort");
        assert_eq!(sort.is_none(), unsorted, "{path}: a list has `sort`, or stands in UNSORTED");
        if let Some(sort) = sort {
            let orders = sort["schema"]["enum"].as_array().unwrap_or_else(|| panic!("{path}: {sort}"));
            lists.push((path.as_str(), names, orders.iter().map(text).collect()));
        }
    }
    lists
}

#[test]
fn an_order_has_its_reverse() {
    let lists = sorted();
    assert!(lists.len() > 20, "{}", lists.len());
    for (path, _, orders) in lists {
        for order in &orders {
            assert!(orders.contains(&reversed(order)), "{path}: {order}");
        }
    }
}

fn reversed(order: &str) -> String {
    order.strip_prefix('-').map_or_else(|| format!("-{order}"), str::to_owned)
}

/// Two or more of everything that there are lists of, and the ids to find them by.
async fn world() -> (std::sync::Arc<Installation>, Person, BTreeMap<&'static str, String>) {
    let it = Installation::start().await;
    let document = steps(json!({
        "a": { "script": "a.lua", "allow": { "kv": true, "email": true, "files": true } },
        "b": { "script": "b.lua" },
    }));
    let Scene { ann, place, run, held, .. } = it.claimed(Some(document.clone())).await;
    held.reported(1, json!([started("a"), started("b")])).await;
    for n in ["1", "2"] {
        let mail = json!({ "method": "email_send", "to": ["a@b.example"], "subject": n, "text": "T" });
        held.called(&format!("m{n}"), mail).await;
        held.called(&format!("k{n}"), json!({ "method": "kv_set", "key": format!("key{n}"), "value": 1 })).await;
        assert_eq!(held.artifact(&format!("f{n}"), &format!("file {n}"), b"x").await.0, StatusCode::OK);
    }
    let team = &place.team;
    let made = async |path: String, body: Value| ann.expect(StatusCode::CREATED, Method::POST, &path, Some(body)).await;
    made("/v1/teams".into(), json!({ "name": "Another" })).await;
    made(format!("/v1/teams/{team}/boards"), json!({ "name": "Another" })).await;
    made(format!("/v1/boards/{}/pipelines", place.board), json!({ "name": "Another" })).await;
    for name in ["one", "two"] {
        made(format!("/v1/teams/{team}/roles"), json!({ "name": name, "permissions": [] })).await;
        made(format!("/v1/teams/{team}/library"), json!({ "name": name, "source": "return 1" })).await;
        made("/v1/me/api-tokens".into(), json!({ "name": name, "password": PASSWORD })).await;
        let invitation = json!({ "email": format!("{name}@example.com"), "role": "viewer" });
        made(format!("/v1/teams/{team}/invitations"), invitation).await;
    }
    ann.expect(
        StatusCode::OK,
        Method::PUT,
        &format!("/v1/teams/{team}/library/one"),
        Some(json!({ "source": "return 2" })),
    )
    .await;
    let mut account = String::new();
    for name in ["bot", "robot"] {
        let made = made(format!("/v1/teams/{team}/service-accounts"), json!({ "name": name, "role": "viewer" })).await;
        account = text(&made["id"]);
    }
    for name in ["one", "two"] {
        made(format!("/v1/teams/{team}/service-accounts/{account}/api-tokens"), json!({ "name": name })).await;
    }
    // Another person's teams, who invites ann, and whom ann takes in.
    let bob = it.person("bob").await;
    for name in ["B", "C"] {
        let team = bob.expect(StatusCode::CREATED, Method::POST, "/v1/teams", Some(json!({ "name": name }))).await;
        let path = format!("/v1/teams/{}/invitations", text(&team["id"]));
        let invitation = json!({ "email": "ann@example.com", "role": "viewer" });
        bob.expect(StatusCode::CREATED, Method::POST, &path, Some(invitation)).await;
    }
    made(format!("/v1/teams/{team}/invitations"), json!({ "email": "bob@example.com", "role": "viewer" })).await;
    let waiting = bob.get("/v1/me/invitations").await;
    let accept = format!("/v1/me/invitations/{}/accept", text(&waiting["items"][0]["id"]));
    bob.expect(StatusCode::OK, Method::POST, &accept, Some(json!({}))).await;
    for person in [&ann, &bob] {
        let member = format!("/v1/boards/{}/members/{}", place.board, text(&person.get("/v1/me").await["id"]));
        ann.expect(StatusCode::OK, Method::PUT, &member, Some(json!({ "role": "viewer" }))).await;
    }
    // Another version, with another source; another hour of usage, another login.
    let files = json!({ "a.lua": "return 2", "b.lua": "return 2" });
    let body = json!({ "definition": document, "files": files });
    let path = format!("/v1/pipelines/{}/definition", place.pipeline);
    ann.expect(StatusCode::OK, Method::PUT, &path, Some(body)).await;
    // Of an hour that begins now nothing is shown yet.
    it.clock.advance(Duration::from_mins(61));
    let ann = ann.login("ann").await;
    ann.run(&place, json!({})).await;
    let scripts = ann.get(&format!("/v1/pipelines/{}/scripts", place.pipeline)).await;
    let script = text(&scripts["items"][0]["id"]);
    for (kind, id) in [("scripts", &script), ("boards", &place.board), ("teams", &place.team)] {
        for (key, value) in [("KEY", "1"), ("OTHER", "1"), ("KEY", "2")] {
            let path = format!("/v1/{kind}/{id}/configuration/{key}");
            ann.expect(StatusCode::OK, Method::PUT, &path, Some(json!({ "value": value }))).await;
        }
    }
    let ids = BTreeMap::from([
        ("teams", place.team),
        ("boards", place.board),
        ("pipelines", place.pipeline),
        ("runs", run),
        ("scripts", script),
        ("account", account),
    ]);
    (it, ann, ids)
}

fn filled(path: &str, ids: &BTreeMap<&str, String>) -> String {
    let id = ids.get(path.split('/').nth(2).unwrap()).cloned().unwrap_or_default();
    path.replace("{id}", &id).replace("{account_id}", &ids["account"]).replace("{name}", "one").replace("{key}", "KEY")
}

/// All of a list, a page after the other.
async fn walk(ann: &Person, path: &str) -> Vec<Value> {
    let (mut all, mut next) = (Vec::new(), path.to_owned());
    loop {
        let page = ann.get(&next).await;
        all.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else { return all };
        next = format!("{path}&cursor={cursor}");
    }
}

#[tokio::test]
async fn every_list_turns_round_and_its_cursors_keep_to_it() {
    let (_it, ann, ids) = world().await;
    for (path, parameters, orders) in sorted() {
        let at = filled(path, &ids);
        for order in &orders {
            let whole = walk(&ann, &format!("{at}?limit=100&sort={order}")).await;
            assert!(whole.len() > 1, "{path} has {}: this test is to make more of it", whole.len());
            let pages = walk(&ann, &format!("{at}?limit=1&sort={order}")).await;
            assert_eq!(pages, whole, "{path} by {order}, page by page");
            let mut round = walk(&ann, &format!("{at}?limit=1&sort={}", reversed(order))).await;
            round.reverse();
            assert_eq!(round, whole, "{path} by {order}, from the end");
            let first = ann.get(&format!("{at}?limit=1&sort={order}")).await;
            let cursor = first["next_cursor"].as_str().unwrap();
            for other in orders.iter().filter(|other| *other != order) {
                let (status, body) = ann.call(Method::GET, &format!("{at}?sort={other}&cursor={cursor}"), None).await;
                assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &json!("bad_request")), "{path} {other}");
            }
            for name in &parameters {
                let Some(value) = filter(path, name) else { continue };
                let filtered = format!("{at}?sort={order}&{name}={value}");
                ann.get(&filtered).await;
                let (status, body) = ann.call(Method::GET, &format!("{filtered}&cursor={cursor}"), None).await;
                assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &json!("bad_request")), "{path} {name}");
            }
        }
    }
}

#[tokio::test]
async fn lists_of_named_things_find_by_name() {
    let (_it, ann, ids) = world().await;
    for (path, parameters, _) in sorted().into_iter().filter(|(_, parameters, _)| parameters.contains(&"name")) {
        assert!(parameters.contains(&"sort"), "{path}");
        let at = filled(path, &ids);
        let named = |item: &Value| {
            let name = ["name", "path", "pipeline_name", "key"].iter().find_map(|field| item[field].as_str());
            name.unwrap_or_else(|| panic!("{path}: {item}")).to_owned()
        };
        let all = walk(&ann, &format!("{at}?limit=100")).await;
        let wanted: String = named(&all[0]).chars().take(3).collect::<String>().to_uppercase();
        let found = walk(&ann, &format!("{at}?limit=1&name={}", wanted.replace(' ', "%20"))).await;
        let expected: Vec<&Value> = all.iter().filter(|item| named(item).to_uppercase().contains(&wanted)).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{path} {wanted}");
        assert!(walk(&ann, &format!("{at}?limit=1&name=nothing%25")).await.is_empty(), "{path}");
    }
}
