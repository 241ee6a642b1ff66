//! Time: processor time, and wall time that can be stopped.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Why [`drive`] ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    CpuTime,
    WallTime,
    Cancelled,
}

/// Time that does not count to the wall time: what a run spends waiting on the embedder's own
/// services. Shared by the run's dispatcher, which stops the clock, and by [`drive`].
#[derive(Clone, Default)]
pub(crate) struct WallClock(Arc<Mutex<Stopped>>);

#[derive(Default)]
struct Stopped {
    total: Duration,
    since: Option<Instant>,
}

impl WallClock {
    /// Stops the clock until the guard is dropped.
    pub(crate) fn stop(&self) -> StoppedClock {
        self.lock().since = Some(Instant::now());
        StoppedClock(self.clone())
    }

    /// How long it stood still, or None while it does.
    fn stopped(&self) -> Option<Duration> {
        let stopped = self.lock();
        stopped.since.is_none().then_some(stopped.total)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Stopped> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that stands still.
pub(crate) struct StoppedClock(WallClock);

impl Drop for StoppedClock {
    fn drop(&mut self) {
        let mut stopped = self.0.lock();
        if let Some(since) = stopped.since.take() {
            stopped.total += since.elapsed();
        }
    }
}

/// What a run may take.
pub(crate) struct Allowed {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
}

/// Polls `run` until it ends or must end. Gives the processor time it took in any case. The run
/// must return to its executor often (fuel makes it): limits are looked at between polls.
pub(crate) async fn drive<T>(
    run: impl Future<Output = T>,
    allowed: Allowed,
    clock: &WallClock,
    cancel: &CancellationToken,
) -> (Result<T, Stop>, Duration) {
    let start = Instant::now();
    let mut cpu = Duration::ZERO;
    let mut run = pin!(run);
    let mut cancelled = pin!(cancel.cancelled());
    let mut deadline = start + allowed.wall;
    let mut alarm = pin!(tokio::time::sleep_until(deadline));
    let end = std::future::poll_fn(|context| {
        if cancelled.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(Stop::Cancelled));
        }
        let before = thread_cpu_time();
        let polled = run.as_mut().poll(context);
        cpu += thread_cpu_time().saturating_sub(before);
        if let Poll::Ready(value) = polled {
            return Poll::Ready(Ok(value));
        }
        if cpu > allowed.cpu {
            return Poll::Ready(Err(Stop::CpuTime));
        }
        if let Some(stopped) = clock.stopped() {
            let due = start + allowed.wall + stopped;
            if due != deadline {
                deadline = due;
                alarm.as_mut().reset(due);
            }
            if alarm.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(Stop::WallTime));
            }
        }
        Poll::Pending
    })
    .await;
    (end, cpu)
}

/// Returns to the executor once; it polls again at once.
pub(crate) async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Processor time of this thread so far.
fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn allowed() -> Allowed {
        Allowed { cpu: SECOND, wall: SECOND }
    }

    #[tokio::test(start_paused = true)]
    async fn wall_time_ends_a_run_that_waits() {
        let (end, _) =
            drive(std::future::pending::<()>(), allowed(), &WallClock::default(), &CancellationToken::new()).await;
        assert_eq!(end, Err(Stop::WallTime));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_clock_does_not_count() {
        let clock = WallClock::default();
        let run = async {
            let stopped = clock.stop();
            tokio::time::sleep(10 * SECOND).await;
            drop(stopped);
            tokio::time::sleep(SECOND / 2).await;
        };
        let (end, _) = drive(run, allowed(), &clock, &CancellationToken::new()).await;
        assert_eq!(end, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_goes_on_after_it_stood_still() {
        let clock = WallClock::default();
        let run = async {
            let stopped = clock.stop();
            tokio::time::sleep(10 * SECOND).await;
            drop(stopped);
            std::future::pending::<()>().await;
        };
        let (end, _) = drive(run, allowed(), &clock, &CancellationToken::new()).await;
        assert_eq!(end, Err(Stop::WallTime));
    }

    #[tokio::test]
    async fn cancelling_ends_a_run() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        let (end, _) = drive(std::future::pending::<()>(), allowed(), &WallClock::default(), &cancel).await;
        assert_eq!(end, Err(Stop::Cancelled));
    }

    #[tokio::test]
    async fn processor_time_ends_a_run_that_never_waits() {
        let run = async {
            loop {
                std::hint::black_box((0..10_000).sum::<u64>());
                tokio::task::yield_now().await;
            }
        };
        let allowed = Allowed { cpu: Duration::from_millis(5), wall: 60 * SECOND };
        let (end, cpu): (Result<(), _>, _) =
            drive(run, allowed, &WallClock::default(), &CancellationToken::new()).await;
        assert_eq!(end, Err(Stop::CpuTime));
        assert!(cpu > Duration::from_millis(5));
    }
}
