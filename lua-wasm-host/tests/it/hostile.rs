//! Scripts that mean harm, and the engine after them.

use std::sync::Arc;

use lua_wasm_host::{ErrorCode, Limits};

use crate::support::{World, engine, limited, run, value};

async fn ends_with(code: &ErrorCode, fuel: u64, scripts: &[&str]) {
    let limits = Limits { fuel, ..Limits::default() };
    for text in scripts {
        let outcome = run(limited(text, limits.clone())).await;
        match outcome.result {
            Ok(json) => panic!("{text}\nreturned {json}"),
            Err(error) => assert_eq!(&error.code, code, "{text}\n{error:?}"),
        }
        if *code == ErrorCode::FuelExhausted {
            assert_eq!(outcome.usage.fuel, fuel, "{text}");
        }
        assert!(outcome.usage.memory_peak <= limits.memory_bytes, "{text}");
        assert_eq!(value("return 'still here'").await, r#""still here""#);
    }
}

#[tokio::test]
async fn endless_scripts_run_out_of_fuel() {
    ends_with(
        &ErrorCode::FuelExhausted,
        3_000_000,
        &[
            "while true do end",
            "pcall(function() while true do end end) return 'caught'",
            "while true do pcall(error, 'x') end",
            "while true do xpcall(error, function() while true do end end) end",
            "local co = coroutine.wrap(function() while true do end end) pcall(co) return 'caught'",
            "local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end",
            "setmetatable({}, {__gc = function() while true do end end}) collectgarbage() return 'collected'",
            "setmetatable({}, {__gc = function() while true do end end}) for i = 1, 1e6 do local _ = {} end",
            "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) return pcall(function() while true do pcall(function() return t[1] end) end end)",
            "do local x <close> = setmetatable({}, {__close = function() while true do end end}) end",
            "pcall(function() local x <close> = setmetatable({}, {__close = function() while true do end end}) error('x') end)",
            "return tostring(setmetatable({}, {__tostring = function() while true do end end}))",
            "error(setmetatable({}, {__tostring = function() while true do end end}))",
            // Patterns that backtrack without end.
            "return (('a'):rep(30)):find(('a*'):rep(30) .. 'b')",
            "return pcall(string.rep, '', 1 << 40) and ('x'):rep(1e6):gsub('.-b', '')",
            "goto again ::again:: goto again",
            "for i = math.mininteger, math.maxinteger do end",
            "local t = {} table.move(t, 1, math.maxinteger - 1, 2) return 'moved'",
            "for i = 1, math.huge do math.random() os.time() end",
            "table.sort({3, 1, 2, 5, 4}, function() while true do end end)",
            "load(function() return 'x = 1 ' end)()",
            "local function f() local ok, e = xpcall(f, f) error(e, 0) end f()",
            "while true do pcall(load, ('x'):rep(100)) end",
        ],
    )
    .await;
}

#[tokio::test]
async fn greedy_scripts_run_out_of_memory() {
    ends_with(
        &ErrorCode::MemoryLimit,
        1_000_000_000,
        &[
            "return #('x'):rep(2^31 - 1)",
            "return pcall(string.rep, 'x', 2^31 - 1)",
            "local s = 'x' while true do s = s .. s end",
            "local s = 'x' pcall(function() while true do s = s .. s end end) return 'caught'",
            "local t = {} pcall(function() for i = 1, 1e9 do t[i] = i end end) return 'caught'",
            "local t = {} for i = 1, 1e6 do t[i] = coroutine.create(function() coroutine.yield() end) coroutine.resume(t[i]) end",
            "local co = coroutine.wrap(function() local t = {} while true do t[#t + 1] = {t} end end) pcall(co) return 'caught'",
            "setmetatable({}, {__gc = function() local s = 'x' while true do s = s .. s end end}) collectgarbage() return 'collected'",
            "return table.concat(setmetatable({}, {__len = function() return 1e7 end, __index = function() return ('x'):rep(1000) end}))",
            "local t = {} for i = 1, 1e7 do t[i] = json.decode('[1,2,3]') end",
            "local t = {} while true do t[#t + 1] = function() return t end end",
            "return table.pack(pcall(table.unpack, {}, 1, 1e6)) and ('x'):rep(1e9)",
            "return base64.encode(('x'):rep(8e6))",
            "local s = ('x'):rep(5e6) return json.encode{s, s, s}",
            "local function f() local x <close> = setmetatable({}, {__close = f}) error('x') end f()",
        ],
    )
    .await;
}

#[tokio::test]
async fn wild_scripts_fail_as_scripts() {
    ends_with(
        &ErrorCode::ScriptError,
        1_000_000_000,
        &[
            "local function f() return 1 + f() end return f()",
            "local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x",
            "local function f() return coroutine.wrap(f)() end return f()",
            "return ('x'):rep(2^40)",
            "error(('x'):rep(1e6))",
            "error{code = ('x'):rep(1e5)}",
            "return ('('):rep(1e4):find(('('):rep(1e4))",
            "return string.format('%99999d', 1)",
            "assert(load(('('):rep(1e5)))",
            "assert(load('return ' .. ('{'):rep(1e5)))",
            "assert(load('\\27Lua\\84\\0\\25\\147\\r\\n\\26\\n'))",
            "return string.pack('!16 z', {})",
            "coroutine.close(coroutine.running())",
            "require('../../etc/passwd')",
            "local f = string.dump return f(print)",
            // Deep in C, where the guest's other stack grows.
            "local function f(s) return (s:gsub('.', f)) end return f('x')",
            "local function f(a, b) table.sort({1, 2, 3}, f) return a < b end return f(1, 2)",
            "local t = setmetatable({}, {}) getmetatable(t).__tostring = function(x) return tostring(x) end return tostring(t)",
        ],
    )
    .await;
}

#[tokio::test]
async fn floods_of_output_end_the_step() {
    for (text, code) in [
        ("while true do print('x') end", ErrorCode::LogLimit),
        ("while true do pcall(print, 'x') end", ErrorCode::LogLimit),
        ("print(('x\\n'):rep(1e6))", ErrorCode::LogLimit),
        ("print(('x'):rep(9000))", ErrorCode::LogLineLimit),
        ("pcall(io.write, ('x'):rep(9000), '\\n') return 1", ErrorCode::LogLineLimit),
        ("while true do io.write('\\n') end", ErrorCode::LogLimit),
        ("while true do progress(0.5, 'x') end", ErrorCode::LogLimit),
        ("return ('x'):rep(262143)", ErrorCode::OutputLimit),
    ] {
        let world = Arc::new(World::default());
        let limits = Limits { fuel: 10_000_000_000, ..Limits::default() };
        let outcome = engine().run(limited(text, limits.clone()), world.host_context()).await;
        assert_eq!(outcome.result.unwrap_err().code, code, "{text}");
        let logged: usize = world.text().iter().map(|line| line.len() + 1).sum();
        assert!(logged as u64 <= limits.log_bytes, "{text}");
    }
    assert_eq!(value("return #('x'):rep(262142)").await, "262142");
}
