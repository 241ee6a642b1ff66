//! The load, the same for all that is measured: so many runs in flight, one after another, for a while.
//!
//! What ends inside the window counts, and the window opens after a warm-up with the load already on:
//! neither the start nor the last runs, which have the machine to themselves, are in the figures.

use std::{
    cell::RefCell,
    error::Error,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;

use crate::cpu::{Meter, Spent};

/// What to put on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Trivial steps, each needing the one before.
    pub(crate) steps: usize,
    /// Runs at a time.
    pub(crate) in_flight: usize,
}

impl Load {
    pub(crate) const WARM_UP: Duration = Duration::from_secs(1);
    pub(crate) const WINDOW: Duration = Duration::from_secs(4);
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// From the request to the known end, of each run that ended inside the window.
    pub(crate) times: Vec<Duration>,
    /// Processor time inside the window.
    pub(crate) spent: Spent,
}

impl Figures {
    /// Runs per second.
    pub(crate) fn rate(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "some thousands")]
        let runs = self.times.len() as f64;
        runs / Load::WINDOW.as_secs_f64()
    }

    /// A part of the processor time for each run.
    pub(crate) fn each(&self, spent: Duration) -> Option<Duration> {
        spent.checked_div(u32::try_from(self.times.len()).ok()?)
    }
}

/// Puts the load on from this process: `once` does a run with the given number from its request to its
/// end.
pub(crate) async fn generate(
    load: Load,
    meter: &Meter,
    once: impl AsyncFn(usize) -> Result<(), Box<dyn Error>>,
) -> Result<Figures, Box<dyn Error>> {
    let opens = Instant::now() + Load::WARM_UP;
    let closes = opens + Load::WINDOW;
    let times = RefCell::new(Vec::new());
    let (once, times_of_all) = (&once, &times);
    let lines = (0..load.in_flight).map(|line| async move {
        let mut number = line;
        loop {
            let start = Instant::now();
            if start >= closes {
                return Ok::<_, Box<dyn Error>>(());
            }
            once(number).await?;
            number += load.in_flight;
            let end = Instant::now();
            if end >= opens && end < closes {
                times_of_all.borrow_mut().push(end - start);
            }
        }
    });
    let spent = async {
        tokio::time::sleep_until(opens.into()).await;
        let before = meter.read();
        tokio::time::sleep_until(closes.into()).await;
        Ok(meter.read().since(&before))
    };
    let (_, spent) = tokio::try_join!(try_join_all(lines), spent)?;
    Ok(Figures { times: times.into_inner(), spent })
}
