//! Folders and versions: pull, diff, versions, publish.

use std::fs;

use crate::{
    commands::{Person, json_of},
    server::Server,
};

/// A document with all that one can have.
const WHOLE: &str = r##"
# A comment of the author's.
restroy: 1
name: Whole
description: "Line one\nline: two"
params: { type: object, properties: { z: { type: string }, a: { const: null } } }
library: { text: 1 }
steps:
  z-last:
    script: scripts/deep/a.lua
    inputs_schema: { type: object }
    config: { Z: "1", A: "007", N: "null" }
    secrets: [TOKEN]
    allow: { http: ["https://api.example.com"], kv: true, email: true, files: true }
    retry: { max_attempts: 2, backoff: linear, initial: 1s, max: 1m }
    timeout: 30s
    if: "#params > 0 -- really"
  first:
    script: b.lua
    needs: [z-last]
    for_each: "inputs['z-last']"
    max_parallel: 3
    when: always
    continue_on_failure: true
concurrency: { limit: 2, on_conflict: skip }
schedules: { z: { cron: "0 8 * * MON", timezone: Europe/Kyiv }, a: { cron: "* * * * *", misfire: skip, overlap: allow } }
"##;

#[test]
fn a_pipeline_goes_to_the_server_and_back() {
    let server = Server::start(&[]);
    let ada = Person::new();
    ada.signs_up(&server);
    let document = WHOLE.replace("library: { text: 1 }\n", "");
    ada.file("whole/pipeline.yaml", &document);
    let sources = ["return require('b')\r\n", "-- ünïcode \"'\\\nreturn {}"];
    ada.file("whole/scripts/deep/a.lua", sources[0]);
    ada.file("whole/b.lua", sources[1]);
    let said = ada.types(&["push", "whole"]);
    for touched in ["https://api.example.com", "TOKEN of scripts/deep/a.lua", "key-value store", "e-mail", "artifacts"]
    {
        assert!(said.err.contains(touched), "{touched} in {}", said.err);
    }
    said.ok();

    let out = ada.types(&["pull", "whole", "back"]).ok();
    assert!(out.starts_with("Whole: version 1 written to back"), "{out}");
    let read = |path: &str| fs::read_to_string(ada.home.path().join(path)).unwrap();
    assert_eq!(read("back/scripts/deep/a.lua"), sources[0]);
    assert_eq!(read("back/b.lua"), sources[1]);
    let json = |yaml: &str| {
        let document = restroy_sdk::document::read_yaml(yaml).unwrap_or_else(|faults| panic!("{faults:?}\n{yaml}"));
        serde_json::to_string(&document).unwrap()
    };
    assert_eq!(json(&read("back/pipeline.yaml")), json(&document), "the same, keys in the same order");
    assert!(ada.types(&["diff", "back"]).ok().contains("back is as version 1"));
    let out = ada.types(&["push", "back"]).ok();
    assert!(out.starts_with("Whole: version 2 published"), "{out}");

    // Nothing is written over, and the author's own file stays as it is.
    ada.types(&["pull", "whole", "whole"]).fails(1);
    assert_eq!(read("whole/pipeline.yaml"), document);
    ada.file("back/extra.lua", "return 1");
    assert!(ada.types(&["pull", "whole", "back"]).fails(1).contains("--force"));
    let out = ada.types(&["pull", "whole", "back", "--force"]).ok();
    assert!(out.contains("extra.lua"), "{out}");
    // Unless told, the folder is called like the pipeline; what begins with a dot is not in the way.
    fs::create_dir_all(ada.home.path().join("Whole/.git")).unwrap();
    ada.types(&["pull", "Whole", "--version", "1"]).ok();
    assert_eq!(read("Whole/b.lua"), sources[1]);
    ada.types(&["pull", "Whole", "other", "--version", "9"]).fails(1);
}

