//! Checks of fields: all errors of a body together.

use restroy_sdk::problem::{FieldError, Problem, ProblemCode};

use super::rule::{FieldRule, FieldValue};
use crate::error::ApiResult;

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

    /// 422 with everything that was noted.
    pub fn finish(&mut self) -> ApiResult<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Problem::new(ProblemCode::Invalid).errors(std::mem::take(&mut self.0)).into())
    }
}
