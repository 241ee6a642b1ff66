//! Scripts and inputs made to break the guest. Whatever they come to is their own error and says so: none ends as
//! `internal`, which blames the platform, is tried again and wakes an operator.

use lua_wasm_host::{ErrorCode, Globals, Invocation, Limits, Source};

use crate::support::{error, limited, run, script, value};

const FUEL: u64 = 40_000_000;

/// What each comes to does not matter here, only that it is the script's own.
const SCRIPTS: &[&str] = &[
    // Results and errors that are too large, or too many.
    "return {[('k'):rep(3000000)] = print}",
    "return {[('\\0'):rep(3000000)] = {[('\\255'):rep(3000000)] = print}}",
    "local t = {} for i = 1, 100000 do t[i] = i end return table.unpack(t)",
    "local t = {} for i = 1, 190000 do t[i] = i end return table.unpack(t)",
    "local t = {} for i = 1, 199000 do t[i] = i end return select('#', table.unpack(t))",
    "local t = {} for i = 1, 150000 do t['k' .. i] = i end return t",
    "local t = {} for i = 1, 60000 do t['k' .. i] = {} end for k in pairs(t) do t[k] = {a = t[k], b = 'x'} end return t",
    "local t = {} for d = 1, 6 do local u = {t = t} for i = 1, 30000 do u['k' .. i] = 'v' end t = u end return json.encode(t)",
    "error(('\\0'):rep(5000000), 0)",
    "error(('\\255'):rep(5000000), 0)",
    "error({message = ('\\0'):rep(3000000), data = ('\\0'):rep(3000000)})",
    "error(setmetatable({}, {__tostring = function() return ('\\1'):rep(3000000) end}))",
    "error(setmetatable({}, {__name = ('n'):rep(3000000)}))",
    "local t = {} for i = 1, 99 do t = {[('k'):rep(20000)] = t} end t.x = print return t",
    "local t = {} t[t] = t return t",
    "local t = {} for i = 1, 1000 do t = {t} end return t",
    "return setmetatable({}, {__index = error, __len = error, __pairs = error, __gc = error, __metatable = error})",
    "return coroutine.create(print)",
    "return 2^63, -2^63, 1e308 * 10",
    "return io.stdout",
    // Sizes at the edge of 32 bits.
    "return pcall(string.rep, 'x', (1 << 31) - 1000)",
    "return pcall(string.rep, 'x', (1 << 31) - 1)",
    "return pcall(string.rep, 'x', 1 << 31)",
    "return pcall(string.rep, 'x', (1 << 32) + 5)",
    "return ('xy'):rep(1073741500)",
    "return string.rep('', 2147483500, 'y')",
    "return string.rep('ab', 1 << 62, 'cd')",
    "return #('x'):rep(1 << 28), #('x'):rep((1 << 28) + 1)",
    "for bits = 20, 33 do for d = -40, 40, 8 do pcall(string.rep, 'x', (1 << bits) + d) end end",
    "local s = ('x'):rep(1 << 20) return table.concat({s, s, s, s, s, s, s, s}, s):rep(200)",
    "return table.concat({}, 'x', 1, 1 << 31)",
    "return table.concat(setmetatable({}, {__index = function() return 'x' end}), '', 1, 1 << 40)",
    "return table.unpack({}, 1, (1 << 31) - 1)",
    "return table.unpack({}, math.mininteger, math.maxinteger)",
    "return table.move({}, 1, 1 << 30, 1 << 31)",
    "return table.pack(table.unpack({}, 1, 190000)).n",
    "return string.char(table.unpack({}, 1, 190000))",
    "return utf8.char(table.unpack(setmetatable({}, {__index = function() return 0x7fffffff end}), 1, 60000))",
    "return string.pack('!16 i16 s4', 1, 'x'), string.pack('i17', 1)",
    "return string.pack('c2147483640', 'x')",
    "return string.pack('!16' .. ('Xi16'):rep(100000))",
    "return string.packsize('c2147483647c2147483647')",
    "return string.unpack('c2147483647', 'x', -1)",
    "return string.unpack('s4', '\\255\\255\\255\\255')",
    "return string.format('%99.99f', 1e308), string.format('%-99s', 'x'), string.format('%a', 2^-1074)",
    "return string.format(('%d'):rep(100000), 1)",
    "return string.format('%s', setmetatable({}, {__tostring = function() return 1 end}))",
    "return string.format('%q', 0/0), string.format('%q', math.mininteger), string.format('%q', print)",
    "return string.format('%s', ('x'):rep(20000000))",
    "return ('x'):sub(math.mininteger, math.maxinteger), ('x'):byte(math.mininteger, math.maxinteger)",
    "return ('x'):rep(190000):byte(1, -1)",
    "return math.random(math.mininteger, math.maxinteger), math.random(0), math.random(1, 0)",
    "return collectgarbage('step', 1 << 40)",
    "return select(-1 << 40, 1)",
    // Patterns.
    "return ('x'):rep(300000):find(('.-'):rep(3000) .. 'y')",
    "return ('a'):rep(100000):match(('(a)'):rep(40))",
    "return ('('):rep(100000):gsub('%b()', '')",
    "return ('x'):find(('['):rep(100000)), ('x'):find('%f'), ('x'):find('%'), ('x'):find('[%')",
    "return ('x'):rep(100000):gsub('', ('y'):rep(10000))",
    "return ('x'):rep(10000):gsub('x', function(c) return ('y'):rep(100000) end)",
    "return ('x'):gsub('.', '%9')",
    "return (('x'):rep(100):gsub('.', setmetatable({}, {__index = function(t, k) return t[k .. k] end})))",
    "local function f(s) return (s:gsub('.', f)) end return pcall(f, 'x')",
    "for w in ('x'):rep(1000000):gmatch('()()()') do end",
    // Deep recursion, in Lua, in C and in between.
    "local function f() return pcall(f) end return f()",
    "local function f() return xpcall(f, f) end return f()",
    "local function f(...) return f(1, ...) end return f()",
    "local function f() local ok, e = pcall(f) error(e) end f()",
    "local function h(e) error(e) end return xpcall(error, h, 'x')",
    "return xpcall(error, function(e) return xpcall(error, debug.traceback, e) end, 'x')",
    "local t = setmetatable({}, {}) local m = getmetatable(t) m.__index = function(t, k) return t[k] end return t.x",
    "local t = setmetatable({}, {}) local m = getmetatable(t) m.__concat = function(a, b) return a .. b end return t .. t",
    "local t = setmetatable({}, {}) getmetatable(t).__tostring = function(x) return string.format('%s', x) end return tostring(t)",
    "local t = setmetatable({}, {}) getmetatable(t).__tostring = function(x) print(x) end return tostring(t)",
    "local t = setmetatable({}, {}) getmetatable(t).__eq = function(a, b) return a == b end return t == setmetatable({}, getmetatable(t))",
    "local t = setmetatable({}, {}) getmetatable(t).__lt = function(a, b) return a < b end table.sort({t, t, t, t, t, t})",
    "local t = setmetatable({}, {}) getmetatable(t).__close = function() local x <close> = t error('x') end local y <close> = t",
    "local t = setmetatable({}, {}) for i = 1, 1e5 do t = setmetatable({}, {__index = t}) end return t.x",
    "local function f() return load(f) end return f()",
    "local function f() return load('return ' .. ('('):rep(190) .. '1' .. (')'):rep(190))() and f() or 1 end return f()",
    "local function read() return load(read) and 'x' or 'y' end return load(read)",
    "local function f() return coroutine.wrap(function() return f() end)() end return pcall(f)",
    "local function f() return coroutine.wrap(function() return pcall(f) end)() end return f()",
    "return load('return ' .. ('{'):rep(10000) .. ('}'):rep(10000))",
    "return load(('a.'):rep(100000) .. 'a = 1') or load(('do '):rep(100000))",
    "return load('local ' .. ('a,'):rep(300) .. 'a = 1')",
    "return load('return ' .. ('a .. '):rep(100000) .. 'a')",
    "return load('goto x ' .. ('::a::'):rep(10))",
    // Errors where nobody expects them.
    "error()",
    "error(nil)",
    "error(error)",
    "error(coroutine.create(print))",
    "error(setmetatable({}, {__tostring = error}))",
    "error(setmetatable({}, {__tostring = function() return {} end}))",
    "error(setmetatable({message = setmetatable({}, {__tostring = error})}, {__index = error, __eq = error}))",
    "error({message = 1, code = 2, retryable = 'yes'})",
    "error({retryable = true, details = print})",
    "local x <close> = setmetatable({}, {__close = function() error({}) end}) error({})",
    "local x <close> = setmetatable({}, {__close = function(_, e) error(setmetatable({}, {__eq = function() error('x') end})) end}) error('y')",
    "setmetatable({}, {__gc = function() error(setmetatable({}, {__tostring = error})) end}) collectgarbage()",
    "setmetatable({}, {__gc = function(t) setmetatable({}, getmetatable(t)) end}) for i = 1, 100 do collectgarbage() end",
    "setmetatable({}, {__gc = function() coroutine.yield() end}) collectgarbage()",
    "for i = 1, 200 do setmetatable({}, {__gc = function() collectgarbage() end}) end collectgarbage()",
    "coroutine.yield(1)",
    "return coroutine.wrap(function() error(setmetatable({}, {__tostring = error})) end)()",
    "local co co = coroutine.create(function() return coroutine.resume(co) end) return coroutine.resume(co)",
    "local co = coroutine.wrap(function() pcall(coroutine.yield, 1) error('x') end) co() co()",
    "local co = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() coroutine.yield() end}) coroutine.yield() end) coroutine.resume(co) return coroutine.close(co)",
    "local co co = coroutine.wrap(function() return co() end) return co()",
    "return coroutine.close(coroutine.create(function() end)), coroutine.close(coroutine.running())",
    "local t = {} for i = 1, 3000 do t[i] = coroutine.wrap(function() coroutine.yield(t[i - 1] and t[i - 1]()) end) end return t[3000]()",
    // What belongs to everybody, changed.
    "getmetatable('').__index = nil return ('x'):upper()",
    "getmetatable('').__index = function(s, k) return s[k] end return ('x').y",
    "getmetatable('').__concat = error getmetatable('').__eq = error getmetatable('').__lt = error error('x')",
    "setmetatable(_G, {__index = error, __newindex = error}) return x",
    "_G = nil _ENV = nil return 1",
    "for k in pairs(_G) do _G[k] = nil end error('x')",
    "for k, v in pairs(_G) do if type(v) == 'table' then for n in pairs(v) do v[n] = error end end end error('x')",
    "tostring, pcall, error, type, select, rawget = nil return nil + 1",
    "string.format = error error({})",
    "json.null = 1 getmetatable(json.null) return {json.array{}, json.null}",
    "setmetatable(getmetatable(json.array{}), {__index = error, __eq = error}) return json.array{}",
    "package = 1 require = nil return require",
    // Tables.
    "table.sort({3, 1, 2, 5, 4, 9, 8, 7}, function() return true end)",
    "local t = {} for i = 1, 1000 do t[i] = i % 7 end table.sort(t, function(a, b) t[#t + 1] = 1 return a < b end)",
    "local t = {} for i = 1, 1000 do t[i] = i end table.sort(t, function(a, b) collectgarbage() error({}) end)",
    "table.sort(setmetatable({}, {__len = function() return math.maxinteger end}))",
    "table.sort(setmetatable({}, {__len = function() return (1 << 31) - 2 end, __index = function(_, k) return k end}))",
    "table.insert(setmetatable({}, {__len = function() return math.maxinteger end}), 1)",
    "local t = {1, 2, 3} for k in pairs(t) do t[k + 100] = k end return next(t, 'gone')",
    "local t = {} for i = 1, 1 << 20 do t[i << 40] = i end return #t",
    "local t = setmetatable({}, {__mode = 'kv'}) for i = 1, 1e5 do t[{}] = {} end return #t",
    "for k, v in setmetatable({}, {__call = function(t) return t, t end}) do if not next(k) then k[1] = 1 else break end end",
    // utf8 and the libraries.
    "return utf8.codepoint(('\\u{10ffff}'):rep(100000), 1, -1)",
    "return utf8.len('\\xf7\\xbf\\xbf\\xbf'), utf8.codes('\\xff')(), utf8.offset('\\x80', 1)",
    "for _, c in utf8.codes('\\xed\\xa0\\x80') do end",
    "return json.decode(('['):rep(100000))",
    "return json.decode('\"\\\\ud800\"')",
    "return json.decode('1e999')",
    "return json.decode(('{\"a\":'):rep(127) .. '1' .. ('}'):rep(127))",
    "return json.decode('[' .. ('0,'):rep(1000000) .. '0]')",
    "return json.encode(('\\0'):rep(3000000))",
    "return json.encode({[1] = 1, [1 << 40] = 2})",
    "return base64.decode(('='):rep(1000000)), base64.encode(('x'):rep(10000000))",
    "return crypto.unhex(('a'):rep(3000001))",
    "return crypto.random_bytes(0/0)",
    "return crypto.random_bytes(65536.0), crypto.random_bytes(1e300)",
    "return crypto.hmac(('x'):rep(1000000), '', '')",
    "return time.parts(1e300, 'Europe/Berlin')",
    "return time.parts(0, ('x'):rep(1000000))",
    "return time.format(0, ('%Y'):rep(100000), 'UTC')",
    "return os.date(('%c'):rep(100000)), os.time({year = math.maxinteger, month = 1, day = 1})",
    "return os.date('%Ez', 1 << 60)",
    "return url.parse(('%'):rep(1000000)), url.encode(('\\255'):rep(1000000))",
    "sleep(0/0)",
    "sleep(-1)",
    "progress(0/0, ('x'):rep(1000000))",
    "log.info(('%s'):rep(100000))",
    "print(setmetatable({}, {__tostring = error}))",
    "print(setmetatable({}, {__name = 1}))",
    "io.write(('x'):rep(1000000))",
    "io.write({})",
    "warn()",
    "return debug.traceback(('x'):rep(1000000), math.maxinteger)",
    "return debug.traceback(coroutine.create(print), 'x', math.mininteger)",
    "return kv.get(('k'):rep(2000000)), kv.set('k', print)",
    "return http.get(('h'):rep(2000000))",
    "return http.get('https://api.example.com/', {headers = setmetatable({}, {__pairs = error}), timeout = 0/0})",
    "return email.send({to = {[1] = 1, x = 2}})",
    "return files.write(('f'):rep(100000), ''), io.open('f', ('w'):rep(100000))",
    "return require(('m'):rep(1000000))",
    "return require(setmetatable({}, {__tostring = error}))",
];

