//! Checks of fields: all errors of a body together.

pub mod rule;

use restroy_sdk::problem::FieldError;

use self::rule::{FieldRule, FieldValue};
use crate::{DomainError, DomainResult};

/// Collects what is wrong with a body.
#[derive(Debug, Default)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// Nothing is wrong so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes an error.
    pub fn error(&mut self, pointer: &str, detail: impl Into<String>) -> &mut Self {
        self.0.push(FieldError::new(pointer, detail));
        self
    }

    /// Holds a field to its rule, unless it was left out.
    pub fn check<R: FieldRule>(&mut self, pointer: &str, field: &impl FieldValue<R::Of>, rule: &R) -> &mut Self {
        if let Some(value) = field.value() {
            rule.check(pointer, value, self);
        }
        self
    }

    /// Refuses with everything that was noted, if anything was.
    pub fn finish(&mut self) -> DomainResult<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(DomainError::Invalid { detail: None, errors: std::mem::take(&mut self.0) })
    }
}
