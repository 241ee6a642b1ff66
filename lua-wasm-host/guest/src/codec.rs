//! Base64 and hexadecimal.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use mlua::{Lua, LuaString, Table};

const HEX: &[u8; 16] = b"0123456789abcdef";

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]).map(char::from).collect()
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// Takes both alphabets, with or without padding.
fn unbase64(text: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = text
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    STANDARD_NO_PAD.decode(&text[..end]).ok()
}

pub(crate) fn register(lua: &Lua, native: &Table) -> mlua::Result<()> {
    native.set(
        "base64_encode",
        lua.create_function(|_, (bytes, url_safe): (LuaString, bool)| {
            let bytes = bytes.as_bytes();
            Ok(if url_safe { URL_SAFE_NO_PAD.encode(&*bytes) } else { STANDARD.encode(&*bytes) })
        })?,
    )?;
    native.set(
        "base64_decode",
        lua.create_function(|lua, text: LuaString| {
            unbase64(&text.as_bytes()).map(|bytes| lua.create_string(bytes)).transpose()
        })?,
    )?;
    native.set("hex_encode", lua.create_function(|_, bytes: LuaString| Ok(hex(&bytes.as_bytes())))?)?;
    native.set(
        "hex_decode",
        lua.create_function(|lua, text: LuaString| {
            unhex(&text.as_bytes()).map(|bytes| lua.create_string(bytes)).transpose()
        })?,
    )
}
