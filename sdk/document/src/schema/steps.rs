//! The budget of a check.

use super::{CheckError, MAX_STEPS};

/// More steps are needed than there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepsExhausted;

impl From<StepsExhausted> for CheckError {
    fn from(_: StepsExhausted) -> Self {
        Self::TooMuchWork
    }
}

/// What is left of a check's budget.
#[derive(Debug)]
pub(super) struct Steps(u64);

impl Steps {
    /// All that a check may have.
    pub(super) fn new() -> Self {
        Self(MAX_STEPS)
    }

    /// A part of it.
    pub(super) fn up_to(steps: u64) -> Self {
        Self(steps.min(MAX_STEPS))
    }

    /// Takes steps before the work is done.
    pub(super) fn take(&mut self, steps: usize) -> Result<(), StepsExhausted> {
        let left = u64::try_from(steps).ok().and_then(|steps| self.0.checked_sub(steps));
        self.0 = left.ok_or(StepsExhausted)?;
        Ok(())
    }

    /// Takes the steps of reading so many bytes once.
    pub(super) fn read(&mut self, bytes: usize) -> Result<(), StepsExhausted> {
        self.take(1 + bytes / 16)
    }

    /// How many were taken.
    #[cfg(test)]
    pub(super) fn taken(&self) -> u64 {
        MAX_STEPS - self.0
    }
}
