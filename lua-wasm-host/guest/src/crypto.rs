//! Hashes and message authentication codes.

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use mlua::{Lua, LuaString, Table};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

fn digest(algorithm: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    Some(match algorithm {
        b"md5" => Md5::digest(bytes).to_vec(),
        b"sha1" => Sha1::digest(bytes).to_vec(),
        b"sha256" => Sha256::digest(bytes).to_vec(),
        b"sha384" => Sha384::digest(bytes).to_vec(),
        b"sha512" => Sha512::digest(bytes).to_vec(),
        _ => return None,
    })
}

fn mac_with<M: Mac + KeyInit>(key: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    let mut mac = <M as KeyInit>::new_from_slice(key).ok()?;
    mac.update(bytes);
    Some(mac.finalize().into_bytes().to_vec())
}

fn mac(algorithm: &[u8], key: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    match algorithm {
        b"sha1" => mac_with::<Hmac<Sha1>>(key, bytes),
        b"sha256" => mac_with::<Hmac<Sha256>>(key, bytes),
        b"sha384" => mac_with::<Hmac<Sha384>>(key, bytes),
        b"sha512" => mac_with::<Hmac<Sha512>>(key, bytes),
        _ => None,
    }
}

pub(crate) fn register(lua: &Lua, native: &Table) -> mlua::Result<()> {
    native.set(
        "digest",
        lua.create_function(|lua, (algorithm, bytes): (LuaString, LuaString)| {
            digest(&algorithm.as_bytes(), &bytes.as_bytes()).map(|digest| lua.create_string(digest)).transpose()
        })?,
    )?;
    native.set(
        "hmac",
        lua.create_function(|lua, (algorithm, key, bytes): (LuaString, LuaString, LuaString)| {
            mac(&algorithm.as_bytes(), &key.as_bytes(), &bytes.as_bytes()).map(|mac| lua.create_string(mac)).transpose()
        })?,
    )
}
