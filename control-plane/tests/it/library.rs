//! The team's library: modules with versions, pinned by documents.

use reqwest::Method;
use restroy_control_plane::auth::Role;
use serde_json::{Value, json};

use crate::support::{BAD_SOURCE, Home, Person, World, one_file, one_step};

fn pinning(library: Value) -> Value {
    let mut document = one_step();
    document["library"] = library;
    document
}

async fn module(person: &Person<'_>, team: &str, name: &str, source: &str) {
    let new = json!({ "name": name, "source": source, "message": "first" });
    person.post(&format!("/v1/teams/{team}/library"), new).await.expect(201);
}

#[tokio::test]
async fn a_module_has_versions_that_stay_as_they_are() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    let at = format!("/v1/teams/{team}/library");
    let new = json!({ "name": "text", "description": "Texts", "source": "return 1" });
    let key = [("idempotency-key", "once")];
    for _ in 0..2 {
        let made = ann.with(Method::POST, &at, &key, Some(new.clone())).await.expect(201).body;
        assert_eq!((&made["module"]["latest_version"], &made["version"]["number"]), (&json!(1), &json!(1)));
    }
    ann.post(&at, new).await.problem("name_taken");
    module(&ann, &team, "list", "return 1").await;
    let got = ann.get(&format!("{at}/text")).await.expect(200);
    assert_eq!((&got.body["source"], got.headers["etag"].to_str().unwrap()), (&json!("return 1"), "\"1\""));
    let put = json!({ "source": "return 2", "message": "better" });
    let tag = [("if-match", "\"1\"")];
    let second = ann.with(Method::PUT, &format!("{at}/text"), &tag, Some(put.clone())).await.expect(200);
    assert_eq!(
        (&second.body["version"]["number"], &second.body["module"]["description"]),
        (&json!(2), &json!("Texts"))
    );
    ann.with(Method::PUT, &format!("{at}/text"), &tag, Some(put)).await.problem("version_mismatch");
    assert_eq!(ann.get(&format!("{at}/text/versions/1")).await.expect(200).body["source"], "return 1");
    let versions = ann.get(&format!("{at}/text/versions")).await.expect(200);
    assert_eq!(versions.items().iter().map(|version| &version["number"]).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(versions.items()[0]["author_id"], json!(ann.id));
    let modules = ann.get(&at).await.expect(200);
    assert_eq!(modules.items().iter().map(|module| &module["name"]).collect::<Vec<_>>(), ["list", "text"]);
    ann.get(&format!("{at}/none")).await.problem("not_found");
    ann.get(&format!("{at}/text/versions/3")).await.problem("not_found");
    assert_eq!(world.count("script_versions").await, 2, "sources are kept once");
}

#[tokio::test]
async fn an_unknown_module_is_refused_with_its_position() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let team = ann.team("Team").await;
    let at = format!("/v1/teams/{team}/library");
    for (new, place) in [
        (json!({ "name": "Text", "source": "return 1" }), "/name"),
        (json!({ "name": "a.b", "source": "return 1" }), "/name"),
        (json!({ "name": "text", "source": BAD_SOURCE }), "/source"),
        (json!({ "name": "text", "source": "x".repeat(300_000) }), "/source"),
        (json!({ "name": "text", "source": "return require('util')" }), "/source"),
        (json!({ "name": "text", "source": "return 1", "message": "x".repeat(2_000) }), "/message"),
    ] {
        let refused = ann.post(&at, new).await.problem("invalid");
        assert!(refused.pointers().contains(&place), "{place}: {}", refused.text);
    }
    assert_eq!(world.count("library_modules").await, 0);
    let bob = world.person("bob").await;
    bob.join(&team, Role::Operator).await;
    bob.post(&at, json!({ "name": "text", "source": "return 1" })).await.problem("forbidden");
    bob.get(&at).await.expect(200);
}

#[tokio::test]
async fn a_document_pins_versions_that_are_there() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let eve = world.person("eve").await;
    let abroad = Home::of(&eve).await;
    module(&eve, &abroad.team, "theirs", "return 1").await;
    module(&ann, &home.team, "text", "return require('lib.list')").await;
    module(&ann, &home.team, "list", "return 1").await;
    module(&ann, &home.team, "knot", "return require('lib.ring')").await;
    module(&ann, &home.team, "ring", "return require('lib.knot')").await;
    let uses = json!({ "scripts/a.lua": "return require('lib.text')" });
    for (library, files, place) in [
        (json!({ "theirs": 1 }), one_file(), "/library/theirs"),
        (json!({ "text": 2, "list": 1 }), one_file(), "/library/text"),
        (json!({ "text": 1 }), one_file(), "/library/text"),
        (json!({ "text": 0 }), one_file(), "/library/text"),
        (json!({ "knot": 1, "ring": 1 }), one_file(), "/library/ring"),
        (json!({}), uses.clone(), "/files/scripts~1a.lua"),
        (json!({ "list": 1 }), json!({ "scripts/a.lua": "return 1", "lib/list.lua": "return 1" }), "/library/list"),
    ] {
        let refused = ann.publish(&home.pipeline, pinning(library.clone()), files).await.problem("invalid_definition");
        assert!(refused.pointers().contains(&place), "{library}: {}", refused.text);
    }
    let pinned = pinning(json!({ "text": 1, "list": 1 }));
    ann.publish(&home.pipeline, pinned.clone(), uses).await.expect(200);
    let got = ann.get(&format!("/v1/pipelines/{}/definition", home.pipeline)).await.expect(200).body;
    assert_eq!(got["definition"], pinned);
    assert_eq!(world.count("pipeline_version_library").await, 2);
}

