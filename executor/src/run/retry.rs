//! Attempts: which comes next, when, and under which epoch.
//!
//! The epoch distinguishes the effects of one attempt from those of another: it counts the earlier
//! attempts that failed with all their answers received. An attempt that was cut short, by a lost
//! lease or by a timeout, may have had effects whose answers nobody saw; what is executed after it
//! keeps its epoch, so that the same calls find the same stored answers.

use std::time::Duration;

use restroy_run_queue::run_api::StepState;
use restroy_sdk::{
    document::{Backoff, Retry},
    event::StepError,
    status::StepStatus,
};
use tokio::time::Instant;

/// The attempt to execute next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NextAttempt {
    /// From 1.
    pub(crate) number: u32,
    /// How many earlier ones ended with their answers known.
    pub(crate) epoch: u32,
    /// Whether an attempt of the same epoch began before: what it did may be stored.
    pub(crate) repeats: bool,
    /// The earliest time of the next attempt.
    pub(crate) not_before: Option<Instant>,
}

impl NextAttempt {
    pub(crate) const FIRST: Self = Self { number: 1, epoch: 0, repeats: false, not_before: None };

    /// The attempt after this one failed.
    pub(crate) fn next(self, error: &StepError, not_before: Instant) -> Self {
        Self {
            number: self.number + 1,
            epoch: self.epoch + u32::from(is_answered(error)),
            repeats: !is_answered(error),
            not_before: Some(not_before),
        }
    }
}

/// Where a step, or an item of it, stands.
#[derive(Debug)]
pub(crate) enum StepProgress<'a> {
    /// It ended with this attempt.
    Ended(&'a StepState),
    /// This attempt is to be executed.
    Due(NextAttempt),
}

/// Where a step stands after these committed attempts, oldest first, of a task that was claimed at `claimed_at`.
pub(crate) fn step_progress(committed: &[StepState], claimed_at: Instant) -> StepProgress<'_> {
    let mut due = NextAttempt::FIRST;
    for state in committed {
        due.number = state.step.attempt;
        if let Some(millis) = state.due_in_ms {
            due.not_before = Some(claimed_at + Duration::from_millis(millis));
        }
        if !state.status.is_terminal() {
            due.repeats |= state.status == StepStatus::Running;
            continue;
        }
        if !state.retried {
            return StepProgress::Ended(state);
        }
        due.number += 1;
        let answered = state.error.as_ref().is_none_or(is_answered);
        due.epoch += u32::from(answered);
        due.repeats = !answered;
    }
    StepProgress::Due(due)
}

/// Whether an attempt that ended so had all its answers.
fn is_answered(error: &StepError) -> bool {
    let unanswered = |code: &str| {
        matches!(
            code,
            "cpu_time_limit"
                | "wall_time_limit"
                | "internal"
                | "cancelled"
                | "http_timeout"
                | "http_failed"
                | "run_api_failed"
        )
    };
    let raised = error.details.as_ref().and_then(|details| details.get("code")).and_then(serde_json::Value::as_str);
    !unanswered(&error.code) && !raised.is_some_and(unanswered)
}

