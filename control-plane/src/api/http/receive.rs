//! Bodies on their way in: each has a deadline and a least rate, and all together a bound, so that nobody
//! holds the process's memory by sending slowly.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
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
pub(super) struct Bounds {
    /// Bytes that may still come.
    room: Arc<Semaphore>,
    /// How long a body may take, beside the time that its bytes take at the least rate.
    patience: Duration,
}

impl Bounds {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { room: Arc::new(Semaphore::new(settings.bodies_bytes)), patience: settings.body_patience }
    }
}

/// Why a body was not received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("the body did not come in time")]
    Slow,
    #[error("the bodies of too many requests are under way")]
    Full,
}

/// Receives a request's body within the bounds. What was read of it counts until the answer is there: so
/// long it is kept.
pub(super) async fn receive(State(bounds): State<Bounds>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let held = Arc::new(Mutex::new(None));
    let begun = Instant::now();
    let body = Received {
        body,
        held: Arc::clone(&held),
        sleep: Box::pin(sleep_until(begun + bounds.patience)),
        deadline: begun + bounds.patience,
        bounds,
    };
    let response = next.run(Request::from_parts(parts, Body::new(body))).await;
    drop(held);
    response
}

struct Received {
    body: Body,
    bounds: Bounds,
    /// The bytes that came, as far as they are bounded.
    held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
    deadline: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Received {
    /// Counts bytes that came.
    fn count(&mut self, bytes: usize) -> Result<(), Refused> {
        let number = u32::try_from(bytes).map_err(|_| Refused::Full)?;
        let permit = Arc::clone(&self.bounds.room).try_acquire_many_owned(number).map_err(|_| Refused::Full)?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.as_mut() {
            Some(held) => held.merge(permit),
            None => *held = Some(permit),
        }
        drop(held);
        self.deadline += Duration::from_micros(u64::from(number) * 1_000_000 / LEAST_RATE);
        self.sleep.as_mut().reset(self.deadline);
        Ok(())
    }
}

impl HttpBody for Received {
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
            Poll::Pending if self.sleep.as_mut().poll(context).is_ready() => refused(Refused::Slow),
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
