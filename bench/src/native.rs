//! The peer: Lua 5.4 as native code, without metering or limits.

use std::time::{Duration, Instant};

use mlua::Lua;

/// Makes a state with its libraries, runs `text`, closes the state.
pub(crate) fn cold(text: &str) -> mlua::Result<Duration> {
    let start = Instant::now();
    let lua = Lua::new();
    lua.load(text).exec()?;
    drop(lua);
    Ok(start.elapsed())
}

/// Runs `text` in a state made before.
pub(crate) fn warm(text: &str) -> mlua::Result<Duration> {
    let lua = Lua::new();
    let start = Instant::now();
    lua.load(text).exec()?;
    Ok(start.elapsed())
}
