//! Versions of a pipeline: what differs, what they may use, and bringing an old one back.

use restroy_control_plane::auth::Role;
use serde_json::{Value, json};

use crate::support::{Home, World, one_file, one_step};

fn allowing(allow: Value) -> Value {
    let mut document = one_step();
    document["steps"]["a"]["allow"] = allow;
    document
}

#[tokio::test]
async fn two_versions_are_compared() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let mut document = allowing(json!({ "kv": true }));
    document["description"] = json!("Now with two");
    document["steps"]["b"] = json!({ "script": "scripts/b.lua", "needs": ["a"] });
    let files = json!({ "scripts/a.lua": "return 2", "scripts/b.lua": "return 1\n" });
    ann.publish(&home.pipeline, document, files).await.expect(200);
    let at = format!("/v1/pipelines/{}/versions", home.pipeline);
    let diff = ann.get(&format!("{at}/1/diff/2")).await.expect(200).body;
    assert_eq!((&diff["from"]["number"], &diff["to"]["number"]), (&json!(1), &json!(2)));
    assert_eq!(diff["document"], json!([{ "pointer": "/description", "from": null, "to": "Now with two" }]));
    let steps: Vec<_> = diff["steps"].as_array().unwrap().iter().map(|step| (&step["name"], &step["change"])).collect();
    assert_eq!(steps, [(&json!("a"), &json!("changed")), (&json!("b"), &json!("added"))]);
    assert_eq!(diff["steps"][0]["fields"][0]["pointer"], "/steps/a/allow");
    let text = diff["files"][0]["diff"].as_str().unwrap();
    assert!(text.contains("-return 1") && text.contains("+return 2"), "{text}");
    assert_eq!(diff["files"][1]["change"], "added");
    assert_eq!(diff["capabilities"], json!([{ "change": "added", "kind": "kv" }]));
    let back = ann.get(&format!("{at}/2/diff/1")).await.expect(200).body;
    assert_eq!(back["capabilities"], json!([{ "change": "removed", "kind": "kv" }]));
    let same = ann.get(&format!("{at}/2/diff/2")).await.expect(200).body;
    assert_eq!((&same["steps"], &same["files"]), (&json!([]), &json!([])));
    ann.get(&format!("{at}/1/diff/3")).await.problem("not_found");
}

