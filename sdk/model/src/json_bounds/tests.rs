use proptest::prelude::*;
use serde_json::json;

use super::*;

fn kind(text: &str) -> Option<JsonErrorKind> {
    measure(text.as_bytes(), JsonLimits::BODY).err().map(|error| error.kind)
}

#[test]
fn what_serde_reads_is_measured() {
    for (text, nodes, depth) in [
        ("null", 1, 0),
        (" [ ] ", 1, 1),
        ("{}", 1, 1),
        ("[1,-2.5e-3,\"a\\u00e9\\ud83d\\ude00\\n\",true,false,null]", 7, 1),
        ("{\"a\":{\"b\":[{}]},\"c\":0}", 5, 4),
        ("0", 1, 0),
        ("-0.0", 1, 0),
        ("1E+2", 1, 0),
    ] {
        let size = measure(text.as_bytes(), JsonLimits::BODY).unwrap();
        assert_eq!((size.nodes, size.depth), (nodes, depth), "{text}");
        assert!(serde_json::from_str::<Value>(text).is_ok());
    }
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:2}",
        "]",
        "1 2",
        "[1}",
        "{\"a\":1]",
        "tru",
        "nul",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\n\"",
        "NaN",
        "'a'",
        "[1 2]",
        "{\"a\" 1}",
        "\"\\ud83d\\u12\"",
    ] {
        assert!(kind(text).is_some(), "{text}");
        assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
    }
    let error = measure(b"{\n  \"a\": tru\n}", JsonLimits::BODY).unwrap_err();
    assert_eq!((error.line, error.column, error.offset), (2, 8, 9));
    assert_eq!(measure(b"[\"\xff\"]", JsonLimits::BODY).unwrap_err().kind, JsonErrorKind::NotUtf8);
}

#[test]
fn what_raw_values_let_through_is_refused() {
    for text in
        ["\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\ud800\"", "\"\\ud800x\"", "{\"\\ud800\":1}", "[\"\\uD83D\\n\"]"]
    {
        assert_eq!(kind(text), Some(JsonErrorKind::LoneSurrogate), "{text}");
    }
    for text in ["1e999", "-1e309", "[1e+400]", &"9".repeat(400)] {
        assert_eq!(kind(text), Some(JsonErrorKind::NumberOutOfRange), "{text}");
    }
    assert_eq!(kind("1e308"), None);
    assert_eq!(kind("1e-999"), None);
    assert_eq!(kind(&"[".repeat(101)), Some(JsonErrorKind::TooDeep(100)));
    assert_eq!(kind(&format!("{}{}", "[".repeat(100), "]".repeat(100))), None);
    assert_eq!(kind(&"{\"a\":".repeat(1_000_000)), Some(JsonErrorKind::TooDeep(100)));
    let many = format!("[{}1]", "1,".repeat(100_000));
    assert_eq!(kind(&many), Some(JsonErrorKind::TooManyNodes(100_000)));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((".{0,4}", inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

proptest! {
    #[test]
    fn it_counts_as_a_tree_does(value in any_json(), pretty in any::<bool>()) {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        let size = measure(text.as_bytes(), JsonLimits::BODY).unwrap();
        prop_assert_eq!(size.nodes, count(&value));
    }

    #[test]
    fn it_takes_what_serde_takes(text in r#"[\[\]{}":,0-9eE+.\-a-ftrulsn\\ ]{0,12}"#) {
        let serde = serde_json::from_str::<Value>(&text).is_ok();
        prop_assert_eq!(measure(text.as_bytes(), JsonLimits::BODY).is_ok(), serde, "{}", text);
    }
}

#[test]
fn errors_say_what_to_do() {
    let error = measure(br#"{"a": "\ud800"}"#, JsonLimits::BODY).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a `\\u` escape is half of a surrogate pair: write both halves, or the character itself at line 1 column 8"
    );
    let size = measure(json!({ "a": [1, 2, 3] }).to_string().as_bytes(), JsonLimits::BODY).unwrap();
    assert!(size.tree_bytes >= 4 * size_of::<Value>());
}
