//! Checks of fields: all faults of a body together.

use restroy_sdk::problem::{FieldError, Problem, ProblemCode};

use super::rule::{Given, Rule};
use crate::error::ApiResult;

/// Collects what is wrong with a body.
#[derive(Debug, Default)]
pub struct Fields(Vec<FieldError>);

impl Fields {
    /// Nothing is wrong so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a fault.
    pub fn fault(&mut self, pointer: &str, detail: impl Into<String>) -> &mut Self {
        self.0.push(FieldError::new(pointer, detail));
        self
    }

    /// Holds a field to its rule, unless it was left out.
    pub fn rule<R: Rule>(&mut self, pointer: &str, field: &impl Given<R::Of>, rule: &R) -> &mut Self {
        if let Some(value) = field.given() {
            rule.check(pointer, value, self);
        }
        self
    }

    /// 422 with everything that was noted.
    pub fn done(&mut self) -> ApiResult<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Problem::new(ProblemCode::Invalid).errors(std::mem::take(&mut self.0)).into())
    }
}
