//! Reading documents: the same from JSON and YAML, and errors with their places.

use restroy_document::{Backoff, Document, DurationText, OnConflict, Overlap, PositionMap, When, read_json, read_yaml};
use restroy_model::problem::FieldError;

const NEWSLETTER: &str = r##"
restroy: 1
name: Newsletter
params:
  type: object
  properties: { issue: { type: string } }
  required: [issue]
steps:
  fetch:
    script: scripts/fetch.lua
    config: { api_url: "https://crm.example.com" }
    secrets: [API_KEY]
    allow: { http: ["https://crm.example.com"] }
    retry: { max_attempts: 3, backoff: linear, initial: 500ms, max: 30s }
    timeout: 30s
  send:
    script: scripts/send.lua
    needs: [fetch]
    if: "#inputs.fetch.subscribers > 0"
    for_each: "inputs.fetch.subscribers"
    max_parallel: 10
    allow: { email: true }
  report:
    script: scripts/report.lua
    needs: [send]
    when: always
concurrency: { limit: 1, on_conflict: skip }
schedules: { weekly: { cron: "0 8 * * MON", timezone: Europe/Kyiv, misfire: run_once, overlap: allow } }
"##;

fn places(text: &str) -> Vec<(String, u32, u32)> {
    let faults = read_yaml(text).expect_err("the document is wrong");
    faults
        .into_iter()
        .map(|fault| (fault.pointer, fault.line.unwrap_or_default(), fault.column.unwrap_or_default()))
        .collect()
}

fn only(result: Result<Document, Vec<FieldError>>) -> FieldError {
    let faults = result.expect_err("the document is wrong");
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.into_iter().next().expect("one")
}

#[test]
fn reads_every_field() {
    let document = read_yaml(NEWSLETTER).expect("a right document");
    assert_eq!(document.name.as_deref(), Some("Newsletter"));
    assert_eq!(document.steps.keys().collect::<Vec<_>>(), ["fetch", "send", "report"]);
    let fetch = &document.steps["fetch"];
    assert_eq!(fetch.config["api_url"], "https://crm.example.com");
    assert_eq!(fetch.secrets, ["API_KEY"]);
    assert_eq!(fetch.retry.as_ref().map(|retry| retry.backoff), Some(Backoff::Linear));
    assert_eq!(fetch.timeout, Some(DurationText::from_millis(30_000)));
    let send = &document.steps["send"];
    assert_eq!(send.condition.as_deref(), Some("#inputs.fetch.subscribers > 0"));
    assert!(send.allow.email && !send.allow.kv);
    assert_eq!(document.steps["report"].when, When::Always);
    assert_eq!(document.concurrency.as_ref().map(|c| c.on_conflict), Some(OnConflict::Skip));
    assert_eq!(document.schedules["weekly"].overlap, Overlap::Allow);
}

#[test]
fn json_and_yaml_say_the_same() {
    let document = read_yaml(NEWSLETTER).expect("a right document");
    let json = serde_json::to_string(&document).expect("JSON");
    assert_eq!(read_json(&json).expect("the same"), document);
    assert_eq!(serde_json::from_str::<Document>(&json).expect("the same"), document);
}

