//! Time: processor time, and wall time that can be stopped.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::shares::{Owner, SLICE, Shares, Ticket};

/// Why [`run_metered`] ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
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
pub(crate) struct WallClock(Arc<Shared>);

#[derive(Default)]
struct Shared {
    stopped: Mutex<Stopped>,
    /// One of [`calling`].
    calling: AtomicU8,
}

#[derive(Default)]
struct Stopped {
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

    fn lock(&self) -> std::sync::MutexGuard<'_, Stopped> {
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
pub(crate) struct Allowed<'a> {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    pub(crate) shares: &'a Shares,
    pub(crate) owner: Option<Owner>,
}

/// Polls `run` when it is its turn, until it ends or must end. Gives the processor time it took in any
/// case. The run must return to its executor often (fuel and [`yield_once`] make it): limits and turns
/// are looked at between polls.
pub(crate) async fn run_metered<T>(
    run: impl Future<Output = T>,
    allowed: Allowed<'_>,
    clock: &WallClock,
    cancel: &CancellationToken,
) -> (Result<T, Stop>, Duration) {
    let start = Instant::now();
    let mut cpu = Duration::ZERO;
    let mut run = pin!(run);
    let mut cancelled = pin!(cancel.cancelled());
    let mut deadline = start + allowed.wall;
    let mut alarm = pin!(tokio::time::sleep_until(deadline));
    let mut turn = Turn::new(allowed.shares, allowed.owner, clock);
    let end = std::future::poll_fn(|context| {
        if cancelled.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(Stop::Cancelled));
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
            return Poll::Ready(Err(Stop::CpuTime));
        }
        turn.after_poll(took);
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

/// Whether it is a run's turn.
struct Turn<'a> {
    shares: &'a Shares,
    owner: Option<Owner>,
    clock: &'a WallClock,
    state: TurnState<'a>,
    /// Processor time of this slice so far.
    used: Duration,
}

enum TurnState<'a> {
    /// It has to ask.
    Over,
    /// It asked. The time does not count.
    Waits(
        Pin<Box<dyn Future<Output = Option<Ticket>> + Send + 'a>>,
        #[allow(dead_code, reason = "a guard")] StoppedClock,
    ),
    /// It is.
    Is(#[allow(dead_code, reason = "given back when dropped")] Option<Ticket>),
    /// It waits for a call, which may be polled at any time.
    InCall,
}

impl<'a> Turn<'a> {
    fn new(shares: &'a Shares, owner: Option<Owner>, clock: &'a WallClock) -> Self {
        Self { shares, owner, clock, state: TurnState::Over, used: Duration::ZERO }
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.state {
                TurnState::Over => {
                    let shares = self.shares;
                    let owner = self.owner;
                    let ask = Box::pin(async move { shares.ticket(owner).await });
                    self.state = TurnState::Waits(ask, self.clock.stop());
                }
                TurnState::Waits(ask, _) => match ask.as_mut().poll(context) {
                    Poll::Ready(ticket) => {
                        self.state = TurnState::Is(ticket);
                        self.used = Duration::ZERO;
                    }
                    Poll::Pending => return Poll::Pending,
                },
                TurnState::Is(_) | TurnState::InCall => return Poll::Ready(()),
            }
        }
    }

    /// The run returned, and has more to do.
    fn after_poll(&mut self, took: Duration) {
        let calling = &self.clock.0.calling;
        if calling.load(Ordering::Relaxed) != calling::NO {
            calling.store(calling::WAITS, Ordering::Relaxed);
            self.state = TurnState::InCall;
            return;
        }
        self.used += took;
        let over = match self.state {
            TurnState::InCall => true,
            _ => self.used >= SLICE && self.shares.contended(),
        };
        if over {
            self.state = TurnState::Over;
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

    static SHARES: std::sync::LazyLock<Shares> = std::sync::LazyLock::new(|| Shares::new(1));

    fn allowed() -> Allowed<'static> {
        Allowed { cpu: SECOND, wall: SECOND, shares: &SHARES, owner: None }
    }

    #[tokio::test(start_paused = true)]
    async fn wall_time_ends_a_run_that_waits() {
        let (end, _) =
            run_metered(std::future::pending::<()>(), allowed(), &WallClock::default(), &CancellationToken::new())
                .await;
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
        assert_eq!(end, Err(Stop::WallTime));
    }

    #[tokio::test]
    async fn cancelling_ends_a_run() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        let (end, _) = run_metered(std::future::pending::<()>(), allowed(), &WallClock::default(), &cancel).await;
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
        let allowed = Allowed { cpu: Duration::from_millis(5), wall: 60 * SECOND, ..allowed() };
        let (end, cpu): (Result<(), _>, _) =
            run_metered(run, allowed, &WallClock::default(), &CancellationToken::new()).await;
        assert_eq!(end, Err(Stop::CpuTime));
        assert!(cpu > Duration::from_millis(5));
    }
}
