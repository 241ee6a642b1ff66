//! One clock for all replicas: the database's.
//!
//! Leases, TTLs and schedules are decided by times that the replicas pass in. Their machines' clocks differ: a lease of
//! 30 s given out by a clock that is 40 s behind has already expired for everybody else. A replica on Postgres therefore
//! adds an offset to its own clock: how far the database's is ahead. It asks for `clock_timestamp()` and takes the answer
//! for the moment halfway between question and answer, which is off by at most half the round trip. An offset that fits
//! within the uncertainty of the measurement is kept, so that the time does not jitter. [`DatabaseClock`] is passed in as
//! the clock of [`Ambient`](restroy_sdk::time::Ambient), so nothing else knows of it. `now()` in SQL everywhere was the
//! alternative: it would have taken the clock out of the tests' hands, and out of SQLite's.
//!
//! Between two measurements the time is carried on by a clock that counts sleep too (`CLOCK_BOOTTIME`, see [`Steady`]):
//! with the monotonic one, a machine that woke up lived in the past for up to ten seconds. A virtual machine that was
//! stopped as a whole does not notice. But its wall clock is set right, by its host or over the network, and then jumps
//! against the local one: a reason to ask the database at once. The wall clock itself is never followed. Fences, not
//! times, decide who may write, so a replica that is behind does work twice but writes nothing wrong.
//!
//! Within a process the time does not go back by up to a second: it stands still until it has caught up. A larger
//! correction (somebody set the database's clock) is applied at once, because standing still for long would keep expired
//! leases alive.
//!
//! Executors keep leases by their own monotonic clock, counted from the sending of what renewed them.

mod steady;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use restroy_sdk::time::{Clock, System, Timestamp};
use sqlx::query_scalar;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub use steady::Steady;

use crate::{
    sql,
    state::DomainState,
    store::{Db, Tx},
};

/// How often the database's clock is asked for.
const PERIOD: Duration = Duration::from_secs(10);
/// How long a measurement may take.
const MEASURE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is asked in a row; the quickest answer counts.
const SAMPLES: usize = 3;
/// An answer that took longer says too little.
const SLOWEST: Duration = Duration::from_secs(1);
/// So far back the time stands still instead.
const HOLD: i64 = 1_000_000;
/// So far may wall clock and local clock drift apart without anybody asking, in microseconds.
const JUMP: i64 = 1_000_000;
/// An offset that an operator should hear of, in microseconds.
const BIG: i64 = 1_000_000;

/// A clock that follows the database's. Before the first measurement it is the local one.
pub struct DatabaseClock {
    local: Arc<dyn Clock>,
    /// The machine's clock as it is set: only watched, for jumps against the local one.
    wall: Arc<dyn Clock>,
    /// By how much it was ahead of the local one when that was looked at last.
    apart: AtomicI64,
    /// Told after a jump.
    jumped: Notify,
    period: Duration,
    /// What is added to the local clock, in microseconds.
    offset: AtomicI64,
    /// The newest moment that was given.
    newest: AtomicI64,
    /// A big offset was reported.
    told: AtomicBool,
}

impl std::fmt::Debug for DatabaseClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseClock").field("offset", &self.offset).finish_non_exhaustive()
    }
}

/// Why the database's clock could not be measured. The last offset stays.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The database did not answer.
    #[error("the database's clock cannot be read: {0}")]
    Database(#[from] sqlx::Error),
    /// All answers came too late to say anything.
    #[error("the database takes too long to tell the time")]
    TooSlow,
}

/// A clock that is somewhere else.
trait RemoteClock {
    /// What it shows.
    fn time(&mut self) -> impl Future<Output = Result<Timestamp, sqlx::Error>> + Send;
}

impl RemoteClock for Tx {
    async fn time(&mut self) -> Result<Timestamp, sqlx::Error> {
        // Only Postgres is asked: SQLite's clock is this machine's.
        sql!(self, fetch_one, query_scalar("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"))
    }
}

/// A measured offset, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OffsetSample {
    offset: i64,
    /// By how much it may be off.
    within: i64,
}

impl DatabaseClock {
    /// Over this machine's clock.
    pub fn system() -> Self {
        Self::with_clocks(Arc::new(Steady::starting_at(System.now())), Arc::new(System))
    }

    /// Over clocks that are passed in: the one that is followed, and the one that somebody may set.
    pub fn with_clocks(local: Arc<dyn Clock>, wall: Arc<dyn Clock>) -> Self {
        Self {
            apart: AtomicI64::new(wall.now().micros().saturating_sub(local.now().micros())),
            local,
            wall,
            jumped: Notify::new(),
            period: PERIOD,
            offset: AtomicI64::new(0),
            newest: AtomicI64::new(i64::MIN),
            told: AtomicBool::new(false),
        }
    }

    /// Asked for so often, where nothing jumps.
    #[must_use]
    pub fn with_period(self, period: Duration) -> Self {
        Self { period, ..self }
    }

