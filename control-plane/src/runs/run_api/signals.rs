//! `POST /run/v1/executors/signals`: an executor hears which of its tasks are not its own any more, at once.
//! `POST /run/v1/tasks/{id}/stopped`: it confirms that it has stopped working on one.
//!
//! A signal is a hint: fences decide who may write. It is sent after the commit that it is about, by way of the
//! wake-ups. Where some may have been lost the answer ends, and the executor listens anew with what it holds.

use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json,
    body::Body as Answer,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use restroy_run_queue::{
    run_api::{HeldTask, Listen, MAX_HELD, ReleaseReason, Released, Signal},
    wake::Wake,
};
use restroy_sdk::{
    ids::{ExecutorId, Id as _, TaskId},
    problem::{FieldError, Problem, ProblemCode},
};
use sqlx::{query, query_as};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Interval, MissedTickBehavior, interval},
};

use super::heartbeat::check_protocol;
use crate::{
    api::http::{Body, Path},
    error::{ApiError, ApiResult},
    runs::{
        announce::Announcements,
        executors::{self, Executor},
    },
    sql,
    state::AppState,
    store::Tx,
};

/// How often an executor hears that the connection stands.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// After how many of those it is looked whether its credential is still good.
const RECHECK: u32 = 5;
/// How many connections of one executor may listen, in one process: a new one, and those that it lost.
const CONNECTIONS_PER_EXECUTOR: usize = 4;

/// Who listens, in this process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Listeners(Arc<Mutex<HashMap<ExecutorId, usize>>>);

/// A connection that listens, as long as it is held.
#[derive(Debug)]
struct ListenPermit {
    executor: ExecutorId,
    listeners: Listeners,
}

impl Listeners {
    fn permit(&self, executor: ExecutorId) -> Option<ListenPermit> {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = count.entry(executor).or_default();
        if *count >= CONNECTIONS_PER_EXECUTOR {
            return None;
        }
        *count += 1;
        Some(ListenPermit { executor, listeners: self.clone() })
    }
}

impl Drop for ListenPermit {
    fn drop(&mut self) {
        let mut count = self.listeners.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = count.entry(self.executor) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

pub(super) async fn signals(
    State(state): State<AppState>,
    Executor { id: executor, .. }: Executor,
    Body(listen): Body<Listen>,
) -> ApiResult<Response> {
    check_protocol(listen.protocol)?;
    if listen.held.len() > MAX_HELD {
        let fault = FieldError::new("/held", format!("at most {MAX_HELD} tasks"));
        return Err(Problem::new(ProblemCode::Invalid).errors(vec![fault]).into());
    }
    let permit = state.listeners.permit(executor).ok_or_else(|| {
        let detail = format!("The executor listens on {CONNECTIONS_PER_EXECUTOR} connections already: close one.");
        ApiError::with(ProblemCode::RateLimited, detail)
    })?;
    // Before the look: what happens after it is heard.
    let wake = state.wake.listen();
    let gone = released_tasks(&mut state.db.system_read().await?, executor, &listen.held).await?;
    let mut ticks = interval(ALIVE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let feed = SignalFeed { state, executor, wake, next: gone, ticks, beats: 0, _permit: permit };
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
        executors::is_valid(&self.state, self.executor).await.unwrap_or(false)
    }
}

/// Which of the tasks that an executor names are not its own any more.
async fn released_tasks(tx: &mut Tx, executor: ExecutorId, held: &[HeldTask]) -> ApiResult<VecDeque<Signal>> {
    let asked: HashSet<TaskId> = held.iter().map(|task| task.task_id).collect();
    let rows: Vec<(TaskId, i64, String, Option<ExecutorId>)> = match tx {
        Tx::Sqlite(tx, _) => {
            let mut rows = Vec::with_capacity(asked.len());
            for id in asked {
                let row = query_as("SELECT id, fence, state, owner FROM tasks WHERE id = $1").bind(id);
                rows.extend(row.fetch_optional(&mut **tx).await?);
            }
            rows
        }
        Tx::Postgres(tx, _) => {
            query_as("SELECT id, fence, state, owner FROM tasks WHERE id = ANY($1)")
                .bind(asked.iter().map(|id| id.uuid()).collect::<Vec<_>>())
                .fetch_all(&mut **tx)
                .await?
        }
    };
    let known: HashMap<TaskId, _> =
        rows.into_iter().map(|(id, fence, state, owner)| (id, (fence, state, owner))).collect();
    let gone = held.iter().filter_map(|task| {
        let reason = match known.get(&task.task_id) {
            // A task that is not there went with its run.
            None => ReleaseReason::Ended,
            Some((_, state, _)) if state == "done" => ReleaseReason::Ended,
            Some((fence, state, owner)) if state == "leased" && *fence == task.fence && *owner == Some(executor) => {
                return None;
            }
            Some(_) => ReleaseReason::Taken,
        };
        Some(Signal::Released { task: *task, reason })
    });
    Ok(gone.collect())
}

pub(super) async fn stopped(
    State(state): State<AppState>,
    Executor { id: executor, .. }: Executor,
    Path(id): Path<TaskId>,
) -> ApiResult<Json<Released>> {
    let mut tx = state.db.system_write().await?;
    let done = sql!(
        &mut tx,
        execute,
        query(
            "UPDATE tasks SET draining_until = NULL
             WHERE id = $1 AND owner = $2 AND state = 'done' AND draining_until IS NOT NULL"
        )
        .bind(id)
        .bind(executor)
    )?;
    let mut announcements = Announcements::default();
    if done.rows_affected() > 0 {
        announcements.admit();
    }
    announcements.commit(tx, &state).await?;
    Ok(Json(Released {}))
}
