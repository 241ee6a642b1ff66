//! The Lua guest: Lua 5.4 with Restroy's libraries, as a WASI reactor.
//!
//! `initialize` makes the interpreter and its libraries; the build takes a snapshot after it. `run`
//! then does one run: it asks the host for the invocation and gives it the result.
//! Nothing here guards anything: whatever a script can reach in this memory is its own. The walls
//! are the host's.

mod codec;
mod crypto;
mod door;
mod hooks;
mod invocation;
mod json;
mod memory;
#[path = "../../src/wire.rs"]
mod wire;

use std::cell::OnceCell;

use mlua::{Function, Lua, LuaOptions, StdLib, Table};

/// The interpreter, made once before the snapshot.
struct Guest {
    lua: Lua,
    /// `main(records)` of lua/run.lua: gives `true, json` or `false, failure`.
    main: Function,
}

struct Global(OnceCell<Guest>);
// SAFETY: a guest has one thread.
unsafe impl Sync for Global {}
static GUEST: Global = Global(OnceCell::new());

/// The libraries written in Lua, in the order they build on each other.
const LIBRARIES: [(&str, &str); 11] = [
    ("base", include_str!("../lua/base.lua")),
    ("trace", include_str!("../lua/trace.lua")),
    ("codec", include_str!("../lua/codec.lua")),
    ("secrets", include_str!("../lua/secrets.lua")),
    ("url", include_str!("../lua/url.lua")),
    ("time", include_str!("../lua/time.lua")),
    ("http", include_str!("../lua/http.lua")),
    ("kv", include_str!("../lua/kv.lua")),
    ("files", include_str!("../lua/files.lua")),
    ("compile", include_str!("../lua/compile.lua")),
    ("run", include_str!("../lua/run.lua")),
];

fn make() -> mlua::Result<Guest> {
    let libraries =
        StdLib::TABLE | StdLib::STRING | StdLib::UTF8 | StdLib::COROUTINE | StdLib::MATH | StdLib::OS | StdLib::DEBUG;
    // SAFETY: `debug` is for lua/trace.lua only; lua/base.lua takes it from the scripts.
    let lua = unsafe { Lua::unsafe_new_with(libraries, LuaOptions::default()) };
    let native = lua.create_table()?;
    json::register(&lua, &native)?;
    codec::register(&lua, &native)?;
    crypto::register(&lua, &native)?;
    door::register(&lua, &native)?;
    let shared = lua.create_table()?;
    for (name, text) in LIBRARIES {
        let library: Function = lua.load(text).set_name("=restroy").into_function()?;
        library
            .call::<()>((native.clone(), shared.clone()))
            .map_err(|error| mlua::Error::runtime(format!("lua/{name}.lua: {error}")))?;
    }
    let main = shared.get("main")?;
    lua.gc_collect()?;
    lua.gc_collect()?;
    Ok(Guest { lua, main })
}

/// Makes the interpreter. Called before the snapshot.
#[unsafe(no_mangle)]
pub extern "C" fn initialize() {
    match make() {
        Ok(guest) => {
            let _ = GUEST.0.set(guest);
        }
        Err(error) => panic!("the guest does not start: {error}"),
    }
}

/// Does one run.
#[unsafe(no_mangle)]
pub extern "C" fn run() {
    let Some(guest) = GUEST.0.get() else { panic!("run before initialize") };
    if let Err(error) = run_with(guest) {
        door::failed(&wire::Failure {
            kind: "internal".to_owned(),
            message: error.to_string(),
            traceback: None,
            details: None,
            retryable: None,
        });
    }
}

fn run_with(guest: &Guest) -> mlua::Result<()> {
    let blob = door::invocation();
    let (records, memory): (Table, usize) = invocation::read(&guest.lua, &blob)?;
    drop(blob);
    memory::limit(&guest.lua, memory)?;
    let (ok, result): (bool, mlua::Value) = guest.main.call(records)?;
    match result {
        mlua::Value::String(json) if ok => door::done(&json.as_bytes()),
        mlua::Value::Table(failure) => door::failed(&wire::Failure {
            kind: failure.get("kind")?,
            message: text(failure.get("message")?),
            traceback: failure.get::<Option<mlua::LuaString>>("traceback")?.map(text),
            details: failure.get::<Option<mlua::LuaString>>("details")?.map(text),
            retryable: failure.get("retryable")?,
        }),
        _ => return Err(mlua::Error::runtime("main gave no result")),
    }
    Ok(())
}

/// What a script calls text may be any bytes.
fn text(string: mlua::LuaString) -> String {
    string.to_string_lossy().to_string()
}

unsafe extern "C" {
    fn __wasm_call_ctors();
}

/// Runs what must run before anything else; a reactor's convention.
#[unsafe(no_mangle)]
pub extern "C" fn _initialize() {
    // SAFETY: called once, by the host, before anything else.
    unsafe { __wasm_call_ctors() }
}