/// How long to wait after the attempt of this number, from 1; none when there is no other.
pub(crate) fn pause(retry: Option<&Retry>, failed: u32) -> Option<Duration> {
    let retry = retry?;
    if failed >= retry.max_attempts.min(10) {
        return None;
    }
    let initial = retry.initial.millis();
    let millis = match retry.backoff {
        Backoff::Constant => initial,
        Backoff::Linear => initial.saturating_mul(failed.into()),
        Backoff::Exponential => initial.saturating_mul(1 << failed.saturating_sub(1).min(30)),
    };
    Some(Duration::from_millis(millis.min(retry.max.millis())))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use restroy_sdk::{document::DurationText, event::StepRef};
    use serde_json::json;

    use super::*;

    static CLAIMED: LazyLock<Instant> = LazyLock::new(Instant::now);

    fn state(attempt: u32, status: StepStatus, code: Option<&str>, retried: bool) -> StepState {
        StepState {
            step: StepRef { step: "a".to_owned(), index: None, attempt },
            status,
            items: None,
            output: None,
            error: code.map(|code| StepError::new(code, "no")),
            retried,
            due_in_ms: retried.then_some(7),
        }
    }

    fn due(committed: &[StepState]) -> NextAttempt {
        match step_progress(committed, *CLAIMED) {
            StepProgress::Due(attempt) => attempt,
            StepProgress::Ended(state) => panic!("it ended with {state:?}"),
        }
    }

    #[test]
    fn nothing_committed_is_the_first_attempt() {
        assert_eq!(due(&[]), NextAttempt::FIRST);
    }

    #[test]
    fn what_was_running_starts_again_under_its_number_and_epoch() {
        let again = NextAttempt { repeats: true, ..NextAttempt::FIRST };
        assert_eq!(due(&[state(1, StepStatus::Running, None, false)]), again);
        assert_eq!(due(&[state(1, StepStatus::Pending, None, false)]), NextAttempt::FIRST);
        let committed =
            [state(1, StepStatus::Failed, Some("script_error"), true), state(2, StepStatus::Running, None, false)];
        assert_eq!(
            due(&committed),
            NextAttempt { number: 2, epoch: 1, repeats: true, not_before: Some(*CLAIMED + Duration::from_millis(7)) }
        );
        assert!(!due(&committed[..1]).repeats, "an attempt of a new epoch has done nothing");
    }

    #[test]
    fn what_waits_is_due_when_it_was() {
        let waiting = StepState { due_in_ms: Some(9), ..state(1, StepStatus::Waiting, None, false) };
        let not_before = Some(*CLAIMED + Duration::from_millis(9));
        assert_eq!(due(&[waiting]), NextAttempt { not_before, ..NextAttempt::FIRST });
    }

    #[test]
    fn a_timeout_keeps_the_epoch() {
        let committed = [
            state(1, StepStatus::Failed, Some("script_error"), true),
            state(2, StepStatus::TimedOut, Some("wall_time_limit"), true),
        ];
        assert_eq!(
            due(&committed),
            NextAttempt { number: 3, epoch: 1, repeats: true, not_before: Some(*CLAIMED + Duration::from_millis(7)) }
        );
    }

    #[test]
    fn a_raised_timeout_keeps_the_epoch_too() {
        let mut error = StepError::new("script_error", "no answer");
        error.details = Some(json!({"code": "http_timeout"}));
        assert_eq!(NextAttempt::FIRST.next(&error, *CLAIMED).epoch, 0);
        error.details = Some(json!({"code": "mine"}));
        assert_eq!(NextAttempt::FIRST.next(&error, *CLAIMED).epoch, 1);
    }

    #[test]
    fn an_end_is_an_end() {
        for status in [StepStatus::Succeeded, StepStatus::Failed, StepStatus::Skipped] {
            assert!(matches!(step_progress(&[state(1, status, None, false)], *CLAIMED), StepProgress::Ended(_)));
        }
    }

    #[test]
    fn pauses_grow_as_configured_and_end() {
        let retry = |backoff| Retry {
            max_attempts: 4,
            backoff,
            initial: DurationText::from_millis(100),
            max: DurationText::from_millis(250),
        };
        let pauses = |backoff| -> Vec<u128> {
            (1..6).map_while(|failed| pause(Some(&retry(backoff)), failed)).map(|pause| pause.as_millis()).collect()
        };
        assert_eq!(pauses(Backoff::Constant), [100, 100, 100]);
        assert_eq!(pauses(Backoff::Linear), [100, 200, 250]);
        assert_eq!(pauses(Backoff::Exponential), [100, 200, 250]);
        assert_eq!(pause(None, 1), None);
    }
}