#[tokio::test]
async fn no_script_ends_as_internal() {
    for text in SCRIPTS {
        for memory_bytes in [Limits::DEFAULT.memory_bytes, Limits::HARD_MAX.memory_bytes] {
            let limits = Limits { fuel: FUEL, memory_bytes, ..Limits::DEFAULT };
            let outcome = run(limited(text, limits)).await;
            if let Err(error) = outcome.result {
                assert_ne!(error.code, ErrorCode::Internal, "{text}\n{error:?}");
                assert!(error.message.len() <= 3 * 64 * 1024 + 1_024, "{text}");
            }
        }
    }
    assert_eq!(value("return 'still here'").await, r#""still here""#);
}

#[tokio::test]
async fn no_source_ends_as_internal() {
    let labels = (0..30_000).map(|number| format!("::a{number}:: ")).collect::<Vec<_>>().concat();
    for text in [
        labels.as_str(),
        &"(".repeat(100_000),
        &format!("return {}1{}", "(".repeat(300), ")".repeat(300)),
        &"a.".repeat(100_000),
        &format!("local t = {{{}}}", "1,".repeat(100_000)),
        &format!("return {}", "-".repeat(1_000)),
        &"if x then ".repeat(300),
        &"\\".repeat(1_000),
        "\u{feff}return 1",
        "#!/usr/bin/lua\nreturn 1",
        "return \"\\u{7fffffff}\"",
        "return 0x1p99999999999999999999",
        "--[==[",
        "\0",
    ] {
        let outcome = run(limited(text, Limits { fuel: FUEL, ..Limits::DEFAULT })).await;
        if let Err(error) = outcome.result {
            assert_ne!(error.code, ErrorCode::Internal, "{text:.40}\n{error:?}");
            assert!(!error.message.contains("restroy:"), "{text:.40}\n{error:?}");
        }
    }
}

#[tokio::test]
async fn inputs_that_no_script_can_have_are_named() {
    let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
    for (json, word) in [("\"\\ud800\"", "hex escape"), ("1e999", "range"), (deep.as_str(), "recursion"), ("{", "EOF")]
    {
        let globals = Globals { params: Some(json.into()), ..Globals::default() };
        let error = run(Invocation { globals, ..script("return 1") }).await.result.unwrap_err();
        assert_eq!(error.code, ErrorCode::InputNotJson, "{json}");
        assert!(!error.retryable && error.message.contains("`params`"), "{error:?}");
        assert!(error.message.contains(word), "{error:?}");
    }
}

#[tokio::test]
async fn an_error_of_the_compiler_says_what_it_found() {
    let nested = format!("\nreturn {}1{}", "(".repeat(300), ")".repeat(300));
    let failed = error(&nested).await;
    assert_eq!(failed.code, ErrorCode::SyntaxError);
    assert!(failed.message.contains("scripts/main.lua:") && failed.message.contains("overflow"), "{failed:?}");

    let modules = vec![Source::new("scripts/deep.lua", nested)];
    let failed = run(Invocation { modules, ..script("return require('deep')") }).await.result.unwrap_err();
    assert_eq!(failed.code, ErrorCode::ScriptError);
    assert!(failed.message.contains("scripts/deep.lua:") && failed.message.contains("overflow"), "{failed:?}");

    for text in [
        "return (select(2, load(function() error('x') end)))",
        "return (select(2, load('return ' .. ('('):rep(500))))",
        "return (select(2, load(function() return {} end)))",
    ] {
        assert!(value(text).await.starts_with('"'), "{text}");
    }
    for (text, message) in [
        ("load(nil)", "scripts/main.lua:1: bad argument #1 to 'load' (function expected, got no value)"),
        ("load('x', {})", "scripts/main.lua:1: bad argument #2 to 'load' (string expected, got table)"),
    ] {
        assert_eq!(error(text).await.message, message);
    }
    assert_eq!(value("return load('return ...', 'n', 'b', {})(7)").await, "7");
}

#[tokio::test]
async fn modules_are_read_when_they_are_required() {
    let large = format!("return {{{}}}", "1,".repeat(100_000));
    let mut modules: Vec<_> = (0..100).map(|n| Source::new(format!("scripts/m{n}.lua"), large.as_str())).collect();
    modules.push(Source::new("scripts/last.lua", "return 'last'"));
    // Together they are larger than the sandbox's memory.
    let outcome = run(Invocation { modules, ..script("return require 'last'") }).await;
    assert_eq!(outcome.result.unwrap(), r#""last""#);
    assert!(outcome.usage.memory_peak < 4 * 1024 * 1024, "{:?}", outcome.usage);
}