#[test]
fn versions_are_compared_listed_and_published() {
    let server = Server::start(&[]);
    let ada = Person::new();
    ada.signs_up(&server);
    ada.writes_hello();
    ada.types(&["push", "hello", "--draft", "--message", "first"]).ok();
    assert!(ada.types(&["diff", "hello"]).fails(1).contains("--version"));
    let said = ada.types(&["publish", "hello", "1"]);
    assert!(said.err.contains("runs of this pipeline are allowed to:"), "{}", said.err);
    assert!(said.ok().contains("Hello: version 1 published"));

    let yaml = fs::read_to_string(ada.home.path().join("hello/pipeline.yaml")).unwrap();
    ada.file("hello/pipeline.yaml", &yaml.replace("allow: { files: true }", "allow: { files: true, kv: true }"));
    ada.file("hello/scripts/split.lua", "return json.array {}\n");
    let out = ada.types(&["diff", "hello"]).ok();
    for line in [
        "steps/keep/allow",
        "+ is allowed to: the board's key-value store",
        "--- a/scripts/split.lua",
        "+return json.array {}",
    ] {
        assert!(out.contains(line), "{line} in {out}");
    }
    let diff = json_of(&ada.types(&["diff", "hello", "--json"]).ok());
    assert_eq!(diff["capabilities"][0]["kind"], "kv");

    let said = ada.types(&["push", "hello", "--draft"]);
    assert_eq!(said.err, "", "a draft grants nothing");
    said.ok();
    assert!(ada.types(&["diff", "hello", "--version", "2"]).ok().contains("is as version 2"));
    let out = ada.types(&["versions", "Hello"]).ok();
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[1].starts_with('2') && !lines[1].contains("published"), "{out}");
    assert!(lines[2].starts_with('1') && lines[2].contains("published") && lines[2].contains("first"), "{out}");
    let said = ada.types(&["publish", "Hello", "2"]);
    assert!(
        said.err.contains("is allowed to do more than the published one:\n  the board's key-value store\n"),
        "{}",
        said.err
    );
    said.ok();
    assert_eq!(json_of(&ada.types(&["versions", "Hello", "--json"]).ok())[0]["published"], true);
    ada.types(&["publish", "Hello", "9"]).fails(1);
}

#[test]
fn a_module_of_the_library_is_shared_and_pinned() {
    let server = Server::start(&[]);
    let ada = Person::new();
    ada.signs_up(&server);
    assert!(ada.types(&["library"]).ok().contains("no modules yet"));
    ada.file("greeting.lua", "return function(name) return 'hello, ' .. name end\n");
    assert!(ada.types(&["library", "push", "greeting.lua"]).ok().contains("pin it: library: { greeting: 1 }"));
    ada.file("bad.lua", "local x = = 1\n");
    assert!(ada.types(&["library", "push", "bad.lua"]).fails(1).contains("bad.lua:1:11: "));
    ada.file(
        "uses/pipeline.yaml",
        "restroy: 1\nname: Uses\nlibrary: { greeting: 1 }\nsteps: { a: { script: a.lua } }\n",
    );
    ada.file("uses/a.lua", "print(require('lib.greeting')('Ada'))");
    ada.types(&["push", "uses"]).ok();
    // Another version changes nothing for who is pinned to this one.
    ada.file("greeting.lua", "return function(name) return 'good day, ' .. name end\n");
    assert!(ada.types(&["library", "push", "greeting.lua", "-m", "Politer"]).ok().contains("version 2"));
    assert!(ada.types(&["run", "Uses", "--follow"]).ok().contains("a | hello, Ada"));
    ada.file(
        "uses/pipeline.yaml",
        "restroy: 1\nname: Uses\nlibrary: { greeting: 2 }\nsteps: { a: { script: a.lua } }\n",
    );
    assert!(ada.types(&["diff", "uses"]).ok().contains("library\n- {\"greeting\":1}\n+ {\"greeting\":2}\n"));
    ada.types(&["push", "uses"]).ok();
    assert!(ada.types(&["run", "Uses", "--follow"]).ok().contains("a | good day, Ada"));
    assert!(ada.types(&["library", "show", "greeting", "--version", "1"]).ok().contains("hello"));
    assert!(ada.types(&["library", "remove", "greeting"]).fails(1).contains("in use"));
    // What a step takes is checked before its script starts.
    ada.file(
        "uses/pipeline.yaml",
        "restroy: 1\nname: Uses\nsteps:\n  a: { script: a.lua }\n  \
         b: { script: b.lua, needs: [a], inputs_schema: { properties: { a: { type: integer } } } }\n",
    );
    ada.file("uses/a.lua", "return 'text'");
    ada.file("uses/b.lua", "print('started')");
    ada.types(&["push", "uses"]).ok();
    let said = ada.types(&["run", "Uses", "--follow"]);
    assert!(said.out.contains("does not match its `inputs_schema`") && !said.out.contains("started |"), "{}", said.out);
    said.fails(1);
}
