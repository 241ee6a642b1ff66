//! Reads the records of an invocation into the table that lua/run.lua takes.

use mlua::{Lua, Table};

use crate::wire::record;

fn malformed() -> mlua::Error {
    mlua::Error::runtime("malformed invocation")
}

fn field<'a>(rest: &mut &'a [u8]) -> mlua::Result<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
    let (bytes, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(malformed)?;
    *rest = after;
    Ok(bytes)
}

/// Gives the table, and what Lua may allocate.
pub(crate) fn read(lua: &Lua, blob: &[u8]) -> mlua::Result<(Table, usize)> {
    let records = lua.create_table()?;
    let modules = lua.create_table()?;
    let globals = lua.create_table()?;
    let mut memory = 0;
    let mut rest = blob;
    while let Some((&tag, after)) = rest.split_first() {
        rest = after;
        let name = field(&mut rest)?;
        let text = field(&mut rest)?;
        match tag {
            record::SCRIPT | record::EXPRESSION | record::CHECK_SCRIPT | record::CHECK_EXPRESSION => {
                records.set("name", lua.create_string(name)?)?;
                records.set("text", lua.create_string(text)?)?;
                records.set("expression", matches!(tag, record::EXPRESSION | record::CHECK_EXPRESSION))?;
                records.set("check", matches!(tag, record::CHECK_SCRIPT | record::CHECK_EXPRESSION))?;
            }
            record::MODULE => modules.set(lua.create_string(name)?, true)?,
            record::GLOBAL => globals.set(lua.create_string(name)?, lua.create_string(text)?)?,
            record::SEED => {
                let seed: [u8; 16] = text.try_into().map_err(|_| malformed())?;
                let (low, high) = seed.split_at(8);
                let number = |half: &[u8]| half.try_into().map(i64::from_le_bytes).map_err(|_| malformed());
                records.set("seed_low", number(low)?)?;
                records.set("seed_high", number(high)?)?;
            }
            record::MEMORY => {
                memory = text.try_into().map(u64::from_le_bytes).map_err(|_| malformed())? as usize;
            }
            _ => return Err(malformed()),
        }
    }
    records.set("modules", modules)?;
    records.set("globals", globals)?;
    Ok((records, memory))
}
