//! Equality of JSON values: numbers by value, objects whatever the order of their keys. Values come from
//! a parser that bounds their depth.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, Hasher},
};

use serde_json::Value;

use super::{
    number::Num,
    steps::{Steps, StepsExhausted},
};

/// Whether two values are the same to JSON Schema.
pub(super) fn equal(one: &Value, two: &Value, steps: &mut Steps) -> Result<bool, StepsExhausted> {
    steps.take(1)?;
    Ok(match (one, two) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(one), Value::Bool(two)) => one == two,
        (Value::Number(one), Value::Number(two)) => Num::of(one).compare(Num::of(two)).is_eq(),
        (Value::String(one), Value::String(two)) => {
            if one.len() != two.len() {
                return Ok(false);
            }
            steps.read(one.len())?;
            one == two
        }
        (Value::Array(one), Value::Array(two)) => {
            if one.len() != two.len() {
                return Ok(false);
            }
            for (one, two) in one.iter().zip(two) {
                if !equal(one, two, steps)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Object(one), Value::Object(two)) => {
            if one.len() != two.len() {
                return Ok(false);
            }
            for (name, one) in one {
                steps.read(name.len())?;
                let Some(two) = two.get(name) else { return Ok(false) };
                if !equal(one, two, steps)? {
                    return Ok(false);
                }
            }
            true
        }
        _ => false,
    })
}

/// A hash that equal values share. Keyed, so that nobody can aim at a bucket.
pub(super) fn hash(value: &Value, keyed: &impl BuildHasher, steps: &mut Steps) -> Result<u64, StepsExhausted> {
    steps.take(1)?;
    let mut hasher = keyed.build_hasher();
    match value {
        Value::Null => 0_u8.hash(&mut hasher),
        Value::Bool(value) => (1_u8, value).hash(&mut hasher),
        Value::Number(number) => match Num::of(number) {
            Num::Whole(whole) => (2_u8, whole).hash(&mut hasher),
            Num::Float(float) => (3_u8, float.to_bits()).hash(&mut hasher),
        },
        Value::String(text) => {
            steps.read(text.len())?;
            (4_u8, text).hash(&mut hasher);
        }
        Value::Array(items) => {
            (5_u8, items.len()).hash(&mut hasher);
            for item in items {
                hash(item, keyed, steps)?.hash(&mut hasher);
            }
        }
        Value::Object(fields) => {
            let mut sum = 0_u64;
            for (name, value) in fields {
                steps.read(name.len())?;
                let value = hash(value, keyed, steps)?;
                sum = sum.wrapping_add(keyed.hash_one((name, value)));
            }
            (6_u8, fields.len(), sum).hash(&mut hasher);
        }
    }
    Ok(hasher.finish())
}

/// The first two places of equal values, if there are any.
pub(super) fn repeated(
    items: &[Value],
    keyed: &impl BuildHasher,
    steps: &mut Steps,
) -> Result<Option<(usize, usize)>, StepsExhausted> {
    let mut seen = HashMap::with_capacity(items.len());
    // Different items of one hash: hardly ever any.
    let mut others: Vec<(u64, usize)> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let hash = hash(item, keyed, steps)?;
        let Some(earlier) = seen.insert(hash, at) else { continue };
        if equal(&items[earlier], item, steps)? {
            return Ok(Some((earlier, at)));
        }
        for (_, earlier) in others.iter().filter(|(other, _)| *other == hash) {
            if equal(&items[*earlier], item, steps)? {
                return Ok(Some((*earlier, at)));
            }
        }
        others.push((hash, earlier));
    }
    Ok(None)
}
