//! `POST /run/v1/executors/signals`: an executor hears which of its tasks are not its own any more, at once.
//!
//! A signal is a hint: fences decide who may write. It is sent after the commit that it is about, by way of the
//! wake-ups. Where some may have been lost the answer ends, and the executor listens anew with what it holds.

use std::{collections::VecDeque, time::Duration};

use axum::{
    body::Body as Answer,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use restroy_run_queue::{
    run_api::{Listen, MAX_HELD, Signal},
    wake::Wake,
};
use restroy_sdk::{ids::ExecutorId, problem::ProblemCode};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Interval, MissedTickBehavior, interval},
};

use super::check_protocol;
use crate::{
    DomainError,
    api::http::Body,
    error::{ApiError, ApiResult},
    runs::executor::{self, Executor},
    state::AppState,
    streams::listeners::{CONNECTIONS_PER_EXECUTOR, ListenPermit},
};

/// How often an executor hears that the connection stands.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// After how many of those it is looked whether its credential is still good.
const RECHECK: u32 = 5;

/// Tells an executor which of its tasks are not its own any more.
pub(super) async fn signals(
    State(state): State<AppState>,
    Executor { id: executor, .. }: Executor,
    Body(listen): Body<Listen>,
) -> ApiResult<Response> {
    check_protocol(listen.protocol)?;
    if listen.held.len() > MAX_HELD {
        return Err(DomainError::invalid_field("/held", format!("at most {MAX_HELD} tasks")).into());
    }
    let permit = state.listeners.permit(executor).ok_or_else(|| {
        let detail = format!("The executor listens on {CONNECTIONS_PER_EXECUTOR} connections already: close one.");
        ApiError::with(ProblemCode::RateLimited, detail)
    })?;
    // Before the look: what happens after it is heard.
    let wake = state.wake.listen();
    let gone = executor::released_tasks(&state.db, executor, &listen.held).await?;
    let mut ticks = interval(ALIVE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let feed = SignalFeed { state, executor, wake, next: gone.into(), ticks, beats: 0, _permit: permit };
    let lines = stream::unfold(feed, |mut feed: SignalFeed| async move {
        let mut line = serde_json::to_vec(&feed.next().await?).ok()?;
        line.push(b'\n');
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(line)), feed))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Answer::from_stream(lines)).into_response())
}

/// What one executor hears.
struct SignalFeed {
    state: AppState,
    executor: ExecutorId,
    wake: Receiver<Wake>,
    /// What was gone before it listened.
    next: VecDeque<Signal>,
    ticks: Interval,
    beats: u32,
    _permit: ListenPermit,
}

impl SignalFeed {
    /// The next signal; none when the executor is to listen anew.
    async fn next(&mut self) -> Option<Signal> {
        if let Some(signal) = self.next.pop_front() {
            return Some(signal);
        }
        loop {
            tokio::select! {
                biased;
                () = self.state.stopping.cancelled() => return None,
                heard = self.wake.recv() => match heard {
                    Ok(Wake::Released { executor_id, task, reason }) if executor_id == self.executor => {
                        return Some(Signal::Released { task, reason });
                    }
                    Ok(Wake::Missed) | Err(RecvError::Closed) => return None,
                    Err(RecvError::Lagged(count)) => {
                        self.state.metrics.wake_ups_missed(count);
                        return None;
                    }
                    Ok(_) => {}
                },
                _ = self.ticks.tick() => {
                    self.beats += 1;
                    if self.beats.is_multiple_of(RECHECK) && !self.is_authorised().await {
                        return None;
                    }
                    return Some(Signal::Alive { complete: self.state.wake.connected() });
                }
            }
        }
    }

    /// Whether the executor may still listen. Where the database does not say, it has to ask itself.
    async fn is_authorised(&self) -> bool {
        executor::is_valid(&self.state, self.executor).await.unwrap_or(false)
    }
}
