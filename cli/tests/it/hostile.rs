//! Scripts that want to do harm end with a clear step error, and everybody else continues.

use restroy_sdk::{event::EventKind, status::RunStatus};
use serde_json::json;

use crate::world::World;

/// What a script tries, the code that its step ends with, and a word that its message holds.
const ATTACKS: &[(&str, &str, &str, &str)] = &[
    ("loop", "while true do end", "fuel_exhausted", "limit"),
    ("loop-in-pcall", "while true do pcall(function() while true do end end) end", "fuel_exhausted", "limit"),
    ("loop-in-coroutine", "coroutine.wrap(function() while true do end end)()", "fuel_exhausted", "limit"),
    (
        "loop-in-gc",
        "setmetatable({}, {__gc = function() while true do end end}); collectgarbage(); collectgarbage()",
        "fuel_exhausted",
        "limit",
    ),
    (
        "loop-in-index",
        "local t = setmetatable({}, {__index = function(t, k) while true do end end}); return pcall(function() return t.x end)",
        "fuel_exhausted",
        "limit",
    ),
    ("huge-rep", "return #('x'):rep(2^31)", "script_error", "too large"),
    ("large-rep", "return #('x'):rep(2^30)", "memory_limit", "MiB"),
    ("doubling", "local s = 'x' while true do s = s .. s end", "memory_limit", "MiB"),
    (
        "caught-doubling",
        "while true do pcall(function() local s = 'x' while true do s = s .. s end end) end",
        "memory_limit",
        "MiB",
    ),
    ("recursion", "local function f() return 1 + f() end return f()", "script_error", "stack overflow"),
    ("coroutines", "local t = {} for i = 1, 1e6 do t[i] = coroutine.create(function() end) end", "memory_limit", "MiB"),
    ("pattern", "return (('a'):rep(40)):find(('a?'):rep(40) .. ('a'):rep(40) .. 'b')", "fuel_exhausted", "limit"),
    ("bytecode", "local f, e = load('\\27Lua'); error(e, 0)", "script_error", "binary"),
    ("no-dump", "return string.dump(function() end)", "script_error", "dump"),
    ("no-execute", "return os.execute('true')", "script_error", "execute"),
    ("flood", "while true do print(('x'):rep(1000)) end", "log_limit", "256 KiB"),
    ("long-line", "print(('x'):rep(100000))", "log_line_limit", "8 KiB"),
    ("big-output", "return ('x'):rep(300 * 1024)", "output_limit", "256 KiB"),
    ("no-json", "return function() end", "result_not_json", "function"),
];

#[tokio::test]
async fn every_attack_ends_with_its_own_error_and_leaves_the_executor_running() {
    let mut world = World::new(&[]).await;
    for (name, source, code, word) in ATTACKS {
        let pipeline = world.push_script(name, source, json!({})).await;
        let finished = world.run(pipeline, json!({})).await;
        assert_eq!(finished.run.status, RunStatus::Failed, "{name}");
        assert_eq!(finished.error_code("only"), *code, "{name}: {:?}", finished.steps.last().unwrap().error);
        let error = finished.steps.last().unwrap().error.clone().unwrap();
        assert!(error.message.contains(word), "{name}: {}", error.message);
        assert!(!error.message.contains("/root") && !error.message.contains(".rs:"), "{name}: {}", error.message);
    }
    let honest = world.push_script("honest", "return {answer = 42}", json!({})).await;
    assert_eq!(world.run(honest, json!({})).await.succeeded().output("only"), json!({"answer": 42}));
    assert!(world.server.is_alive());
}

#[tokio::test]
async fn requests_reach_nothing_but_what_is_allowed() {
    let world = World::new(&[]).await;
    // Even an origin that the document allows is refused when it leads inside.
    for (name, url) in [
        ("metadata", "https://169.254.169.254/latest/meta-data"),
        ("mapped", "https://[::ffff:127.0.0.1]:8080/"),
        ("loopback", "https://127.0.0.1:8080/"),
        ("decimal", "https://2130706433/"),
        ("hex", "https://0x7f.1/"),
        ("name", "https://localhost/"),
        ("private", "https://10.0.0.1/"),
        ("shared", "https://100.64.0.1/"),
        ("unspecified", "https://0.0.0.0/"),
        ("unique-local", "https://[fd00::1]/"),
    ] {
        let url = url::Url::parse(url).unwrap();
        let origin = url.origin().ascii_serialization();
        let source =
            format!("local ok, e = pcall(http.get, '{url}') return {{ok = ok, code = e.code, message = e.message}}");
        let pipeline = world.push_script(name, &source, json!({"http": [origin]})).await;
        let output = world.run(pipeline, json!({})).await.succeeded().output("only");
        assert_eq!(output["ok"], json!(false), "{name}");
        assert_eq!(output["code"], json!("http_address_not_allowed"), "{name}: {output}");
    }
    let source = "local ok, e = pcall(http.get, 'https://example.org/') return {ok = ok, code = e.code}";
    let pipeline = world.push_script("elsewhere", source, json!({"http": ["https://example.com"]})).await;
    let output = world.run(pipeline, json!({})).await.succeeded().output("only");
    assert_eq!((&output["ok"], &output["code"]), (&json!(false), &json!("not_granted")), "{output}");
}