    /// How far the database's clock is ahead of the local one, in microseconds.
    pub fn offset(&self) -> i64 {
        self.offset.load(Ordering::Relaxed)
    }

    /// Measures the database's clock and follows it from now on; to be called once before anything is
    /// served. SQLite has no clock of its own: there it does nothing.
    pub async fn measure(&self, db: &Db) -> Result<(), ClockError> {
        if !db.is_shared() {
            return Ok(());
        }
        let measuring = async { self.follow(&mut db.system_read().await?).await };
        timeout(MEASURE_TIMEOUT, measuring).await.map_err(|_| ClockError::TooSlow)?
    }

    /// Measures again and again, and after every jump, until `shutdown` is cancelled. What cannot be
    /// measured is left as it was.
    pub async fn run(self: Arc<Self>, state: DomainState, shutdown: CancellationToken) {
        loop {
            match self.measure(&state.db).await {
                Ok(()) => state.metrics.clock_offset(self.offset()),
                Err(error) => tracing::warn!(%error, "the clock's offset stays as it was"),
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(self.period) => {}
                () = self.jumped.notified() => tracing::info!("this machine's clocks diverged; measuring against the \
                    database"),
            }
        }
    }

    async fn follow(&self, remote: &mut impl RemoteClock) -> Result<(), ClockError> {
        let mut best: Option<OffsetSample> = None;
        for _ in 0..SAMPLES {
            let before = self.local.now();
            let there = remote.time().await?;
            let sample = offset_sample(before, there, self.local.now());
            best = match (best, sample) {
                (Some(best), Some(sample)) if best.within <= sample.within => Some(best),
                (best, None) => best,
                (_, sample) => sample,
            };
        }
        self.apply_sample(best.ok_or(ClockError::TooSlow)?);
        Ok(())
    }

    fn apply_sample(&self, measured: OffsetSample) {
        let known = self.offset();
        // An offset that fits what was measured is kept: the time should not tremble.
        if known.saturating_sub(measured.offset).unsigned_abs() > measured.within.unsigned_abs() {
            self.offset.store(measured.offset, Ordering::Relaxed);
        }
        let offset = self.offset();
        let big = offset.unsigned_abs() > BIG.unsigned_abs();
        if big && !self.told.swap(true, Ordering::Relaxed) {
            #[allow(clippy::cast_precision_loss, reason = "for people")]
            let seconds = offset as f64 / 1e6;
            tracing::warn!(seconds, "this machine's clock is off by more than a second; the database's is followed");
        } else if !big {
            self.told.store(false, Ordering::Relaxed);
        }
    }
}

impl DatabaseClock {
    /// Looks whether one of the machine's clocks jumped.
    fn detect_jump(&self, local: Timestamp) {
        let apart = self.wall.now().micros().saturating_sub(local.micros());
        let before = self.apart.load(Ordering::Relaxed);
        if apart.saturating_sub(before).unsigned_abs() > JUMP.unsigned_abs() {
            self.apart.store(apart, Ordering::Relaxed);
            self.jumped.notify_one();
        }
    }
}

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        let local = self.local.now();
        self.detect_jump(local);
        let now = local.micros().saturating_add(self.offset());
        let newest = self.newest.fetch_max(now, Ordering::Relaxed);
        if newest <= now {
            return Timestamp(now);
        }
        if newest.saturating_sub(now) <= HOLD {
            return Timestamp(newest);
        }
        // Another that comes to the same point at the same time has the same right to it.
        let _ = self.newest.compare_exchange(newest, now, Ordering::Relaxed, Ordering::Relaxed);
        Timestamp(now)
    }
}

