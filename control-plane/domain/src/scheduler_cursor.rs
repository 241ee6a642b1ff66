//! How far the scheduler of this process has come.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use restroy_sdk::time::Timestamp;

/// How late a moment may be fired without being a misfire.
pub(crate) const PUNCTUAL: Duration = Duration::from_mins(1);

/// What the scheduler of this process last saw of the clock. A moment that comes while it is busy with
/// others' is not late.
#[derive(Debug, Default)]
pub(crate) struct SchedulerCursor(Mutex<Option<CursorState>>);

#[derive(Debug, Clone, Copy)]
struct CursorState {
    /// When it last looked.
    ended: Timestamp,
    /// Until when everything that was due is dealt with.
    done_until: Timestamp,
}

impl SchedulerCursor {
    /// What comes after the moment that is given could not be fired before: nobody was there, which is a
    /// misfire and counts from `now`, or others were in front.
    pub(crate) fn begin_pass(&self, now: Timestamp) -> Timestamp {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.filter(|last| now.since(last.ended) <= PUNCTUAL).map_or(now, |last| last.done_until)
    }

    pub(crate) fn end_pass(&self, ended: Timestamp, done_until: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(CursorState { ended, done_until });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_is_what_nobody_was_there_for() {
        let at = |second: i64| Timestamp(second * 1_000_000);
        let looks = SchedulerCursor::default();
        assert_eq!(looks.begin_pass(at(1_000)), at(1_000), "who just came was not there before");
        looks.end_pass(at(1_001), at(1_000));
        assert_eq!(looks.begin_pass(at(1_030)), at(1_000));
        // It is busy for longer than a moment may be late, and does not get to everything.
        looks.end_pass(at(1_300), at(1_000));
        assert_eq!(looks.begin_pass(at(1_301)), at(1_000), "what came since has waited for others");
        looks.end_pass(at(1_302), at(1_301));
        assert_eq!(looks.begin_pass(at(1_303)), at(1_301));
        assert_eq!(looks.begin_pass(at(2_000)), at(2_000), "nobody looked for ten minutes");
    }
}
