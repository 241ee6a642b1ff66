//! Work for a request that takes a processor's time: off the async threads, a few at once, and so many
//! waiting for their turn; beyond, callers are told to come back.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use restroy_sdk::problem::ProblemCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{ApiError, ApiResult};

/// Turns at one kind of work. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    free: Arc<Semaphore>,
    present: AtomicUsize,
    in_all: usize,
    work: &'static str,
}

/// A turn: the work is done with it, and what it takes is best read under it.
#[derive(Debug)]
pub struct Turn {
    place: Place,
    permit: OwnedSemaphorePermit,
}

impl Turns {
    /// So many at once, and so many with those that wait; `work` says what they are at.
    pub fn new(at_once: usize, in_all: usize, work: &'static str) -> Self {
        let free = Arc::new(Semaphore::new(at_once));
        Self(Arc::new(Inner { free, present: AtomicUsize::new(0), in_all, work }))
    }

    /// Waits for a turn. 503 when too many wait already.
    pub async fn turn(&self) -> ApiResult<Turn> {
        let place = Place::take(&self.0)?;
        let permit = Arc::clone(&self.0.free).acquire_owned().await;
        let permit = permit.map_err(|error| internal(self.0.work, &error))?;
        Ok(Turn { place, permit })
    }
}

impl Turn {
    /// Does the work. The turn lasts until it ends, even when the caller went away.
    pub async fn work<T: Send + 'static>(self, job: impl FnOnce() -> T + Send + 'static) -> ApiResult<T> {
        let what = self.place.0.work;
        let done = tokio::task::spawn_blocking(move || {
            let Self { place: _place, permit: _permit } = self;
            job()
        });
        done.await.map_err(|error| internal(what, &error))
    }
}

/// A place among those who are at work or wait.
#[derive(Debug)]
struct Place(Arc<Inner>);

impl Place {
    fn take(turns: &Arc<Inner>) -> ApiResult<Self> {
        let before = turns.present.fetch_add(1, Ordering::Relaxed);
        let place = Self(Arc::clone(turns));
        if before < turns.in_all {
            return Ok(place);
        }
        Err(ApiError::with(
            ProblemCode::Unavailable,
            format!("Too many {} just now; try again in a moment.", turns.work),
        ))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.present.fetch_sub(1, Ordering::Relaxed);
    }
}

fn internal(work: &str, error: &dyn std::fmt::Display) -> ApiError {
    tracing::error!(work, %error, "work cannot be done");
    ApiError::new(ProblemCode::Internal)
}
