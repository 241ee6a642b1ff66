//! Checks of single fields: all faults of a body together.

use restroy_sdk::problem::{Fault, Problem, ProblemCode};

use crate::error::ApiResult;

/// Collects what is wrong with a body.
#[derive(Debug, Default)]
pub struct Fields(Vec<Fault>);

impl Fields {
    /// Nothing is wrong so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a fault.
    pub fn fault(&mut self, pointer: &str, detail: impl Into<String>) -> &mut Self {
        self.0.push(Fault::new(pointer, detail));
        self
    }

    /// A name for people: so many characters without control characters and outer spaces.
    pub fn name(&mut self, pointer: &str, value: &str, most: usize) -> &mut Self {
        let length = value.chars().count();
        if !(1..=most).contains(&length) || value.trim() != value || value.chars().any(char::is_control) {
            self.fault(pointer, format!("1 to {most} characters, no control characters, no space at either end"));
        }
        self
    }

    /// A text of at most so many characters.
    pub fn text(&mut self, pointer: &str, value: &str, most: usize) -> &mut Self {
        if value.chars().count() > most || value.contains('\0') {
            self.fault(pointer, format!("at most {most} characters"));
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