#[tokio::test]
async fn a_redirect_is_a_request_of_its_own() {
    let router = axum::Router::new().route(
        "/away",
        axum::routing::get(|| async { axum::response::Redirect::temporary("https://169.254.169.254/latest") }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let world = World::new(&["--allow-loopback-http"]).await;
    let source = format!(
        "local plain = http.get('{url}/away')
         local ok, e = pcall(http.get, plain.headers.location)
         return {{status = plain.status, ok = ok, code = e.code}}"
    );
    let pipeline = world.push_script("redirect", &source, json!({"http": [url, "https://169.254.169.254"]})).await;
    let output = world.run(pipeline, json!({})).await.succeeded().output("only");
    assert_eq!(output, json!({"status": 307, "ok": false, "code": "http_address_not_allowed"}));
}

#[tokio::test]
async fn files_stay_in_their_folder_and_within_their_quota() {
    let world = World::new(&[]).await;
    let source = "
        local refused = {}
        for _, path in ipairs{'../x', '/etc/passwd', 'a/../../x', '..', ''} do
          local ok = pcall(files.write, path, 'x')
          local opened = io.open(path, 'r')
          refused[#refused + 1] = (not ok) and opened == nil
        end
        files.write('note.txt', 'kept')
        local f <close> = assert(io.open('note.txt'))
        local chunk, wrote, failure = ('x'):rep(512 * 1024), 0, nil
        while true do
          local ok, e = pcall(files.write, 'big' .. wrote, chunk)
          if not ok then failure = e break end
          wrote = wrote + 1
        end
        return {refused = refused, text = f:read('a'), halves = wrote, code = failure.code}";
    let pipeline = world.push_script("files", source, json!({"files": true})).await;
    let output = world.run(pipeline, json!({})).await.succeeded().output("only");
    assert_eq!(output["refused"], json!([true, true, true, true, true]));
    assert_eq!(output["text"], json!("kept"));
    assert!(output["halves"].as_i64().unwrap() < 101, "50 MiB at most: {output}");
    assert!(output["code"].as_str().unwrap().contains("scratch"), "{output}");

    let denied = world.push_script("no-files", "return files.list()", json!({})).await;
    assert_eq!(world.run(denied, json!({})).await.run.status, RunStatus::Failed);
}

#[tokio::test]
async fn a_secret_never_leaves_a_script() {
    const SECRET: &str = "swordfish-Ü+/=&\"42";
    let world = World::new(&[]).await;
    let definition = json!({"restroy": 1, "steps": {"only": {
        "script": "scripts/only.lua", "secrets": ["KEY"], "allow": {"kv": true, "email": true}
    }}});
    let attempts = [
        ("printed", "print('the key is ' .. config.KEY) return 1", None),
        ("encoded", "print(base64.encode(config.KEY)) print(base64.encode('x' .. config.KEY)) return 1", None),
        ("escaped", "print(url.encode(config.KEY)) print(json.encode(config.KEY)) return 1", None),
        ("in pieces", "io.write(config.KEY:sub(1, 9)) io.write(config.KEY:sub(10), '\\n') return 1", None),
        ("in an error", "error('the key is ' .. config.KEY)", Some("script_error")),
        ("in progress", "progress(0.5, config.KEY) return 1", None),
        ("returned", "return {key = config.KEY}", Some("secret_in_output")),
        ("returned encoded", "return base64.encode(config.KEY)", Some("secret_in_output")),
        ("kept", "kv.set('key', config.KEY)", Some("secret_in_output")),
        ("mailed", "email.send{to = 'x@example.com', subject = 'key', text = config.KEY}", Some("secret_in_output")),
    ];
    for (name, source, code) in attempts {
        let pipeline = world.push(name, definition.clone(), &[("scripts/only.lua", source)]).await;
        let script = world.client.scripts(pipeline, &restroy_client::Paging::longest()).await.unwrap().items[0].id;
        let secret =
            restroy_sdk::api::script::PutConfiguration { value: SECRET.into(), secret: true, usable_only: false };
        world.client.put_configuration(script, "KEY", &secret).await.unwrap();
        let finished = world.run(pipeline, json!({})).await;
        match code {
            None => assert_eq!(finished.run.status, RunStatus::Succeeded, "{name}: {:?}", finished.run.error),
            Some(code) => assert_eq!(finished.error_code("only"), code, "{name}"),
        }
        let seen = serde_json::to_string(&finished.events).unwrap() + &serde_json::to_string(&finished.steps).unwrap();
        let json_escaped = serde_json::to_string(SECRET).unwrap();
        for trace in
            [SECRET, json_escaped.trim_matches('"'), "swordfish", "c3dvcmRmaXNo", "N3b3JkZmlza", "hzd29yZGZpc2"]
        {
            assert!(!seen.contains(trace), "{name} shows {trace}");
        }
        if code.is_none() && name != "in progress" {
            assert!(finished.events.iter().any(|event| matches!(event.kind, EventKind::StepOutput { .. })), "{name}");
        }
    }
    assert!(world.server.stores("in pieces"), "the database can be searched");
    assert!(!world.server.stores("swordfish"), "the database holds the secret in the clear");
}
