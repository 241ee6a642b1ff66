//! JSON and Lua values.
//!
//! A reference to a secret is the string `secret:KEY`, or what stands for it in a request.
//! `null` is `json.null`. A table whose keys are 1 to n is an array, a table of string keys an
//! object; an empty table is an object unless it has the array mark, which every decoded array and
//! `json.array{}` have. Object keys are written sorted, so equal values are equal texts.

use mlua::{Function, Lua, LuaString, Table, Value};
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};

/// Deepest nesting of what is written. What is read may nest as deep as serde_json allows (128).
const MAX_DEPTH: usize = 100;

const ARRAY_MARK: &str = "restroy.array";
/// The metatable of references to secrets; `key` of such a table is the key.
const SECRET_MARK: &str = "restroy.secret";

/// How many values of tables are held at once: mlua panics at about 200,000 references. Further ones are read again.
const MAX_HELD: usize = 50_000;

/// What an error shows of a key, in bytes.
const SHOWN_KEY: usize = 64;

/// Appends the JSON text of `value`. The error is for the script's author.
pub(crate) fn encode(lua: &Lua, value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    encode_with(lua, value, None, out)
}

/// The same with what `tokens` gives for a reference to a secret in its place.
fn encode_with(lua: &Lua, value: &Value, tokens: Option<Function>, out: &mut Vec<u8>) -> Result<(), String> {
    let mark: Table = lua.named_registry_value(ARRAY_MARK).map_err(|error| error.to_string())?;
    let secret: Table = lua.named_registry_value(SECRET_MARK).map_err(|error| error.to_string())?;
    let mut path = Vec::new();
    Encoder { lua, mark, secret, tokens, out, held: 0 }.value(value, &mut path).map_err(|problem| {
        if path.is_empty() {
            problem
        } else {
            path.reverse();
            format!("{problem} (at {})", path.concat())
        }
    })
}

struct Encoder<'a> {
    lua: &'a Lua,
    mark: Table,
    secret: Table,
    tokens: Option<Function>,
    out: &'a mut Vec<u8>,
    /// Values of the tables around the current one that are held.
    held: usize,
}

impl Encoder<'_> {
    fn value(&mut self, value: &Value, path: &mut Vec<String>) -> Result<(), String> {
        self.nested(value, 0, path)
    }

    /// On an error `path` receives the way to it, innermost first.
    fn nested(&mut self, value: &Value, depth: usize, path: &mut Vec<String>) -> Result<(), String> {
        match value {
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(pointer) if pointer.0.is_null() => self.out.extend_from_slice(b"null"),
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::Integer(number) => self.write(number)?,
            Value::Number(number) if number.is_finite() => self.write(number)?,
            Value::Number(number) => return Err(format!("{number} has no JSON form")),
            Value::String(string) => self.string(&string.as_bytes())?,
            Value::Table(table) if table.metatable().is_some_and(|metatable| metatable == self.secret) => {
                self.reference(table)?;
            }
            Value::Table(_) if depth >= MAX_DEPTH => {
                return Err(format!("nested deeper than {MAX_DEPTH}, or contains itself"));
            }
            Value::Table(table) => self.table(table, depth, path)?,
            other => return Err(format!("a {} has no JSON form", other.type_name())),
        }
        Ok(())
    }

    fn write(&mut self, value: &(impl serde::Serialize + ?Sized)) -> Result<(), String> {
        serde_json::to_writer(&mut *self.out, value).map_err(|error| error.to_string())
    }

    fn string(&mut self, string: &[u8]) -> Result<(), String> {
        let text = str::from_utf8(string).map_err(|_| "a string that is not UTF-8 has no JSON form".to_owned())?;
        self.write(text)
    }

    fn reference(&mut self, table: &Table) -> Result<(), String> {
        let text = || match &self.tokens {
            Some(tokens) => Ok(tokens.call::<LuaString>(table)?.as_bytes().to_vec()),
            None => {
                let (key, prefix): (LuaString, Option<LuaString>) = (table.raw_get("key")?, table.raw_get("prefix")?);
                let prefix = prefix.map_or_else(Vec::new, |prefix| prefix.as_bytes().to_vec());
                Ok([prefix.as_slice(), b"secret:", &key.as_bytes()].concat())
            }
        };
        let text = text().map_err(|error: mlua::Error| error.to_string())?;
        self.string(&text)
    }

    fn table(&mut self, table: &Table, depth: usize, path: &mut Vec<String>) -> Result<(), String> {
        let length = table.raw_len();
        if length > 0 {
            return self.array(table, length, depth, path);
        }
        let mut fields: Vec<(Vec<u8>, Option<Value>)> = Vec::new();
        let held = self.held;
        for pair in table.pairs::<Value, Value>() {
            match pair.map_err(|error| error.to_string())? {
                (Value::String(key), value) => {
                    let value = (self.held < MAX_HELD).then_some(value);
                    self.held += usize::from(value.is_some());
                    fields.push((key.as_bytes().to_vec(), value));
                }
                (key, _) => {
                    return Err(format!(
                        "a table with a {} key and no first element has no JSON form",
                        key.type_name()
                    ));
                }
            }
        }
        if fields.is_empty() && table.metatable().is_some_and(|metatable| metatable == self.mark) {
            self.out.extend_from_slice(b"[]");
            return Ok(());
        }
        fields.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        self.out.push(b'{');
        for (number, (key, value)) in fields.iter().enumerate() {
            if number > 0 {
                self.out.push(b',');
            }
            self.string(key)?;
            self.out.push(b':');
            let read = || table.raw_get(self.lua.create_string(key)?);
            let value = match value {
                Some(value) => value,
                None => &read().map_err(|error: mlua::Error| error.to_string())?,
            };
            self.nested(value, depth + 1, path).inspect_err(|_| path.push(shown(key)))?;
        }
        self.held = held;
        self.out.push(b'}');
        Ok(())
    }

    fn array(&mut self, table: &Table, length: usize, depth: usize, path: &mut Vec<String>) -> Result<(), String> {
        let keys = table.pairs::<Value, Value>().count();
        if keys != length {
            return Err(
                "a table that is neither a list without holes nor has only string keys has no JSON form".to_owned()
            );
        }
        self.out.push(b'[');
        for number in 1..=length {
            if number > 1 {
                self.out.push(b',');
            }
            let value: Value = table.raw_get(number).map_err(|error| error.to_string())?;
            self.nested(&value, depth + 1, path).inspect_err(|_| path.push(format!("[{number}]")))?;
        }
        self.out.push(b']');
        Ok(())
    }
}