#[tokio::test]
async fn a_module_in_use_stays() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    module(&ann, &home.team, "text", "return 1").await;
    let at = format!("/v1/teams/{}/library/text", home.team);
    ann.publish(&home.pipeline, pinning(json!({ "text": 1 })), one_file()).await.expect(200);
    ann.publish(&home.pipeline, one_step(), one_file()).await.expect(200);
    let refused = ann.delete(&at).await.problem("conflict");
    assert!(refused.text.contains("1 pipelines"), "an old version can be restored: {}", refused.text);
    ann.post(&format!("/v1/pipelines/{}/versions/2/restore", home.pipeline), json!({})).await.expect(201);
    assert_eq!(world.count("pipeline_version_library").await, 2);
    module(&ann, &home.team, "list", "return 1").await;
    ann.delete(&format!("/v1/teams/{}/library/list", home.team)).await.expect(204);
    ann.get(&format!("/v1/teams/{}/library/list", home.team)).await.problem("not_found");
    module(&ann, &home.team, "list", "return 2").await;
}

#[tokio::test]
async fn siblings_that_are_missing_or_go_in_a_circle_are_refused() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let files = json!({
        "scripts/a.lua": "local util = require('util')\nreturn require('utl')",
        "scripts/util.lua": "return require('other')",
        "scripts/other.lua": "return require('util')",
    });
    let refused = ann.publish(&home.pipeline, one_step(), files).await.problem("invalid_definition");
    assert_eq!(refused.pointers(), ["/files/scripts~1other.lua", "/files/scripts~1a.lua"], "{}", refused.text);
    let errors = refused.body["errors"].as_array().unwrap();
    assert_eq!((&errors[1]["line"], &errors[1]["column"]), (&json!(2), &json!(8)), "{}", refused.text);
}

#[tokio::test]
async fn a_schema_of_inputs_must_be_one() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    for (schema, place) in [
        (json!([]), "/steps/a/inputs_schema"),
        (json!({ "type": "array" }), "/steps/a/inputs_schema/type"),
        (json!({ "properties": { "x": { "$ref": "#/none" } } }), "/steps/a/inputs_schema/properties/x/$ref"),
        (json!({ "unevaluatedProperties": false }), "/steps/a/inputs_schema/unevaluatedProperties"),
        (json!({ "required": 1 }), "/steps/a/inputs_schema/required"),
    ] {
        let mut document = one_step();
        document["steps"]["a"]["inputs_schema"] = schema;
        let refused = ann.publish(&home.pipeline, document, one_file()).await.problem("invalid_definition");
        assert!(refused.pointers().contains(&place), "{place}: {}", refused.text);
    }
    let mut document = one_step();
    document["steps"]["a"]["inputs_schema"] = json!({ "type": "object" });
    ann.publish(&home.pipeline, document, one_file()).await.expect(200);
}

#[tokio::test]
async fn a_full_library_says_so() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let mut tx = world.state.db.team_write(home.team.parse().unwrap()).await.unwrap();
    for n in 0..499 {
        let (id, now) = (world.state.ambient.id(), world.state.ambient.now());
        restroy_control_plane::store::library::insert(&mut tx, id, &format!("m{n}"), "", now).await.unwrap();
    }
    tx.commit().await.unwrap();
    module(&ann, &home.team, "last", "return 1").await;
    let at = format!("/v1/teams/{}/library", home.team);
    let new = json!({ "name": "more", "source": "return 1" });
    let full = ann.post(&at, new).await.problem("quota_exceeded");
    assert!(full.text.contains("500 modules"), "{}", full.text);
    let mut tx = world.state.db.system_write().await.unwrap();
    let statement = "UPDATE library_modules SET latest_version = 1000 WHERE name = 'last'";
    restroy_control_plane::sql!(&mut tx, execute, sqlx::query(statement)).unwrap();
    tx.commit().await.unwrap();
    let full = ann.put(&format!("{at}/last"), json!({ "source": "return 2" })).await.problem("quota_exceeded");
    assert!(full.text.contains("1000 versions"), "{}", full.text);
    let many: serde_json::Map<String, Value> = (0..51).map(|n| (format!("m{n}"), json!(1))).collect();
    let refused = ann.publish(&home.pipeline, pinning(many.into()), one_file()).await.problem("invalid_definition");
    assert!(refused.pointers().contains(&"/library"), "{}", refused.text);
}
