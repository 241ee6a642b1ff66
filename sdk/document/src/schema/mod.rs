//! Values against a dialect of JSON Schema 2020-12 that can be checked within bounds.
//!
//! Schemas are programs of strangers. A library for all of JSON Schema cannot promise what a check
//! costs: `unevaluatedProperties` alone is exponential in several of them. So the keywords are an
//! allow-list, everything else is refused when the schema is compiled, and every step of a check is
//! counted: [`Schema::check`] ends after [`MAX_STEPS`] whatever schema and value are. Both run on a small
//! stack: a schema nests at most [`MAX_DEPTH`] deep, references followed. docs/pipelines.md has the dialect.
//!
//! - `compile`, `graph`, `keyword`: from JSON to rules, and what is refused;
//! - `check`, `objects`, `arrays`: rules against values;
//! - `defaults`: values for what is absent;
//! - `pattern`, `format`, `number`, `equal`: what single keywords need;
//! - `message`: expectations in plain words.

mod arrays;
mod check;
mod compile;
mod defaults;
mod equal;
mod format;
mod graph;
mod keyword;
mod message;
mod number;
mod objects;
mod pattern;
mod rule;
mod steps;
#[cfg(test)]
mod tests;

use serde_json::Value;

use restroy_model::problem::FieldError;
use rule::Node;

/// How deep subschemas may lie within each other, references followed.
pub const MAX_DEPTH: usize = 64;
/// How many subschemas a schema may have.
pub const MAX_SUBSCHEMAS: usize = 5_000;
/// How many subschemas a schema may come to when each reference counts as what it refers to.
pub const MAX_UNFOLDED: u64 = 20_000;
/// How many patterns a schema may have.
pub const MAX_PATTERNS: usize = 100;
/// The text of a pattern, in bytes.
pub const MAX_PATTERN_TEXT: usize = 2_048;
/// A pattern, compiled, in bytes.
pub const MAX_PATTERN_BYTES: usize = 64 * 1024;
/// All patterns of a schema, compiled, in bytes.
pub const MAX_PATTERNS_BYTES: usize = 1024 * 1024;
/// The steps of a check: one for each keyword that is applied to a value, each property that is looked
/// at, each byte that a pattern reads, each element that is compared.
pub const MAX_STEPS: u64 = 10_000_000;
/// The steps of a check that is done at once, on an async thread: less than a millisecond.
pub const QUICK_STEPS: u64 = 10_000;
/// What defaults may add to a value, as JSON, in bytes.
pub const MAX_DEFAULTS_BYTES: usize = 1024 * 1024;
/// How many mismatches of a value, or errors of a schema, are reported.
pub const MAX_ERRORS: usize = 50;

/// A compiled schema. It is immutable, so that one serves every check of its version.
#[derive(Debug)]
pub struct Schema {
    nodes: Vec<Node>,
    patterns: Vec<pattern::Pattern>,
    hasher: std::collections::hash_map::RandomState,
    memory_bytes: usize,
}

/// Why a schema is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct SchemaError {
    /// Where in the schema, as a JSON pointer.
    pub pointer: String,
    /// What is wrong, and what would be right.
    pub detail: String,
}

/// Why a value was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckError {
    /// It does not match. Each error names its place in the value, at most [`MAX_ERRORS`] of them.
    Mismatch(Vec<FieldError>),
    /// The check would take more than [`MAX_STEPS`].
    TooMuchWork,
    /// The defaults come to more than [`MAX_DEFAULTS_BYTES`].
    DefaultsTooLarge,
}

impl CheckError {
    /// For [`CheckError::TooMuchWork`] and [`CheckError::DefaultsTooLarge`]: what to say about the limit.
    /// `what` names the value, such as `parameters`.
    pub fn limit(&self, what: &str) -> Option<String> {
        match self {
            Self::Mismatch(_) => None,
            Self::TooMuchWork => Some(format!(
                "checking the {what} against the schema takes more than {MAX_STEPS} steps (limit `schema_steps`): pass \
                 less, or simplify the schema"
            )),
            Self::DefaultsTooLarge => Some(format!(
                "the schema's defaults would add more than {MAX_DEFAULTS_BYTES} bytes to the {what} (limit \
                 `schema_defaults_bytes`): make them smaller"
            )),
        }
    }
}

impl Schema {
    /// Compiles a schema. Refused with every error at once, at most [`MAX_ERRORS`]. Takes time linear in the schema,
    /// but for its patterns, whose text is bounded.
    pub fn compile(schema: &Value) -> Result<Self, Vec<SchemaError>> {
        compile::compile(schema)
    }

    /// Checks a value. At most [`MAX_STEPS`] of work, about a tenth of a second; not for an async thread.
    pub fn check(&self, value: &Value) -> Result<(), CheckError> {
        check::check(self, value, MAX_STEPS)
    }

    /// Sets what is absent from the value and has a `default`: properties of objects, also of objects
    /// within objects and lists, through `$ref` and `allOf`. Not within `anyOf`, `oneOf`, `not` and `if`, where
    /// it would depend on the default whether it applies. As much work as a check.
    pub fn apply_defaults(&self, value: &mut Value) -> Result<(), CheckError> {
        defaults::apply(self, value, MAX_STEPS)
    }

    /// The value with its defaults, if it matches then. With [`QUICK_STEPS`] it may be done on an async
    /// thread.
    pub fn accept(&self, mut value: Value, steps: u64) -> Result<Value, CheckError> {
        defaults::apply(self, &mut value, steps)?;
        check::check(self, &value, steps)?;
        Ok(value)
    }

    /// About how much memory the compiled schema takes, in bytes; for caches.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }
}
