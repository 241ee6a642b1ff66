//! Sources that do not compile.

use lua_wasm_host::{CompileError, ErrorCode, Source};
use serde_json::json;

use crate::support::{engine, error};

async fn place(text: &str) -> (u32, u32, String) {
    let source = Source::new("scripts/a.lua", text);
    let errors = engine().check(&[source]).await.unwrap().unwrap_err();
    let [CompileError { file, line, column, message }] = errors.as_slice() else {
        panic!("{errors:?}");
    };
    assert_eq!(file, "scripts/a.lua");
    (*line, *column, message.clone())
}

#[tokio::test]
async fn the_place_is_where_the_compiler_stopped() {
    for (text, line, column, message) in [
        ("x = = 1", 1, 5, "unexpected symbol near '='"),
        ("local x =\n  1 +\n  * 2", 3, 3, "unexpected symbol near '*'"),
        ("return foo bar", 1, 12, "<eof> expected near 'bar'"),
        ("if x then\n  y()\n", 3, 1, "'end' expected (to close 'if' at line 1) near <eof>"),
        ("local s = 'abc\nx = 1", 1, 11, "unfinished string near ''abc'"),
        ("x = 'ä' y", 1, 11, "syntax error near <eof>"),
        ("return 1 for", 1, 10, "<eof> expected near 'for'"),
        ("goto nowhere", 1, 1, "no visible label 'nowhere' for <goto> at line 1"),
        ("local x <const> = 1\nx = 2", 2, 1, "attempt to assign to const variable 'x'"),
        ("x = 3x", 1, 5, "malformed number near '3x'"),
        ("\u{1b}Lua", 1, 1, "attempt to load a binary chunk (mode is 't')"),
        ("f(\n  a,\n  }\n)", 3, 3, "unexpected symbol near '}'"),
    ] {
        assert_eq!(place(text).await, (line, column, message.to_owned()), "{text:?}");
    }
}

#[tokio::test]
async fn good_sources_pass_without_being_run() {
    let sources = [
        Source::new("a.lua", "error('not run')"),
        Source::new("b.lua", "while true do end"),
        Source::new("c.lua", ""),
        Source::new("d.lua", "#!/usr/bin/lua\nreturn 1"),
    ];
    let errors = engine().check(&sources).await.unwrap();
    assert_eq!(errors.unwrap_err().len(), 1, "a first line with # is no Lua");
    assert!(engine().check(&sources[..3]).await.unwrap().is_ok());
}

#[tokio::test]
async fn each_bad_source_has_an_error() {
    let sources = [Source::new("a.lua", "x ="), Source::new("b.lua", "return 1"), Source::new("c.lua", "}")];
    let errors = engine().check(&sources).await.unwrap().unwrap_err();
    let files: Vec<_> = errors.iter().map(|error| error.file.as_str()).collect();
    assert_eq!(files, ["a.lua", "c.lua"]);
}

#[tokio::test]
async fn large_sources_compile() {
    let text = "local x = {1, 'two', a = 3}\n".repeat(199) + &"-- filler\n".repeat(90_000);
    let sources = [Source::new("large.lua", text)];
    assert_eq!(engine().check(&sources).await.unwrap(), Ok(()));
    let sources = [Source::new("huge.lua", "x".repeat(2 << 20))];
    let errors = engine().check(&sources).await.unwrap().unwrap_err();
    assert!(errors[0].message.contains("1 MiB"), "{errors:?}");
}

#[tokio::test]
async fn expressions() {
    for (text, expected) in [
        ("#inputs.a > 0", None),
        ("a and b or c -- why", None),
        ("function() return 1 end", None),
        ("a >", Some((1, 4))),
        ("a b", Some((1, 3))),
        ("return 1", Some((1, 1))),
        ("", Some((1, 1))),
        ("1 +\n* 2", Some((2, 1))),
    ] {
        let source = Source::new("steps.send.if", text);
        let place = engine().check_expression(&source).await.unwrap().err().map(|error| (error.line, error.column));
        assert_eq!(place, expected, "{text:?}");
    }
}

#[tokio::test]
async fn a_run_of_a_source_that_does_not_compile() {
    let failed = error("local x = 1\nx = = 2").await;
    assert_eq!(failed.code, ErrorCode::SyntaxError);
    assert_eq!(failed.message, "scripts/main.lua:2:5: unexpected symbol near '='");
    assert_eq!(failed.details, Some(Box::new(json!({"file": "scripts/main.lua", "line": 2, "column": 5}))));
    assert!(!failed.retryable);
}

#[tokio::test]
async fn a_token_of_any_length_is_an_error_of_the_script() {
    let (line, _, message) = place(&format!("return \"{}\n\"", "\u{1}".repeat(250_000))).await;
    assert_eq!(line, 1);
    assert!(message.starts_with("unfinished string near") && message.len() < 66_000);
}
