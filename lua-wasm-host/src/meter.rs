//! Time: processor time, and wall time that can be stopped.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::shares::{Owner, ProcessorShares, SLICE, ShareTicket};

/// Why [`run_metered`] ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    CpuTime,
    WallTime,
    Cancelled,
}

/// What a run and whoever drives it tell each other.
///
/// First, time that does not count to the wall time: what a run spends waiting on the embedder's own
/// services, or for its turn. Second, whether a call is being served: a run that waits for one has no
/// use for a processor.
#[derive(Clone, Default)]
pub(crate) struct WallClock(Arc<ClockShared>);

#[derive(Default)]
struct ClockShared {
    stopped: Mutex<StoppedTime>,
    /// One of [`calling`].
    calling: AtomicU8,
}

#[derive(Default)]
struct StoppedTime {
    total: Duration,
    /// How many keep it still, and since when.
    by: u32,
    since: Option<Instant>,
}

/// Whether a call is being served.
mod calling {
    /// None is: the guest runs.
    pub(super) const NO: u8 = 0;
    /// Somebody waits.
    pub(super) const YES: u8 = 1;
    /// One is, it waits, and the run's ticket was given back.
    pub(super) const WAITS: u8 = 2;
}

impl WallClock {
    /// Stops the clock until the guard is dropped.
    pub(crate) fn stop(&self) -> StoppedClock {
        let mut stopped = self.lock();
        stopped.by += 1;
        stopped.since.get_or_insert_with(Instant::now);
        drop(stopped);
        StoppedClock(self.clone())
    }

    /// How long it stood still, or None while it does.
    pub(crate) fn stopped(&self) -> Option<Duration> {
        let stopped = self.lock();
        stopped.since.is_none().then_some(stopped.total)
    }

    /// A call is about to be served.
    pub(crate) fn begin_call(&self) {
        self.0.calling.store(calling::YES, Ordering::Relaxed);
    }

    /// It was. Whether the run has to wait for its turn.
    pub(crate) fn end_call(&self) -> bool {
        self.0.calling.swap(calling::NO, Ordering::Relaxed) == calling::WAITS
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, StoppedTime> {
        self.0.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that stands still.
pub(crate) struct StoppedClock(WallClock);

impl Drop for StoppedClock {
    fn drop(&mut self) {
        let mut stopped = self.0.lock();
        stopped.by = stopped.by.saturating_sub(1);
        if stopped.by == 0
            && let Some(since) = stopped.since.take()
        {
            stopped.total += since.elapsed();
        }
    }
}

/// What a run may take, and when it is its turn.
#[derive(Clone, Copy)]
pub(crate) struct RunAllowance<'a> {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    pub(crate) shares: &'a ProcessorShares,
    pub(crate) owner: Option<Owner>,
}

/// Polls `run` when it is its turn, until it ends or must end. Gives the processor time it took in any
/// case. The run must return to its executor often (fuel and [`yield_once`] make it): limits and turns
/// are looked at between polls.
pub(crate) async fn run_metered<T>(
    run: impl Future<Output = T>,
    allowed: RunAllowance<'_>,
    clock: &WallClock,
    cancel: &CancellationToken,
) -> (Result<T, StopReason>, Duration) {
    let start = Instant::now();
    let mut cpu = Duration::ZERO;
    let mut run = pin!(run);
    let mut cancelled = pin!(cancel.cancelled());
    let mut deadline = start + allowed.wall;
    let mut alarm = pin!(tokio::time::sleep_until(deadline));
    let mut turn = ShareGate::new(allowed.shares, allowed.owner, clock);
    let end = std::future::poll_fn(|context| {
        if cancelled.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(StopReason::Cancelled));
        }
        if turn.poll_ready(context).is_pending() {
            return Poll::Pending;
        }
        let before = thread_cpu_time();
        let polled = run.as_mut().poll(context);
        let took = thread_cpu_time().saturating_sub(before);
        cpu += took;
        if let Poll::Ready(value) = polled {
            return Poll::Ready(Ok(value));
        }
        if cpu > allowed.cpu {
            return Poll::Ready(Err(StopReason::CpuTime));
        }
        turn.after_poll(took);
        if let Some(stopped) = clock.stopped() {
            let due = start + allowed.wall + stopped;
            if due != deadline {
                deadline = due;
                alarm.as_mut().reset(due);
            }
            if alarm.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(StopReason::WallTime));
            }
        }
        Poll::Pending
    })
    .await;
    (end, cpu)
}

