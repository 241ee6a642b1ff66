//! Host calls.

use std::sync::Arc;

use async_trait::async_trait;
use lua_wasm_host::{CallContext, CallKind, CallResult, EffectGate, ErrorCode, Limits, StepError};

use crate::support::{World, assert_values, engine, limited, script};

async fn in_world(world: &Arc<World>, text: &str) -> String {
    match engine().run(script(text), world.host_context()).await.result {
        Ok(json) => json,
        Err(error) => panic!("{text}\n{error:?}"),
    }
}

#[tokio::test]
async fn http_requests_and_answers() {
    let world = Arc::new(World::default());
    let text = "local r = http.post('https://api.example.com/echo?a=1#f', {json = {n = 1}, query = {b = 'x y'}, \
                headers = {['X-Test'] = 5}, timeout = 2}) \
                local g = http.get('https://api.example.com/json') \
                return {r.status, r.ok, r.body, r:json().n, r.headers['content-type'], g.json().name, http.get('https://api.example.com/none').ok}";
    assert_eq!(in_world(&world, text).await, r#"[201,true,"{\"n\":1}",1,"application/json","Ada",false]"#);
    let requests = world.requests.lock().unwrap();
    assert_eq!(requests[0].method, "POST");
    assert_eq!(requests[0].url.as_str(), "https://api.example.com/echo?a=1&b=x%20y#f");
    assert_eq!(
        requests[0].headers,
        [("Content-Type", "application/json"), ("X-Test", "5")].map(|(n, v)| (n.to_owned(), v.to_owned()))
    );
    assert_eq!(requests[0].timeout.as_secs(), 2);
    assert_eq!(requests[1].timeout, Limits::default().http_timeout);
}

#[tokio::test]
async fn bad_requests_never_leave() {
    let world = Arc::new(World::default());
    for (call, code) in [
        ("http.get('https://other.example.com/')", "not_granted"),
        ("http.get('http://api.example.com/')", "not_granted"),
        ("http.get('https://api.example.com:444/')", "not_granted"),
        ("http.get('https://u:p@api.example.com/')", "invalid_argument"),
        ("http.get('file:///etc/passwd')", "invalid_argument"),
        ("http.get('nonsense')", "invalid_argument"),
        ("http.request('GET x', 'https://api.example.com/')", "invalid_argument"),
        ("http.request('CONNECT', 'https://api.example.com/')", "invalid_argument"),
        ("http.get('https://api.example.com/', {headers = {Host = 'evil'}})", "invalid_argument"),
        ("http.get('https://api.example.com/', {headers = {['A\\r\\nB'] = 'x'}})", "invalid_argument"),
        ("http.get('https://api.example.com/', {headers = {A = 'x\\r\\nB: y'}})", "invalid_argument"),
        ("http.get('https://api.example.com/', {headers = {['Content-Length'] = '1'}})", "invalid_argument"),
        ("http.get('https://api.example.com/', {timeout = -1})", "invalid_argument"),
        ("http.get('https://api.example.com/', {idempotency_key = 'a\\nb'})", "invalid_argument"),
        ("http.post('https://api.example.com/', {body = ('x'):rep(1.1e6)})", "host_call_bytes_limit"),
    ] {
        let text = format!("local ok, problem = pcall(function() {call} end) return problem.code or problem");
        assert_eq!(in_world(&world, &text).await, format!("\"{code}\""), "{call}");
    }
    assert!(world.requests.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn failed_requests_can_be_caught() {
    let world = Arc::new(World::default());
    for (call, expected) in [
        ("http.get('https://api.example.com/refuse')", r#"["http_connect",true]"#),
        ("http.get('https://api.example.com/hang', {timeout = 1})", r#"["http_timeout",true]"#),
        ("http.get('https://api.example.com/big/1048577')", r#"["http_response_limit",false]"#),
        ("http.get('https://api.example.com/json', {timeout = 600})", "[200]"),
    ] {
        let text =
            format!("local ok, r = pcall(function() return {call} end) return {{r.code or r.status, r.retryable}}");
        assert_eq!(in_world(&world, &text).await, expected, "{call}");
    }
    let error = engine()
        .run(script("http.get('https://api.example.com/refuse')"), world.host_context())
        .await
        .result
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::ScriptError);
    assert_eq!(error.message, "connection refused");
    assert_eq!(error.details.unwrap()["code"], "http_connect");
    assert!(error.retryable);
    assert_eq!(error.traceback.as_deref(), Some("scripts/main.lua:1: in main chunk"));
}

#[tokio::test]
async fn the_key_value_store() {
    let world = Arc::new(World::default());
    let text = "kv.set('b', {z = 1, a = {1, json.null}}) kv.set('bb', 'x', {ttl = 60}) \
                local listed = kv.list('b', {limit = 10}) \
                return {kv.get('b'), kv.get('missing') == nil, kv.incr('n'), kv.incr('n', 5), kv.delete('n'), kv.delete('n'), \
                kv.cas('c', nil, 1), kv.cas('c', 2, 3), kv.cas('c', 1, 2), kv.get('c'), kv.cas('c', 2, nil), kv.get('c') == nil, \
                #listed, listed[2], select(2, pcall(kv.incr, 'bb')).code, (pcall(kv.set, 'f', print)), (pcall(kv.get, '')), \
                select(2, pcall(kv.set, 'f', ('x'):rep(70000))).code}";
    assert_eq!(
        in_world(&world, text).await,
        r#"[{"a":[1,null],"z":1},true,1,6,true,false,true,false,true,2,true,true,2,{"key":"bb","value":"x"},"kv_not_an_integer",false,false,"kv_value_limit"]"#
    );
    assert_eq!(world.kv.lock().unwrap()["b"], r#"{"a":[1,null],"z":1}"#);
}

#[tokio::test]
async fn a_stored_null_is_not_absent() {
    assert_values(&[(
        "kv.set('k', json.null) return {kv.get('k') == json.null, kv.cas('k', nil, 1), kv.cas('k', json.null, 1)}",
        "[true,false,true]",
    )])
    .await;
}

#[tokio::test]
async fn mail() {
    let world = Arc::new(World::default());
    let text = "local id = email.send{to = {'a@b.example'}, subject = 'Hi', text = 'x', html = '<p>x', reply_to = 'r@b.example'} \
                local codes = {id} for _, bad in ipairs{{to = 'nobody', subject = '', text = ''}, \
                {to = 'a@b.example', subject = 'x\\nBcc: c@d.example', text = ''}, {to = 'a@b.example'}, {to = {}, subject = '', text = ''}} do \
                codes[#codes + 1] = select(2, pcall(email.send, bad)).code end return codes";
    assert_eq!(
        in_world(&world, text).await,
        r#"["message-1","invalid_argument","invalid_argument","invalid_argument","invalid_argument"]"#
    );
    let mails = world.mails.lock().unwrap();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].html.as_deref(), Some("<p>x"));
}

#[tokio::test]
async fn scratch_files() {
    let world = Arc::new(World::default());
    let text = "files.write('out/a.txt', 'one\\ntwo\\n3 4.5\\n') \
                local f = assert(io.open('out/a.txt')) \
                local first, second = f:read('l', 'L') local n, m = f:read('n', 'n') local rest = f:read('a') local eof = f:read('l') \
                local size = f:seek('end') f:seek('set', 4) local again = f:read(3) f:close() \
                local lines = {} for line in io.lines('out/a.txt') do lines[#lines + 1] = line end \
                local a = io.open('out/a.txt', 'a') a:write('five', 5):close() \
                local u <close> = io.open('out/a.txt', 'r+') u:write('ONE') \
                return {first, second, n, m, rest, eof == nil, size, again, #lines, files.read('out/a.txt'), files.size('x') == nil, \
                files.list()[1], select(2, io.open('nope')), io.type(f), io.type(u), files.remove('nope'), tostring(f)}";
    assert_eq!(
        in_world(&world, text).await,
        r#"["one","two\n",3,4.5,"\n",true,14,"two",3,"ONE\ntwo\n3 4.5\nfive5",true,{"path":"out/a.txt","size":19},"nope: no such file","closed file","file",false,"file (closed)"]"#
    );
}

#[tokio::test]
async fn files_are_bounded_and_stay_inside() {
    let world = Arc::new(World::default());
    let text = "local codes = json.array{} for _, path in ipairs{'../x', '/etc/passwd', 'a/../../b', '', 'a\\0b'} do \
                codes[#codes + 1] = select(2, pcall(files.read, path)).code end \
                local open = {} for i = 1, 20 do local ok, f = pcall(files.open, 'f' .. i, 'w') \
                if not ok then codes[#codes + 1] = f.code .. i break end open[i] = f end \
                open[1]:close() files.write('again', 'x') return codes";
    assert_eq!(
        in_world(&world, text).await,
        r#"["invalid_argument","invalid_argument","invalid_argument","invalid_argument","invalid_argument","open_files_limit17"]"#
    );
    // Larger than one call carries.
    let text = "files.write('big', ('x'):rep(3000000)) return #files.read('big')";
    assert_eq!(in_world(&world, text).await, "3000000");
}

#[tokio::test]
async fn artifacts() {
    let world = Arc::new(World::default());
    let text = "files.write('out/a.csv', 'x') files.artifact('out/a.csv') files.artifact('out/a.csv', {name = 'b.csv', content_type = 'text/csv'}) \
                return {(pcall(files.artifact, 'out/a.csv', {name = '../x'})), (pcall(files.artifact, 'out/a.csv', {content_type = 'x\\ny/z'}))}";
    assert_eq!(in_world(&world, text).await, "[false,false]");
    let names: Vec<_> = world.artifacts.lock().unwrap().iter().map(|artifact| artifact.name.clone()).collect();
    assert_eq!(names, ["a.csv", "b.csv"]);
}

#[tokio::test]
async fn calls_are_numbered_gated_and_journalled() {
    let world = Arc::new(World::default());
    let text = "kv.get('a') http.get('https://api.example.com/json') time.now() kv.set('a', 1) \
                http.get('https://api.example.com/json', {idempotency_key = 'mine'}) \
                pcall(http.get, 'https://api.example.com/refuse') sleep(0)";
    in_world(&world, text).await;
    let gated: Vec<_> = world.gated.lock().unwrap().iter().map(|call| (call.number, call.kind)).collect();
    assert_eq!(gated, [(2, CallKind::Http), (3, CallKind::KvSet), (4, CallKind::Http), (5, CallKind::Http)]);
    let records = world.records.lock().unwrap();
    let numbers: Vec<_> = records.iter().map(|record| record.call.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert_eq!(records[1].call.target, "GET https://api.example.com/json");
    assert_eq!(records[1].http_status, Some(200));
    assert_eq!(records[1].call.digest, records[3].call.digest);
    assert_eq!(records[3].call.idempotency_key.as_deref(), Some("mine"));
    assert_eq!(records[4].error.as_deref(), Some("http_connect"));
    assert_ne!(records[4].call.digest, records[1].call.digest);
}

#[tokio::test]
async fn an_embedder_can_end_a_step_past_pcall() {
    struct Lost;
    #[async_trait]
    impl EffectGate for Lost {
        async fn ready(&self, _: &CallContext) -> CallResult<()> {
            Err(StepError::new(ErrorCode::Host("lease_lost".into()), "another executor has the task").into())
        }
    }
    let world = Arc::new(World::default());
    let mut host_context = world.host_context();
    host_context.gate = Some(Arc::new(Lost));
    let text = "pcall(kv.set, 'a', 1) print('not reached') return 1";
    let error = engine().run(limited(text, Limits::default()), host_context).await.result.unwrap_err();
    assert_eq!(error.code.as_str(), "lease_lost");
    assert!(world.kv.lock().unwrap().is_empty());
    assert!(world.text().is_empty());
}

#[tokio::test]
async fn a_call_works_from_anywhere_in_a_script() {
    assert_values(&[
        ("local co = coroutine.wrap(function() kv.set('a', 1) coroutine.yield(kv.get('a')) return kv.get('b') end) return {co(), co() == nil}", "[1,true]"),
        ("local t = setmetatable({}, {__index = function(_, key) return kv.incr(key) end}) return {t.a, t.a}", "[1,2]"),
        ("do local x <close> = setmetatable({}, {__close = function() kv.set('closed', true) end}) end return kv.get('closed')", "true"),
        ("local t = {3, 1, 2} table.sort(t, function(a, b) sleep(0) return a < b end) return t", "[1,2,3]"),
        ("return (('abc'):gsub('.', function(c) return kv.incr(c) end))", r#""111""#),
        ("return select(2, xpcall(kv.incr, function(e) return e.code .. kv.incr('n') end, ''))", r#""invalid_argument1""#),
    ])
    .await;
}
