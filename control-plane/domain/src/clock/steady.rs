//! A machine's clock, read once and carried on by the time that passes.

use std::time::Duration;

use restroy_sdk::time::{Clock, Timestamp};

/// What somebody does to the machine's clock later has no effect on it. Where the system supports it (Linux), it
/// continues while the machine sleeps.
#[derive(Debug, Clone, Copy)]
pub struct Steady {
    started: Timestamp,
    since: Passed,
}

impl Steady {
    /// Continues from the given moment.
    pub fn starting_at(now: Timestamp) -> Self {
        Self { started: now, since: Passed::now() }
    }
}

impl Clock for Steady {
    fn now(&self) -> Timestamp {
        self.started.after(self.since.elapsed())
    }
}

/// A moment of the time since the machine was started, its sleep included (`CLOCK_BOOTTIME`): the monotonic clock
/// of the standard library stands still meanwhile.
#[cfg(target_os = "linux")]
#[derive(Debug, Clone, Copy)]
struct Passed(Duration);

#[cfg(target_os = "linux")]
impl Passed {
    fn now() -> Self {
        let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(since_boot.tv_sec).unwrap_or(0);
        Self(Duration::new(seconds, u32::try_from(since_boot.tv_nsec).unwrap_or(0)))
    }

    fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

/// A moment of the monotonic clock.
#[cfg(not(target_os = "linux"))]
#[derive(Debug, Clone, Copy)]
struct Passed(tokio::time::Instant);

#[cfg(not(target_os = "linux"))]
impl Passed {
    fn now() -> Self {
        Self(tokio::time::Instant::now())
    }

    fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_advances_by_itself() {
        let started = Timestamp(1_767_225_600_000_000);
        let steady = Steady::starting_at(started);
        let mut last = steady.now();
        assert!(last >= started);
        // Whatever the machine's clock says, which is years away.
        while last < started.after(Duration::from_millis(2)) {
            let now = steady.now();
            assert!(now >= last && now < started.after(Duration::from_mins(10)));
            last = now;
        }
    }
}
