//! The guest's side of the one door.

use mlua::{Lua, LuaString, Table, Value};

use crate::json;
use crate::wire::{self, op};

#[link(wasm_import_module = "restroy")]
unsafe extern "C" {
    #[link_name = "door"]
    fn raw(
        op: u32,
        head: *const u8,
        head_len: usize,
        body: *const u8,
        body_len: usize,
        answer: *mut u8,
        capacity: usize,
    ) -> i64;
}

/// What is asked for before the size of an answer is known.
const FIRST_CAPACITY: usize = 1024;

/// A call that answers with a number.
fn number(op: u32, head: &[u8], body: &[u8]) -> i64 {
    // SAFETY: the host reads the two slices and writes nothing.
    unsafe { raw(op, head.as_ptr(), head.len(), body.as_ptr(), body.len(), std::ptr::null_mut(), 0) }
}

/// A call that answers with bytes.
fn bytes(op: u32, head: &[u8], body: &[u8]) -> Vec<u8> {
    let mut answer = Vec::with_capacity(FIRST_CAPACITY);
    // SAFETY: the host reads the two slices and writes at most `capacity` bytes.
    let length =
        unsafe { raw(op, head.as_ptr(), head.len(), body.as_ptr(), body.len(), answer.as_mut_ptr(), FIRST_CAPACITY) }
            as usize;
    if length > FIRST_CAPACITY {
        answer.reserve_exact(length);
        // SAFETY: as above; the capacity is at least `length`.
        unsafe { raw(op::TAKE, std::ptr::null(), 0, std::ptr::null(), 0, answer.as_mut_ptr(), length) };
    }
    // SAFETY: the host wrote `length` bytes.
    unsafe { answer.set_len(length) };
    answer
}

/// The bytes of the invocation.
pub(crate) fn invocation() -> Vec<u8> {
    bytes(op::INVOCATION, &[], &[])
}

/// The text of a module of the invocation.
fn module(lua: &Lua, name: LuaString) -> mlua::Result<LuaString> {
    lua.create_string(bytes(op::MODULE, &name.as_bytes(), &[]))
}

/// Gives the host the result.
pub(crate) fn done(json: &[u8]) {
    number(op::DONE, &[], json);
}

/// Gives the host the error.
pub(crate) fn failed(failure: &wire::Failure) {
    number(op::FAILED, &serde_json::to_vec(failure).unwrap_or_default(), &[]);
}

/// Pays for an exception.
pub(crate) fn throw() {
    number(op::THROW, &[], &[]);
}

/// Ends the sandbox.
pub(crate) fn out_of_memory() -> ! {
    number(op::OUT_OF_MEMORY, &[], &[]);
    std::process::abort()
}

/// `native.call(op, head, body)`: `true, head, body` or `false, {code, message, retryable}`; an
/// argument that has no JSON form gives `nil, message`.
fn call(lua: &Lua, (op, head, body): (u32, Value, Option<LuaString>)) -> mlua::Result<(Option<bool>, Value, Value)> {
    let mut request = Vec::new();
    if let Err(problem) = json::encode(lua, &head, &mut request) {
        return Ok((None, Value::String(lua.create_string(problem)?), Value::Nil));
    }
    let answer = match body {
        Some(body) => bytes(op, &request, &body.as_bytes()),
        None => bytes(op, &request, &[]),
    };
    let malformed = || mlua::Error::runtime("malformed answer");
    let (&status, rest) = answer.split_first().ok_or_else(malformed)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
    let (head, body) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(malformed)?;
    let head = if head.is_empty() { Value::Nil } else { json::decode(lua, head).map_err(mlua::Error::runtime)? };
    let body = Value::String(lua.create_string(body)?);
    Ok((Some(status == wire::status::OK), head, body))
}

pub(crate) fn register(lua: &Lua, native: &Table) -> mlua::Result<()> {
    native.set("call", lua.create_function(call)?)?;
    native.set("module", lua.create_function(module)?)?;
    native.set("fuel", lua.create_function(|_, ()| Ok(number(op::FUEL, &[], &[])))?)?;
    native.set("now", lua.create_function(|_, ()| Ok(number(op::NOW, &[], &[])))?)?;
    native.set(
        "random",
        lua.create_function(|lua, count: usize| {
            let mut buffer = vec![0; count];
            // SAFETY: the host fills the buffer.
            unsafe { raw(op::RANDOM, std::ptr::null(), 0, std::ptr::null(), 0, buffer.as_mut_ptr(), count) };
            lua.create_string(&buffer)
        })?,
    )?;
    native.set(
        "log",
        lua.create_function(|_, (level, text): (u8, LuaString)| {
            number(op::LOG, &[level], &text.as_bytes());
            Ok(())
        })?,
    )?;
    let ops = lua.create_table_from([
        ("progress", op::PROGRESS),
        ("zone", op::ZONE),
        ("sleep", op::SLEEP),
        ("http", op::HTTP),
        ("email", op::EMAIL),
        ("secret", op::SECRET),
        ("secret_hmac", op::SECRET_HMAC),
        ("kv_get", op::KV_GET),
        ("kv_set", op::KV_SET),
        ("kv_delete", op::KV_DELETE),
        ("kv_incr", op::KV_INCR),
        ("kv_cas", op::KV_CAS),
        ("kv_list", op::KV_LIST),
        ("file_open", op::FILE_OPEN),
        ("file_close", op::FILE_CLOSE),
        ("file_read", op::FILE_READ),
        ("file_write", op::FILE_WRITE),
        ("file_remove", op::FILE_REMOVE),
        ("file_list", op::FILE_LIST),
        ("file_size", op::FILE_SIZE),
        ("file_handle_size", op::FILE_HANDLE_SIZE),
        ("artifact", op::ARTIFACT),
    ])?;
    native.set("op", ops)
}
