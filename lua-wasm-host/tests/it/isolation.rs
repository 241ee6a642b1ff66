//! Runs share nothing.

use std::sync::Arc;

use lua_wasm_host::{Globals, Grants, HostContext, Invocation};

use crate::support::{World, engine, run, script, value};

#[tokio::test]
async fn nothing_stays_after_a_run() {
    for leave in [
        "leaked = 'secret' return 1",
        "string.leaked = 'secret' return 1",
        "getmetatable('').__index = function() return 'secret' end return 1",
        "json.encode = function() return 'secret' end print = nil pairs = nil return 1",
        "math.randomseed(1) return 1",
        "debug.traceback = nil setmetatable(_G, {__index = function() return 'secret' end}) return 1",
        "while true do leaked = ('secret'):rep(1000) .. (leaked or '') end",
        "kv.get = function() return 'secret' end files = nil error('x')",
    ] {
        let first = run(script(
            "return {leaked == nil, string.leaked == nil, ('').y == nil, json.encode(1), math.random(1e9)}",
        ))
        .await;
        let _ = run(script(leave)).await;
        let second = run(script(
            "return {leaked == nil, string.leaked == nil, ('').y == nil, json.encode(1), math.random(1e9)}",
        ))
        .await;
        assert_eq!(first.result.unwrap(), second.result.unwrap(), "{leave}");
    }
}

#[tokio::test]
async fn memory_of_an_earlier_run_is_gone() {
    let globals = Globals { config: Some(r#"{"KEY":"sekretsekretsekret"}"#.into()), ..Globals::default() };
    for _ in 0..20 {
        let invocation = Invocation {
            globals: globals.clone(),
            ..script("local t = {} for i = 1, 1000 do t[i] = config.KEY .. i end return #t")
        };
        assert_eq!(run(invocation).await.result.unwrap(), "1000");
        // What this run can see of its memory: strings it makes without filling them do not exist
        // in Lua, so look at what it was given.
        assert_eq!(value("return config == nil").await, "true");
    }
}

#[tokio::test]
async fn runs_beside_each_other_reach_their_own_world() {
    let worlds: Vec<_> = (0..8).map(|_| Arc::new(World::default())).collect();
    let runs = worlds.iter().enumerate().map(|(number, world)| {
        let globals = Globals { item: Some(number.to_string().into()), ..Globals::default() };
        let invocation = Invocation {
            globals,
            ..script("kv.set('mine', item) mine = item for i = 1, 50 do sleep(0) assert(kv.get('mine') == item and mine == item) end print(item) return mine")
        };
        engine().run(invocation, world.host_context())
    });
    let outcomes = futures_util::future::join_all(runs).await;
    for (number, (outcome, world)) in outcomes.into_iter().zip(&worlds).enumerate() {
        assert_eq!(outcome.result.unwrap(), number.to_string());
        assert_eq!(world.text(), [number.to_string()]);
    }
}

#[tokio::test]
async fn nothing_is_granted_by_default() {
    let world = Arc::new(World::default());
    for call in [
        "http.get('https://api.example.com/json')",
        "kv.get('a')",
        "kv.set('a', 1)",
        "email.send{to = 'a@b.example', subject = '', text = ''}",
        "files.write('a', 'b')",
        "files.artifact('a')",
        "files.list()",
    ] {
        let text = format!("local ok, problem = pcall(function() {call} end) return {{ok, problem.code}}");
        let mut host_context = world.host_context();
        host_context.grants = Grants::default();
        let refused = engine().run(script(&text), host_context).await.result.unwrap();
        assert_eq!(refused, r#"[false,"not_granted"]"#, "{call}");
        let mut host_context = HostContext::new(world.clone(), world.clone(), world.clone());
        host_context.grants = world.host_context().grants;
        let absent = engine().run(script(&text), host_context).await.result.unwrap();
        assert_eq!(absent, r#"[false,"not_available"]"#, "{call}");
    }
    assert!(world.kv.lock().unwrap().is_empty());
}
