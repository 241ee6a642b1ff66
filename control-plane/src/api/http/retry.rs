//! A request whose transaction failed without changing anything is done again: a serialisation
//! failure, a deadlock, a database that restarts are not the caller's business. What the request carries as
//! extensions is the same each time, so that what is counted of it ([`Counted`](crate::auth::rate::Counted)) is
//! counted once.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    middleware::Next,
    response::Response,
};
use http_body::{Frame, SizeHint};

use crate::error::RetrySafety;

/// How often a request is done again, and how long it waits before: twice as long each time.
const MAX_RETRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Does a request again while its answer says that it may be. A body is kept as it is read, chunk
/// by chunk and without a copy, bounded by the limits that its readers keep; one that was not read
/// to its end is not repeated.
pub(super) async fn retry(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    // A request without a body has been read to its end before it begins.
    let kept = Arc::new(Mutex::new(RecordedBody { chunks: Vec::new(), ended: body.is_end_stream() }));
    let first = Request::from_parts(parts.clone(), Body::new(RecordingBody { body, kept: Arc::clone(&kept) }));
    let mut response = next.clone().run(first).await;
    let mut pause = FIRST_PAUSE;
    for _ in 0..MAX_RETRIES {
        if response.extensions().get() != Some(&RetrySafety::AtOnce) {
            break;
        }
        let Some(body) = lock(&kept).replay() else { break };
        tokio::time::sleep(pause).await;
        pause *= 2;
        response = next.clone().run(Request::from_parts(parts.clone(), body)).await;
    }
    response
}

/// What was read of a body.
#[derive(Debug, Default)]
struct RecordedBody {
    chunks: Vec<Bytes>,
    ended: bool,
}

impl RecordedBody {
    /// The body once more, if all of it is here.
    fn replay(&self) -> Option<Body> {
        if !self.ended {
            return None;
        }
        Some(match self.chunks.as_slice() {
            [] => Body::empty(),
            [chunk] => Body::from(chunk.clone()),
            chunks => Body::from(chunks.concat()),
        })
    }
}

/// A body that keeps what is read of it.
struct RecordingBody {
    body: Body,
    kept: Arc<Mutex<RecordedBody>>,
}

impl HttpBody for RecordingBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let ended = self.body.is_end_stream();
        let mut kept = lock(&self.kept);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    kept.chunks.push(data.clone());
                }
                kept.ended = ended;
            }
            Poll::Ready(None) => kept.ended = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        drop(kept);
        polled
    }

    fn is_end_stream(&self) -> bool {
        let ended = self.body.is_end_stream();
        if ended {
            lock(&self.kept).ended = true;
        }
        ended
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn lock(kept: &Mutex<RecordedBody>) -> std::sync::MutexGuard<'_, RecordedBody> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