/// The offset by an answer of which it is only known that it was given between `before` and `after`;
/// nothing when it took too long, or when the local clock went back meanwhile.
fn offset_sample(before: Timestamp, there: Timestamp, after: Timestamp) -> Option<OffsetSample> {
    let took = after.micros().checked_sub(before.micros())?;
    if !(0..=i64::try_from(SLOWEST.as_micros()).ok()?).contains(&took) {
        return None;
    }
    // Half of an odd number of microseconds is rounded away from certainty.
    let within = took / 2 + took % 2;
    Some(OffsetSample { offset: there.micros().checked_sub(before.micros() + took / 2)?, within })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use proptest::prelude::*;

    use super::*;

    const START: i64 = 1_767_225_600_000_000;

    #[derive(Default)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp(START + self.0.load(Ordering::SeqCst))
        }
    }

    /// A clock that is ahead, and takes its time to answer: so long on the way there, so long back.
    struct Far {
        here: Arc<Hand>,
        ahead: i64,
        ways: Vec<(i64, i64)>,
        asked: usize,
    }

    impl RemoteClock for Far {
        async fn time(&mut self) -> Result<Timestamp, sqlx::Error> {
            let (there, back) = *self.ways.get(self.asked).ok_or(sqlx::Error::PoolTimedOut)?;
            self.asked += 1;
            self.here.0.fetch_add(there, Ordering::SeqCst);
            let answer = Timestamp(self.here.now().micros() + self.ahead);
            self.here.0.fetch_add(back, Ordering::SeqCst);
            Ok(answer)
        }
    }

    fn clock() -> (Arc<Hand>, DatabaseClock) {
        let hand = Arc::new(Hand::default());
        (Arc::clone(&hand), DatabaseClock::with_clocks(hand.clone(), hand))
    }

    fn block<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    proptest! {
        /// Whatever the ways take, the clock is off by at most half the quickest round trip.
        #[test]
        fn the_offset_is_found(
            ahead in -1_000_000_000_000_i64..1_000_000_000_000,
            ways in proptest::collection::vec((0_i64..500_000, 0_i64..500_000), SAMPLES),
        ) {
            let (here, clock) = clock();
            let quickest = ways.iter().map(|(there, back)| there + back).min().unwrap();
            let mut far = Far { here: Arc::clone(&here), ahead, ways, asked: 0 };
            block(clock.follow(&mut far)).unwrap();
            let error = (clock.now().micros() - (here.now().micros() + ahead)).abs();
            // An offset that may already fit is kept, so twice the uncertainty is the bound.
            prop_assert!(error <= quickest + 2, "off by {error}, round trip {quickest}");
        }

        /// Corrections of up to a second never turn the time back, and it catches up.
        #[test]
        fn small_corrections_do_not_turn_the_time_back(
            steps in proptest::collection::vec((0_i64..2_000_000, -400_000_i64..400_000), 1..50),
        ) {
            let (here, clock) = clock();
            let mut last = clock.now();
            for (passes, offset) in steps {
                here.0.fetch_add(passes, Ordering::SeqCst);
                clock.apply_sample(OffsetSample { offset, within: 0 });
                let now = clock.now();
                prop_assert!(now >= last);
                prop_assert!(now.micros() - (here.now().micros() + offset) <= HOLD);
                last = now;
            }
            here.0.fetch_add(HOLD, Ordering::SeqCst);
            prop_assert_eq!(clock.now().micros(), here.now().micros() + clock.offset());
        }
    }

    #[test]
    fn a_large_correction_is_taken_at_once_and_once() {
        let (here, clock) = clock();
        clock.apply_sample(OffsetSample { offset: 3_600_000_000, within: 10 });
        let before = clock.now();
        clock.apply_sample(OffsetSample { offset: 0, within: 10 });
        assert_eq!(clock.now(), here.now());
        assert!(clock.now() < before);
        here.0.fetch_add(5, Ordering::SeqCst);
        assert_eq!(clock.now(), here.now());
    }

    #[test]
    fn what_cannot_be_measured_stays() {
        let (here, clock) = clock();
        let mut far = Far { here: Arc::clone(&here), ahead: 5_000_000, ways: vec![(10, 10); SAMPLES], asked: 0 };
        block(clock.follow(&mut far)).unwrap();
        assert_eq!(clock.offset(), 5_000_000);
        // No answer; then only answers that took too long.
        assert!(block(clock.follow(&mut far)).is_err());
        far = Far { here, ahead: 9_000_000, ways: vec![(1_000_000, 1_000_000); SAMPLES], asked: 0 };
        assert!(matches!(block(clock.follow(&mut far)), Err(ClockError::TooSlow)));
        assert_eq!(clock.offset(), 5_000_000);
    }

    #[test]
    fn an_offset_that_fits_is_kept() {
        let (_, clock) = clock();
        clock.apply_sample(OffsetSample { offset: 1_000, within: 10 });
        clock.apply_sample(OffsetSample { offset: 1_400, within: 500 });
        assert_eq!(clock.offset(), 1_000);
        clock.apply_sample(OffsetSample { offset: 1_600, within: 500 });
        assert_eq!(clock.offset(), 1_600);
    }

    #[tokio::test]
    async fn a_jump_of_one_clock_against_the_other_is_reason_to_ask() {
        let (here, wall) = (Arc::new(Hand::default()), Arc::new(Hand::default()));
        let clock = DatabaseClock::with_clocks(here.clone(), wall.clone());
        let asks = || async { timeout(Duration::from_millis(1), clock.jumped.notified()).await.is_ok() };
        for (passes_here, passes_there) in [(5_000_000, 5_000_000), (1_000_000, 1_900_000), (60_000_000, 59_900_000)] {
            here.0.fetch_add(passes_here, Ordering::SeqCst);
            wall.0.fetch_add(passes_there, Ordering::SeqCst);
            clock.now();
            assert!(!asks().await, "{passes_here} {passes_there}");
        }
        // The machine slept, and only one of its clocks knows; later somebody sets that clock back.
        for jump in [3_600_000_000, -3_600_000_000] {
            wall.0.fetch_add(jump, Ordering::SeqCst);
            clock.now();
            clock.now();
            assert!(asks().await);
            assert!(!asks().await, "once");
        }
    }
}