/// A key within the way to an error.
fn shown(key: &[u8]) -> String {
    let text = String::from_utf8_lossy(&key[..key.len().min(SHOWN_KEY)]);
    format!(".{text}{}", if key.len() > SHOWN_KEY { "…" } else { "" })
}

/// Reads a JSON text. The error is for the script's author.
pub(crate) fn decode(lua: &Lua, text: &[u8]) -> Result<Value, String> {
    let mark: Table = lua.named_registry_value(ARRAY_MARK).map_err(|error| error.to_string())?;
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Decoder { lua, mark: &mark }.deserialize(&mut reader).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Decoder<'a> {
    lua: &'a Lua,
    mark: &'a Table,
}

impl<'de> DeserializeSeed<'de> for Decoder<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Decoder<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::NULL)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Number(value as f64), Value::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        self.lua.create_string(value).map(Value::String).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let table = self.lua.create_table().map_err(de::Error::custom)?;
        let mut number = 0;
        while let Some(item) = items.next_element_seed(self)? {
            number += 1;
            table.raw_set(number, item).map_err(de::Error::custom)?;
        }
        table.set_metatable(Some(self.mark.clone())).map_err(de::Error::custom)?;
        Ok(Value::Table(table))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let table = self.lua.create_table().map_err(de::Error::custom)?;
        while let Some(key) = fields.next_key_seed(self)? {
            let value = fields.next_value_seed(self)?;
            table.raw_set(key, value).map_err(de::Error::custom)?;
        }
        Ok(Value::Table(table))
    }
}

pub(crate) fn register(lua: &Lua, native: &Table) -> mlua::Result<()> {
    let mark = lua.create_table()?;
    mark.set("__name", "json.array")?;
    lua.set_named_registry_value(ARRAY_MARK, &mark)?;
    native.set("array_mark", mark)?;
    let secret = lua.create_table()?;
    lua.set_named_registry_value(SECRET_MARK, &secret)?;
    native.set("secret_mark", secret)?;
    native.set("null", Value::NULL)?;
    native.set(
        "json_encode",
        lua.create_function(|lua, (value, tokens): (Value, Option<Function>)| {
            let mut out = Vec::new();
            Ok(match encode_with(lua, &value, tokens, &mut out) {
                Ok(()) => (true, lua.create_string(&out)?),
                Err(problem) => (false, lua.create_string(problem)?),
            })
        })?,
    )?;
    native.set(
        "json_decode",
        lua.create_function(|lua, text: LuaString| {
            Ok(match decode(lua, &text.as_bytes()) {
                Ok(value) => (true, value),
                Err(problem) => (false, Value::String(lua.create_string(problem)?)),
            })
        })?,
    )
}
