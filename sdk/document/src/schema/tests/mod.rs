//! The dialect, keyword by keyword, and what it must withstand.

mod bounds;
mod conformance;
mod defaults;
mod formats;
mod messages;
mod refused;

use serde_json::Value;

use super::{CheckError, Schema};

/// A schema that must compile.
fn compiled(schema: &Value) -> Schema {
    Schema::compile(schema).unwrap_or_else(|errors| panic!("{schema}: {errors:?}"))
}

/// The mismatches of a value, as `pointer: detail`.
fn mismatches(schema: &Value, value: &Value) -> Vec<String> {
    match compiled(schema).check(value) {
        Ok(()) => Vec::new(),
        Err(CheckError::Mismatch(faults)) => {
            faults.into_iter().map(|fault| format!("{}: {}", fault.pointer, fault.detail)).collect()
        }
        Err(other) => panic!("{other:?}"),
    }
}
