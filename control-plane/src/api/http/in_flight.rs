//! Counts requests under way.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http_body::{Frame, SizeHint};

use crate::{
    auth::PeerAddress,
    concurrency::in_flight::{CountedRequest, InFlightGuard},
    state::AppState,
};

/// Counts a request until its answer is out, and holds the answer to the budget. Probes are not counted.
pub(super) async fn limit_in_flight(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    if matches!(request.uri().path(), "/healthz" | "/readyz") {
        return next.run(request).await;
    }
    let flight = CountedRequest::default();
    let (parts, body) = request.into_parts();
    if let PeerAddress(Some(address)) = PeerAddress::from_parts(&parts, &state.settings.trusted_proxies)
        && let Err(refused) = flight.count_for_address(&state.in_flight, address)
    {
        return refused.into_response();
    }
    request = Request::from_parts(parts, body);
    request.extensions_mut().insert(flight.clone());
    let response = next.run(request).await;
    let response = state.answers.account_for(flight.account(), response).await;
    // What the handler kept of it counts no longer than the answer does.
    let guards = flight.take();
    response.map(|body| Body::new(CountedBody { body, _guards: guards }))
}

/// A body, and the request that it answers.
struct CountedBody {
    body: Body,
    _guards: Vec<InFlightGuard>,
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
