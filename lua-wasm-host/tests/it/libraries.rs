//! What scripts find, and what they do not.

use std::sync::Arc;

use lua_wasm_host::{Globals, Invocation, Level, Source};

use crate::support::{World, assert_values, engine, run, script, value};

#[tokio::test]
async fn a_value_becomes_json() {
    assert_values(&[
        ("return 1", "1"),
        ("return", "null"),
        ("return nil", "null"),
        ("return 'ä\\n\"', 2", r#""ä\n\"""#),
        ("return 10 / 2", "5.0"),
        ("return 1e300", "1e+300"),
        ("return math.mininteger", "-9223372036854775808"),
        ("return {}", "{}"),
        ("return json.array{}", "[]"),
        ("return {1, 2, {3}}", "[1,2,[3]]"),
        ("return {b = 1, a = {true, json.null}}", r#"{"a":[true,null],"b":1}"#),
    ])
    .await;
}

#[tokio::test]
async fn json_is_read_and_written() {
    assert_values(&[
        (r"return json.encode{a = 1}", r#""{\"a\":1}""#),
        (r#"return json.decode'{"a":[],"b":{},"c":null}'"#, r#"{"a":[],"b":{},"c":null}"#),
        (r"return json.decode'[1,2.0,3e2]'", "[1,2.0,300.0]"),
        (r"return json.decode'[]' == json.null", "false"),
        (r"return json.decode'null' == json.null, 1", "true"),
        (
            r"return {pcall(json.decode, '{')}",
            r#"[false,"scripts/main.lua:1: json.decode: EOF while parsing an object at line 1 column 1"]"#,
        ),
        (
            r"return (select(2, pcall(json.encode, {a = {1, print}})))",
            r#""scripts/main.lua:1: json.encode: a function has no JSON form (at .a[2])""#,
        ),
        ("return tostring(json.null)", r#""null""#),
        ("return require('json') == json", "true"),
    ])
    .await;
}

#[tokio::test]
async fn base64_hashes_and_uuids() {
    assert_values(&[
        ("return base64.encode('hello?>')", r#""aGVsbG8/Pg==""#),
        ("return base64.encode_url('hello?>')", r#""aGVsbG8_Pg""#),
        ("return base64.decode('aGVsbG8/Pg==') == base64.decode('aGVsbG8_Pg')", "true"),
        ("return pcall(base64.decode, '!')", "false"),
        ("return crypto.sha256('abc')", r#""ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad""#),
        ("return crypto.sha1('abc')", r#""a9993e364706816aba3e25717850c26c9cd0d89d""#),
        ("return crypto.sha512('abc'):sub(1, 16)", r#""ddaf35a193617aba""#),
        (
            "return crypto.hmac('sha256', 'key', 'The quick brown fox jumps over the lazy dog')",
            r#""f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8""#,
        ),
        ("return #crypto.random_bytes(10)", "10"),
        ("return crypto.hex('\\x00\\xff') .. crypto.unhex('41')", r#""00ffA""#),
        ("return crypto.equal('a', 'a'), crypto.equal('a', 'b')", "true"),
        ("return uuid.v4()", r#""00010203-0405-4607-8809-0a0b0c0d0e0f""#),
        ("return uuid.v7()", r#""019ca961-33ae-7001-8203-040506070809""#),
    ])
    .await;
}

#[tokio::test]
async fn urls() {
    assert_values(&[
        ("return url.encode('a b/ü')", r#""a%20b%2F%C3%BC""#),
        ("return url.decode('a%20b%2F')", r#""a b/""#),
        ("return url.query{b = 2, a = {1, 'x y'}}", r#""a=1&a=x%20y&b=2""#),
        ("return url.parse_query('a=1&a=2&b=x+y')", r#"{"a":["1","2"],"b":"x y"}"#),
        (
            "return url.parse('HTTPS://u:p@Example.com:8443/a/b?x=1#f')",
            r#"{"fragment":"f","host":"example.com","password":"p","path":"/a/b","port":8443,"query":"x=1","scheme":"https","user":"u"}"#,
        ),
        ("return url.build{scheme = 'https', host = 'e.com', path = '/a', query = {q = 1}}", r#""https://e.com/a?q=1""#),
    ])
    .await;
}

#[tokio::test]
async fn times() {
    assert_values(&[
        ("return time.unix()", "1772368245"),
        ("return time.unix_ms()", "1772368245678"),
        ("return os.time()", "1772368245"),
        ("return os.time{year = 2026, month = 3, day = 1, hour = 12, min = 30, sec = 45}", "1772368245"),
        ("return os.date('!%Y-%m-%d %H:%M:%S')", r#""2026-03-01 12:30:45""#),
        ("return os.date('%A %d %B %Y', 0)", r#""Thursday 01 January 1970""#),
        ("return time.format(time.now(), {digits = 6})", r#""2026-03-01T12:30:45.678901Z""#),
        ("return time.format(0)", r#""1970-01-01T00:00:00Z""#),
        ("return time.format(1772368245, 'Europe/Kyiv')", r#""2026-03-01T14:30:45+02:00""#),
        ("return time.format(1784000000, {zone = 'America/New_York'})", r#""2026-07-13T23:33:20-04:00""#),
        ("return time.parse('2026-03-01T14:30:45+02:00')", "1772368245"),
        ("return time.parse('2026-03-01T12:30:45.5Z')", "1772368245.5"),
        ("return time.parse('2026-02-29')", "null"),
        ("return time.parse('1969-12-31')", "-86400"),
        ("return time.duration('1h30m')", "5400"),
        ("return time.duration('250ms')", "0.25"),
        ("return time.duration('5 minutes')", "null"),
        ("return time.from({year = 2026, month = 3, day = 1, hour = 14}, 'Europe/Kyiv')", "1772366400"),
        (
            "local p = time.parts(1772368245, 'Europe/Kyiv') return {p.hour, p.weekday, p.yday, p.zone}",
            r#"[14,7,60,"EET"]"#,
        ),
        ("return select(2, pcall(time.parts, 0, 'Nowhere/Land')).code", r#""invalid_argument""#),
    ])
    .await;
}

#[tokio::test]
async fn what_a_sandbox_has_not() {
    assert_values(&[
        (
            "local found = json.array{} for _, path in ipairs{'dofile', 'loadfile', 'package', 'os.execute', 'os.getenv', \
             'os.exit', 'os.remove', 'os.rename', 'os.tmpname', 'os.setlocale', 'string.dump', 'debug.getinfo', \
             'debug.sethook', 'debug.getregistry', 'debug.setmetatable', 'io.popen', 'io.read', 'io.tmpfile'} do \
             local value = _G for part in path:gmatch('%w+') do value = value and value[part] end \
             if value ~= nil then found[#found + 1] = path end end return found",
            "[]",
        ),
        ("return load('\\27Lua')", "null"),
        ("return load('\\27Lua', 'x', 'b')", "null"),
        ("return load('return 1', 'x', 'b')()", "1"),
        ("return load('return x', 'c', 't', {x = 2})()", "2"),
        ("return pcall(string.format, '%p', {})", "false"),
        ("return {tostring({}), tostring(print), tostring(coroutine.create(print))}", r#"["table: 0x1","function: 0x2","thread: 0x3"]"#),
        ("local t = {} return tostring(t) == string.format('%s', t)", "true"),
        ("return pcall(collectgarbage, 'stop')", "false"),
        ("return collectgarbage('count') > 0 and collectgarbage() == 0", "true"),
        ("local names = {} for name in pairs(debug) do names[#names + 1] = name end return names", r#"["traceback"]"#),
    ])
    .await;
}

#[tokio::test]
async fn lines_have_levels_and_are_whole() {
    let world = Arc::new(World::default());
    let text = "print('a', 1, nil) print('two\\nlines') log.debug('x %d', 7) log.info{k = 1} log.warn('w') log.error('e') \
                io.write('un', 'finished') io.write(' line\\nrest') progress(0.5, 'half') warn('x', 'y')";
    engine().run(script(text), world.host_context()).await.result.unwrap();
    let lines: Vec<_> = world.lines.lock().unwrap().clone();
    let expected = [
        (Level::Info, "a\t1\tnil"),
        (Level::Info, "two"),
        (Level::Info, "lines"),
        (Level::Debug, "x 7"),
        (Level::Info, r#"{"k":1}"#),
        (Level::Warn, "w"),
        (Level::Error, "e"),
        (Level::Info, "unfinished line"),
        (Level::Warn, "xy"),
        (Level::Info, "rest"),
    ];
    assert_eq!(lines, expected.map(|(level, text)| (level, text.to_owned())));
    assert_eq!(*world.progress.lock().unwrap(), [(0.5, Some("half".to_owned()))]);
}

#[tokio::test]
async fn globals_are_read() {
    let globals = Globals {
        params: Some(r#"{"issue":"7"}"#.into()),
        inputs: Some(r#"{"fetch":{"n":[1,2]}}"#.into()),
        item: Some("null".into()),
        index: Some(3),
        config: Some(r#"{"API_KEY":"s"}"#.into()),
        run: None,
    };
    let invocation = Invocation {
        globals,
        ..script("return {params.issue, #inputs.fetch.n, item == nil, index, config.API_KEY, run == nil}")
    };
    assert_eq!(run(invocation).await.result.unwrap(), r#"["7",2,true,3,"s",true]"#);
}

#[tokio::test]
async fn modules_are_required_once_by_several_names() {
    let modules = vec![
        Source::new("scripts/util.lua", "print('loaded') return {double = function(x) return 2 * x end}"),
        Source::new("scripts/deep/er.lua", "return require('util').double(10)"),
        Source::new("scripts/loop.lua", "return require('loop')"),
        Source::new("scripts/broken.lua", "local x =\nreturn"),
    ];
    let world = Arc::new(World::default());
    let invocation = Invocation {
        modules,
        ..script(
            "assert(require('util') == require('scripts.util') and require('util') == require('scripts/util.lua')) \
             local _, missing = pcall(require, 'missing') local _, loop = pcall(require, 'loop') \
             local _, broken = pcall(require, 'broken') return {require('deep.er'), missing, loop, broken}",
        )
    };
    let json = engine().run(invocation, world.host_context()).await.result.unwrap();
    assert_eq!(
        json,
        r#"[20,"scripts/main.lua:1: module 'missing' not found","scripts/main.lua:1: module 'loop' requires itself, directly or through others","scripts/broken.lua:2:1: unexpected symbol near 'return'"]"#
    );
    assert_eq!(world.text(), ["loaded"]);
}

#[tokio::test]
async fn expressions_have_a_value() {
    for (text, expected) in [
        ("1 + 1", "2"),
        ("#inputs.fetch.subscribers > 0", "true"),
        ("inputs.fetch.subscribers -- a comment", r#"["a"]"#),
        ("nil", "null"),
    ] {
        let globals = Globals { inputs: Some(r#"{"fetch":{"subscribers":["a"]}}"#.into()), ..Globals::default() };
        let invocation = Invocation { globals, ..Invocation::expression("steps.send.if", text) };
        assert_eq!(run(invocation).await.result.unwrap(), expected, "{text}");
    }
}

#[tokio::test]
async fn lua_is_all_there() {
    assert_values(&[
        ("local co = coroutine.wrap(function() pcall(function() coroutine.yield(1) error('x') end) coroutine.yield(2) end) return {co(), co()}", "[1,2]"),
        ("local log = {} do local x <close> = setmetatable({}, {__close = function() log[1] = 'closed' end}) end return log", r#"["closed"]"#),
        ("goto over do return 1 end ::over:: return utf8.char(0x20AC)", r#""€""#),
        ("return {math.type(3 // 1), 7 // 2, 2^53, 1 << 4}", r#"["integer",3,9007199254740992.0,16]"#),
        ("return select(2, xpcall(error, function(m) return m .. '!' end, 'x'))", r#""x!""#),
        ("return string.format('%5.2f|%q', math.pi, 'a')", r#"" 3.14|\"a\"""#),
    ])
    .await;
    // Long enough for what Lua would randomize.
    assert_eq!(value("local t = {} for i = 1, 200000 do t[i] = i % 7 end table.sort(t) return t[100000]").await, "3");
}