#[tokio::test]
async fn the_capabilities_of_a_version_are_listed() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let mut document = allowing(json!({ "http": ["https://api.example.com"], "email": true }));
    document["steps"]["a"]["secrets"] = json!(["API_KEY"]);
    document["steps"]["b"] = json!({ "script": "scripts/a.lua", "allow": { "email": true } });
    let draft = json!({ "definition": document, "files": one_file() });
    let put = ann.put(&format!("/v1/pipelines/{}/definition", home.pipeline), draft).await.expect(200);
    let places = ["/steps/a/allow/http/0", "/steps/a/allow/email", "/steps/a/secrets/0", "/steps/b/allow/email"];
    let widened = |body: &Value| -> Vec<String> {
        let faults = body["widened"].as_array().unwrap().iter();
        faults.map(|fault| fault["pointer"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(widened(&put.body), places, "a draft says what publishing it would grant");
    let at = format!("/v1/pipelines/{}/versions", home.pipeline);
    let listed = ann.get(&format!("{at}/2/capabilities")).await.expect(200).body;
    assert_eq!(
        listed["capabilities"],
        json!([
            { "kind": "http", "origin": "https://api.example.com", "steps": ["a"] },
            { "kind": "secret", "script": "scripts/a.lua", "key": "API_KEY", "steps": ["a"] },
            { "kind": "email", "steps": ["a", "b"] },
        ])
    );
    assert_eq!(widened(&listed), places);
    let published = ann.call(reqwest::Method::POST, &format!("{at}/2/publish"), None).await.expect(200);
    assert_eq!(widened(&published.body), places, "what was granted is told");
    assert_eq!(widened(&ann.get(&format!("{at}/2/capabilities")).await.expect(200).body), [""; 0]);
    assert_eq!(ann.get(&format!("{at}/1/capabilities")).await.expect(200).body["capabilities"], json!([]));
}

#[tokio::test]
async fn a_secret_that_was_not_granted_widens() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let bob = world.person("bob").await;
    bob.join(&home.team, Role::Editor).await;
    let mut document = one_step();
    document["steps"]["a"]["secrets"] = json!(["API_KEY"]);
    let refused = bob.publish(&home.pipeline, document.clone(), one_file()).await.problem("forbidden");
    assert_eq!(refused.pointers(), ["/steps/a/secrets/0"]);
    ann.publish(&home.pipeline, document.clone(), one_file()).await.expect(200);
    bob.publish(&home.pipeline, document, one_file()).await.expect(200);
}

#[tokio::test]
async fn an_old_version_comes_back_as_a_new_one() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let wide = allowing(json!({ "kv": true }));
    ann.publish(&home.pipeline, wide.clone(), json!({ "scripts/a.lua": "return 'wide'" })).await.expect(200);
    ann.publish(&home.pipeline, one_step(), json!({ "scripts/a.lua": "return 3" })).await.expect(200);
    let at = format!("/v1/pipelines/{}/versions", home.pipeline);
    let bob = world.person("bob").await;
    bob.join(&home.team, Role::Editor).await;
    // What was granted to an old version is not granted to one that follows a narrower one.
    let publish = json!({ "publish": true });
    let refused = bob.post(&format!("{at}/2/restore"), publish.clone()).await.problem("forbidden");
    assert_eq!(refused.pointers(), ["/steps/a/allow/kv"]);
    assert_eq!(world.count("pipeline_versions").await, 3, "refused as a whole");
    let draft = bob.post(&format!("{at}/2/restore"), json!({})).await.expect(201).body;
    assert_eq!((&draft["number"], &draft["published"]), (&json!(4), &json!(false)));
    assert_eq!(draft["message"], "As version 2 was");
    let key = [("idempotency-key", "once")];
    for _ in 0..2 {
        let back = ann.with(reqwest::Method::POST, &format!("{at}/2/restore"), &key, Some(publish.clone())).await;
        let back = back.expect(201).body;
        assert_eq!((&back["number"], &back["published"]), (&json!(5), &json!(true)));
    }
    let now = ann.get(&format!("{at}/5")).await.expect(200).body;
    assert_eq!((&now["definition"], &now["files"]["scripts/a.lua"]), (&wide, &json!("return 'wide'")));
    ann.post(&format!("{at}/9/restore"), json!({})).await.problem("not_found");
}

#[tokio::test]
async fn a_definition_keeps_the_order_of_its_keys() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let document = r#"{"restroy":1,"params":{"type":"object","properties":{"z":{},"a":{}}},"library":{},
        "steps":{"z":{"script":"a.lua","config":{"z":"1","a":"2"}},"a":{"script":"a.lua"}}}"#;
    let body = format!(r#"{{"definition": {document}, "files": {{"a.lua": "return 1"}}}}"#);
    let request = world.client.put(format!("{}/v1/pipelines/{}/definition", world.url, home.pipeline));
    let request = request.bearer_auth(&ann.token).header("content-type", "application/json").body(body);
    assert!(request.send().await.unwrap().status().is_success());
    let got = ann.get(&format!("/v1/pipelines/{}/definition", home.pipeline)).await.expect(200).text;
    let place = |text: &str| got.find(text).unwrap_or_else(|| panic!("{text} in {got}"));
    assert!(place(r#""z":{}"#) < place(r#""a":{}"#), "{got}");
    assert!(place(r#""z":{"script"#) < place(r#""a":{"script"#), "{got}");
    assert!(place(r#""z":"1""#) < place(r#""a":"2""#), "{got}");
}