#[test]
fn names_an_unknown_field_and_what_was_meant() {
    let text = "restroy: 1\nsteps:\n  send:\n    script: scripts/a.lua\n    neds: [fetch]\n";
    let fault = only(read_yaml(text));
    assert_eq!(fault.pointer, "/steps/send/neds");
    assert_eq!(fault.detail, "unknown field `neds`; did you mean `needs`?");
    assert_eq!((fault.line, fault.column), (Some(5), Some(5)));
    let fault = only(read_json(r#"{"restroy": 1, "steps": {"a": {"script": "a.lua", "allow": {"network": true}}}}"#));
    assert_eq!(fault.pointer, "/steps/a/allow/network");
    assert!(fault.detail.ends_with("`allow` has `http`, `kv`, `email` and `files`"), "{}", fault.detail);
}

#[test]
fn refuses_duplicate_keys_in_both_forms_at_any_depth() {
    let text = "restroy: 1\nsteps:\n  a: { script: a.lua }\n  b: { script: b.lua }\n  a: { script: c.lua }\n";
    let fault = only(read_yaml(text));
    assert_eq!((fault.pointer.as_str(), fault.line), ("/steps/a", Some(5)));
    assert!(fault.detail.contains("the first is on line 3"), "{}", fault.detail);
    let json = r#"{"restroy": 1, "restroy": 1, "params": {"type": "object", "type": "array"},
        "steps": {"a": {"script": "a.lua", "config": {"k": "1", "k": "2"}}}}"#;
    let faults = read_json(json).expect_err("duplicates");
    let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(pointers, ["/restroy", "/steps/a/config/k", "/params/type"]);
}

#[test]
fn reports_several_errors_at_once() {
    let text = r"
restroy: one
steps:
  a:
    script: 5
    needs: b
    when: sometimes
    timeout: 30
    max_parallel: -1
    allow: { kv: yes }
";
    assert_eq!(
        places(text),
        [
            ("/restroy".to_owned(), 2, 10),
            ("/steps/a/script".to_owned(), 5, 13),
            ("/steps/a/needs".to_owned(), 6, 12),
            ("/steps/a/max_parallel".to_owned(), 9, 19),
            ("/steps/a/when".to_owned(), 7, 11),
            ("/steps/a/allow/kv".to_owned(), 10, 18),
            ("/steps/a/timeout".to_owned(), 8, 14),
        ]
    );
}

#[test]
fn says_what_would_be_right() {
    for (step, pointer, detail) in [
        ("timeout: 30", "/steps/a/timeout", "write `30s` for seconds"),
        ("timeout: soon", "/steps/a/timeout", "`soon` is not a duration"),
        ("config: { port: 80 }", "/steps/a/config/port", "write \"80\""),
        ("needs: b", "/steps/a/needs", "write [b]"),
        ("when: alwys", "/steps/a/when", "did you mean `always`?"),
        ("needs: [1]", "/steps/a/needs/0", "expected a string, found a number"),
        ("retry: 3", "/steps/a/retry", "expected `retry`: a mapping, found a number"),
    ] {
        let fault = only(read_yaml(&format!("restroy: 1\nsteps:\n  a:\n    script: a.lua\n    {step}\n")));
        assert_eq!(fault.pointer, pointer);
        assert!(fault.detail.contains(detail), "{}", fault.detail);
    }
    assert!(only(read_yaml("steps: { a: { script: a.lua } }")).detail.contains("`restroy: 1`"));
    assert!(only(read_yaml("restroy: 1")).detail.contains("missing field `steps`"));
    assert!(only(read_yaml("restroy: 1\nsteps: { a: }")).detail.contains("a step: a mapping, found nothing"));
    assert!(only(read_yaml("just a text")).detail.contains("found a text"));
}

#[test]
fn a_broken_text_has_one_fault_with_its_line() {
    let fault = only(read_yaml("restroy: 1\nsteps: [\n  a: b\n"));
    assert!(fault.detail.starts_with("not readable as YAML: "), "{}", fault.detail);
    assert!(fault.line.is_some());
    let fault = only(read_json("{\n  \"restroy\": 1,\n}"));
    assert!(fault.detail.starts_with("not JSON: "), "{}", fault.detail);
    assert_eq!(fault.line, Some(3));
}

#[test]
fn a_small_text_that_unfolds_to_a_large_one_is_refused() {
    let mut lines = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x]".to_owned()];
    for level in 1..12 {
        let previous = vec![format!("*a{}", level - 1); 9].join(", ");
        lines.push(format!("a{level}: &a{level} [{previous}]"));
    }
    let fault = only(read_yaml(&lines.join("\n")));
    assert!(fault.detail.contains("alias"), "{}", fault.detail);
    let two = only(read_yaml("restroy: 1\nsteps: {}\n---\nrestroy: 1\n"));
    assert!(two.detail.contains("several documents"), "{}", two.detail);
    let deep = format!("params: {}1{}", "[".repeat(200), "]".repeat(200));
    assert!(read_yaml(&deep).is_err());
    assert!(read_json(&format!("{}1{}", "[".repeat(5000), "]".repeat(5000))).is_err());
}

#[test]
fn anchors_and_merges_work() {
    let text =
        "restroy: 1\nsteps:\n  a: &base\n    script: a.lua\n    timeout: 5s\n  b:\n    <<: *base\n    script: b.lua\n";
    let document = read_yaml(text).expect("a right document");
    assert_eq!(document.steps["b"].kind.script(), Some("b.lua"));
    assert_eq!(document.steps["b"].timeout, Some(DurationText::from_millis(5000)));
}

#[test]
fn places_lead_from_pointers_to_lines() {
    let places = PositionMap::from_yaml(NEWSLETTER);
    let line = |pointer| places.find(pointer).map(|place| place.line);
    assert_eq!(line("/steps/send/needs/0"), Some(18));
    assert_eq!(line("/steps/send"), Some(16));
    assert_eq!(line("/steps/fetch/allow/http/0"), Some(13));
    assert_eq!(line("/steps/fetch/allow/http/7"), Some(13), "what is not there leads to what encloses it");
    assert_eq!(line("/nothing/at/all"), Some(2));
    assert_eq!(line("elsewhere"), None);
}