/// Whether it is a run's turn.
struct ShareGate<'a> {
    shares: &'a ProcessorShares,
    owner: Option<Owner>,
    clock: &'a WallClock,
    state: ShareState<'a>,
    /// Processor time of this slice so far.
    used: Duration,
}

enum ShareState<'a> {
    /// It has to ask.
    Over,
    /// It asked. The time does not count.
    Waits(
        Pin<Box<dyn Future<Output = Option<ShareTicket>> + Send + 'a>>,
        #[allow(dead_code, reason = "a guard")] StoppedClock,
    ),
    /// It is.
    Is(#[allow(dead_code, reason = "given back when dropped")] Option<ShareTicket>),
    /// It waits for a call, which may be polled at any time.
    InCall,
}

impl<'a> ShareGate<'a> {
    fn new(shares: &'a ProcessorShares, owner: Option<Owner>, clock: &'a WallClock) -> Self {
        Self { shares, owner, clock, state: ShareState::Over, used: Duration::ZERO }
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.state {
                ShareState::Over => {
                    let shares = self.shares;
                    let owner = self.owner;
                    let ask = Box::pin(async move { shares.ticket(owner).await });
                    self.state = ShareState::Waits(ask, self.clock.stop());
                }
                ShareState::Waits(ask, _) => match ask.as_mut().poll(context) {
                    Poll::Ready(ticket) => {
                        self.state = ShareState::Is(ticket);
                        self.used = Duration::ZERO;
                    }
                    Poll::Pending => return Poll::Pending,
                },
                ShareState::Is(_) | ShareState::InCall => return Poll::Ready(()),
            }
        }
    }

    /// The run returned, and has more to do.
    fn after_poll(&mut self, took: Duration) {
        let calling = &self.clock.0.calling;
        if calling.load(Ordering::Relaxed) != calling::NO {
            calling.store(calling::WAITS, Ordering::Relaxed);
            self.state = ShareState::InCall;
            return;
        }
        self.used += took;
        let over = match self.state {
            ShareState::InCall => true,
            _ => self.used >= SLICE && self.shares.contended(),
        };
        if over {
            self.state = ShareState::Over;
        }
    }
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

    static SHARES: std::sync::LazyLock<ProcessorShares> = std::sync::LazyLock::new(|| ProcessorShares::new(1));

    fn allowed() -> RunAllowance<'static> {
        RunAllowance { cpu: SECOND, wall: SECOND, shares: &SHARES, owner: None }
    }

    #[tokio::test(start_paused = true)]
    async fn wall_time_ends_a_run_that_waits() {
        let (end, _) =
            run_metered(std::future::pending::<()>(), allowed(), &WallClock::default(), &CancellationToken::new())
                .await;
        assert_eq!(end, Err(StopReason::WallTime));
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
        let (end, _) = run_metered(run, allowed(), &clock, &CancellationToken::new()).await;
        assert_eq!(end, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_resumes_after_it_stopped() {
        let clock = WallClock::default();
        let run = async {
            let stopped = clock.stop();
            tokio::time::sleep(10 * SECOND).await;
            drop(stopped);
            std::future::pending::<()>().await;
        };
        let (end, _) = run_metered(run, allowed(), &clock, &CancellationToken::new()).await;
        assert_eq!(end, Err(StopReason::WallTime));
    }

    #[tokio::test]
    async fn cancelling_ends_a_run() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        let (end, _) = run_metered(std::future::pending::<()>(), allowed(), &WallClock::default(), &cancel).await;
        assert_eq!(end, Err(StopReason::Cancelled));
    }

    #[tokio::test]
    async fn processor_time_ends_a_run_that_never_waits() {
        let run = async {
            loop {
                std::hint::black_box((0..10_000).sum::<u64>());
                tokio::task::yield_now().await;
            }
        };
        let allowed = RunAllowance { cpu: Duration::from_millis(5), wall: 60 * SECOND, ..allowed() };
        let (end, cpu): (Result<(), _>, _) =
            run_metered(run, allowed, &WallClock::default(), &CancellationToken::new()).await;
        assert_eq!(end, Err(StopReason::CpuTime));
        assert!(cpu > Duration::from_millis(5));
    }
}
