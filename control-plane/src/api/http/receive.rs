//! Bodies on their way in: each has a deadline and a least rate, and all together a bound, so that nobody
//! holds the process's memory by sending slowly. What is built from a body counts apart ([`RequestMemory::reserve_tree`]): it
//! may take many times as much.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http_body::{Frame, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep_until},
};

use crate::state::Settings;

/// How much longer a body may take for each second's worth of bytes that came: the least rate, in bytes.
const LEAST_RATE: u64 = 32 * 1024;

/// The bounds of a router's bodies. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct BodyBounds {
    /// Bytes that may still come.
    room: Arc<Semaphore>,
    /// Bytes that trees of JSON may still take.
    trees: Arc<Semaphore>,
    trees_bytes: u32,
    /// How long a body may take, beside the time that its bytes take at the least rate.
    patience: Duration,
}

impl BodyBounds {
    pub(super) fn new(settings: &Settings) -> Self {
        let trees_bytes = u32::try_from(settings.bodies_bytes / 2).unwrap_or(u32::MAX);
        Self {
            room: Arc::new(Semaphore::new(settings.bodies_bytes)),
            trees: Arc::new(Semaphore::new(trees_bytes as usize)),
            trees_bytes,
            patience: settings.body_patience,
        }
    }
}

/// Why a body was not received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReceiveError {
    #[error("the body did not come in time")]
    Slow,
    #[error("the bodies of too many requests are under way")]
    Full,
}

/// Receives a request's body within the bounds. What was read of it counts until the answer is there: so
/// long it is kept.
pub(super) async fn receive(State(bounds): State<BodyBounds>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let held = RequestMemory { permits: Arc::default(), bounds: bounds.clone() };
    let begun = Instant::now();
    let body = MeteredBody {
        body,
        held: held.clone(),
        sleep: Box::pin(sleep_until(begun + bounds.patience)),
        deadline: begun + bounds.patience,
        bounds,
    };
    let mut request = Request::from_parts(parts, Body::new(body));
    request.extensions_mut().insert(held.clone());
    let response = next.run(request).await;
    held.release();
    response
}

/// A tree of JSON that takes no more than this is not counted: as much is used for any request.
const SMALL_TREE: usize = 256 * 1024;
/// How long a request waits until its tree has room.
const TREE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a request holds of the process's memory until its answer is there. An extension of each request
/// that has a body.
#[derive(Debug, Clone)]
pub(super) struct RequestMemory {
    permits: Arc<Mutex<HeldPermits>>,
    bounds: BodyBounds,
}

#[derive(Debug, Default)]
struct HeldPermits {
    bytes: Option<OwnedSemaphorePermit>,
    tree: Option<OwnedSemaphorePermit>,
}

impl RequestMemory {
    /// Counts what a tree of JSON will take, in bytes. Waits until there is room, for so long; one that is larger
    /// than all the room has all of it.
    pub(super) async fn reserve_tree(&self, bytes: usize) -> Result<(), ReceiveError> {
        if bytes <= SMALL_TREE {
            return Ok(());
        }
        // A request that is done again has its room again, not twice.
        self.lock().tree = None;
        let number = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.bounds.trees_bytes);
        let room = Arc::clone(&self.bounds.trees).acquire_many_owned(number);
        let permit = tokio::time::timeout(TREE_TIMEOUT, room).await.map_err(|_| ReceiveError::Full)?;
        self.lock().tree = Some(permit.map_err(|_| ReceiveError::Full)?);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HeldPermits> {
        self.permits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self) {
        *self.lock() = HeldPermits::default();
    }
}

struct MeteredBody {
    body: Body,
    bounds: BodyBounds,
    /// The bytes that came.
    held: RequestMemory,
    deadline: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl MeteredBody {
    /// Counts bytes that came.
    fn count(&mut self, bytes: usize) -> Result<(), ReceiveError> {
        let number = u32::try_from(bytes).map_err(|_| ReceiveError::Full)?;
        let permit = Arc::clone(&self.bounds.room).try_acquire_many_owned(number).map_err(|_| ReceiveError::Full)?;
        let mut held = self.held.lock();
        match held.bytes.as_mut() {
            Some(held) => held.merge(permit),
            None => held.bytes = Some(permit),
        }
        drop(held);
        self.deadline += Duration::from_micros(u64::from(number) * 1_000_000 / LEAST_RATE);
        self.sleep.as_mut().reset(self.deadline);
        Ok(())
    }
}

impl HttpBody for MeteredBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let refused = |refused| Poll::Ready(Some(Err(axum::Error::new(refused))));
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => match self.count(frame.data_ref().map_or(0, Bytes::len)) {
                Ok(()) => Poll::Ready(Some(Ok(frame))),
                Err(full) => refused(full),
            },
            Poll::Pending if self.sleep.as_mut().poll(context).is_ready() => refused(ReceiveError::Slow),
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
