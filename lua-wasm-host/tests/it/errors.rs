//! What an uncaught error says.

use lua_wasm_host::{ErrorCode, Invocation, Source};
use serde_json::json;

use crate::support::{error, run, script};

#[tokio::test]
async fn an_error_names_its_place_and_the_way_to_it() {
    let text = "local util = require('util')\nlocal function work(n)\n  local x = util.fail(n)\n  return x\nend\nlocal y = work(7)\nreturn y";
    let modules =
        vec![Source::new("scripts/util.lua", "return {\n  fail = function(n)\n    error('bad ' .. n)\n  end\n}")];
    let failed = run(Invocation { modules, ..script(text) }).await.result.unwrap_err();
    assert_eq!(failed.code, ErrorCode::ScriptError);
    assert_eq!(failed.message, "scripts/util.lua:3: bad 7");
    assert_eq!(
        failed.traceback.unwrap(),
        "scripts/util.lua:3: in field 'fail'\nscripts/main.lua:3: in local 'work'\nscripts/main.lua:6: in main chunk"
    );
    assert!(failed.retryable);
    assert_eq!(failed.details, None);
}

#[tokio::test]
async fn structured_errors_keep_their_fields() {
    let failed = error("error{code = 'quota', message = 'no more', retryable = false, left = {0}}").await;
    assert_eq!(failed.code, ErrorCode::ScriptError);
    assert_eq!(failed.message, "no more");
    assert!(!failed.retryable);
    assert_eq!(
        failed.details,
        Some(Box::new(json!({"code": "quota", "message": "no more", "retryable": false, "left": [0]})))
    );
    assert_eq!(failed.traceback.as_deref(), Some("scripts/main.lua:1: in main chunk"));
}

#[tokio::test]
async fn odd_error_values_are_shown() {
    for (text, message) in [
        ("error()", "nil"),
        ("error(42)", "42"),
        ("error('plain', 0)", "plain"),
        ("error({})", "table: 0x1"),
        ("error(setmetatable({}, {__tostring = function() return 'shown' end}))", "shown"),
        ("error(setmetatable({}, {__tostring = function() error('x') end}))", "(error object is a table value)"),
        ("local x = nil; x.y = 1", "scripts/main.lua:1: attempt to index a nil value (local 'x')"),
        ("json.decode(nil)", "scripts/main.lua:1: bad argument #1 to 'json.decode' (string expected, got no value)"),
        ("local x = require('nothing')", "scripts/main.lua:1: module 'nothing' not found"),
        ("print(('x'):rep(-1, 5) .. nil)", "scripts/main.lua:1: attempt to concatenate a nil value"),
    ] {
        assert_eq!(error(text).await.message, message, "{text}");
    }
}

#[tokio::test]
async fn long_errors_are_cut() {
    let failed = error("error(('x'):rep(100000))").await;
    assert!(failed.message.len() < 66_000);
    let failed = error("error{message = 'm', data = ('x'):rep(100000)}").await;
    assert_eq!((failed.message.as_str(), failed.details), ("m", None));
}

#[tokio::test]
async fn deep_recursion_is_an_error_that_can_be_caught() {
    let failed = error("local function f() return 1 + f() end f()").await;
    assert!(failed.message.contains("stack overflow"), "{failed:?}");
    assert!(failed.traceback.unwrap().lines().count() <= 40);
    let caught = run(script("local function f() return 1 + f() end return (pcall(f))")).await;
    assert_eq!(caught.result.unwrap(), "false");
}

#[tokio::test]
async fn a_result_without_json_form() {
    for (text, named) in [
        ("return print", "a function"),
        ("return {a = {b = print}}", ".a.b"),
        ("return 0 / 0", "nan"),
        ("return '\\xff'", "UTF-8"),
        ("local t = {} t.t = t return t", "contains itself"),
        ("return {1, nil, 3}", "holes"),
        ("return {1, a = 2}", "holes"),
        ("return {[1.5] = 1}", "key"),
    ] {
        let failed = error(text).await;
        assert_eq!(failed.code, ErrorCode::ResultNotJson, "{text} {failed:?}");
        assert!(failed.message.to_lowercase().contains(&named.to_lowercase()), "{text}: {}", failed.message);
    }
}

#[tokio::test]
async fn a_traceback_shows_only_the_scripts_own_frames() {
    let text = "local function f() local t = debug.traceback('here') return t end\nlocal x = f()\nreturn x";
    assert_eq!(
        run(script(text)).await.result.unwrap(),
        r#""here\nstack traceback:\n\tscripts/main.lua:1: in local 'f'\n\tscripts/main.lua:2: in main chunk""#
    );
}

#[tokio::test]
async fn what_a_script_replaces_or_names_does_not_break_its_error() {
    let long = "n".repeat(60_000);
    for text in [
        "string.sub, string.match, string.find = error, error, error\nerror(('x'):rep(100000))".to_owned(),
        format!(
            "local t = {{}}\nfunction t.{long}(k)\nif k == 0 then error('deep') end\nt.{long}(k - 1)\nreturn 1\nend\nt.{long}(60)"
        ),
    ] {
        assert_eq!(error(&text).await.code, ErrorCode::ScriptError);
    }
}

#[tokio::test]
async fn a_module_that_failed_can_be_required_again() {
    let modules = vec![Source::new(
        "scripts/once.lua",
        "tries = (tries or 0) + 1\nif tries == 1 then error('no') end\nreturn tries",
    )];
    let text = "local ok = pcall(require, 'once') return { ok, require('once') }";
    assert_eq!(run(Invocation { modules, ..script(text) }).await.result.unwrap(), "[false,2]");
}
