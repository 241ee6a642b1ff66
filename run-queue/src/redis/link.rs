//! A connection that is always there or about to be: one task connects, subscribes, notices that the
//! connection is gone, and connects again.
//!
//! The client library's own connection manager reconnects too, but it holds callers up while it tries, and cannot
//! say when a subscription stands again. Here a caller either gets a connection at once or is informed that there
//! is none, and the [`ConnectionObserver`] learns of every gap.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, PushInfo, PushKind, RedisError, RedisResult, ServerErrorKind, Value,
    aio::MultiplexedConnection,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long an answer may take before the connection counts as lost.
const ANSWER: Duration = Duration::from_secs(5);
/// How often Redis is asked whether it is there.
const PROBE: Duration = Duration::from_secs(5);
/// The pauses between attempts to connect, from the first to the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// The pause after Redis refused a command.
pub(super) const RETRY: Duration = Duration::from_millis(500);
/// A connection that stood for so long was a good one: the next outage begins with a short pause.
const STOOD: Duration = Duration::from_secs(5);

/// Who listens on a link.
pub(super) trait ConnectionObserver: Send + Sync + 'static {
    /// Something was said on one of the link's channels. Must not block.
    fn on_message(&self, payload: &[u8]);
    /// The link stands, for the first time or again: what was said before was not heard.
    fn on_connected(&self);
}

/// Listens to nothing.
pub(super) struct NoopObserver;

impl ConnectionObserver for NoopObserver {
    fn on_message(&self, _: &[u8]) {}
    fn on_connected(&self) {}
}

/// What a link is for.
pub(super) struct LinkPurpose {
    /// In the log: "Redis does not answer: the queue waits for it".
    pub(super) what: &'static str,
    /// What it listens to.
    pub(super) channels: Vec<String>,
    /// Who listens.
    pub(super) ear: Arc<dyn ConnectionObserver>,
}

/// A connection that is kept up until this is dropped.
#[derive(Debug)]
pub(super) struct Link {
    connection: watch::Receiver<Option<MultiplexedConnection>>,
    doubt: Arc<Notify>,
    _stop: DropGuard,
}

impl Link {
    /// Starts to connect. Must be called within a tokio runtime.
    pub(super) fn start(client: &Client, purpose: LinkPurpose) -> Self {
        let (state, connection) = watch::channel(None);
        let (doubt, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let keeper = ConnectionTask { client: client.clone(), purpose, state, doubt: Arc::clone(&doubt) };
        tokio::spawn(stop.clone().run_until_cancelled_owned(keeper.run()));
        Self { connection, doubt, _stop: stop.drop_guard() }
    }

    /// The connection, if it stands.
    pub(super) fn connection(&self) -> Option<MultiplexedConnection> {
        self.connection.borrow().clone()
    }

    pub(super) fn connected(&self) -> bool {
        self.connection.borrow().is_some()
    }

    /// Waits until the connection stands, and gives it.
    pub(super) async fn standing(&self) -> Option<MultiplexedConnection> {
        // The other end lives as long as this does: there is always one in the end.
        let mut connection = self.connection.clone();
        connection.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// Says that a command failed: if that speaks against the connection, another one is made.
    pub(super) fn failed(&self, error: &RedisError) {
        let elsewhere = matches!(
            error.kind(),
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown | ServerErrorKind::BusyLoading)
        );
        if elsewhere || error.is_io_error() || error.is_timeout() || error.is_connection_dropped() {
            self.doubt.notify_one();
        }
    }
}

struct ConnectionTask {
    client: Client,
    purpose: LinkPurpose,
    state: watch::Sender<Option<MultiplexedConnection>>,
    doubt: Arc<Notify>,
}

impl ConnectionTask {
    async fn run(self) {
        let what = self.purpose.what;
        let mut pause = PAUSE.0;
        let mut said = false;
        loop {
            let closed = Arc::new(Notify::new());
            match self.connect(&closed).await {
                Ok(connection) => {
                    if said {
                        tracing::info!("Redis answers: {what} resumes");
                        said = false;
                    }
                    let since = Instant::now();
                    // In this order: who sees the link stand has been told what was missed.
                    self.purpose.ear.on_connected();
                    self.state.send_replace(Some(connection.clone()));
                    let error = self.run_until_closed(connection, &closed).await;
                    self.state.send_replace(None);
                    tracing::debug!(%error, "a connection to Redis is lost");
                    if since.elapsed() >= STOOD {
                        pause = PAUSE.0;
                        // Often a connection alone is lost, and the next attempt succeeds.
                        continue;
                    }
                }
                Err(error) if !said => {
                    tracing::warn!(%error, "Redis does not answer: {what} waits for it");
                    said = true;
                }
                Err(_) => {}
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn connect(&self, closed: &Arc<Notify>) -> RedisResult<MultiplexedConnection> {
        let (ear, gone) = (Arc::clone(&self.purpose.ear), Arc::clone(closed));
        let hear = move |said: PushInfo| {
            match said.kind {
                PushKind::Message => {
                    if let Some(Value::BulkString(payload)) = said.data.get(1) {
                        ear.on_message(payload);
                    }
                }
                PushKind::Disconnection => gone.notify_one(),
                _ => {}
            }
            Ok::<(), std::convert::Infallible>(())
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER))
            .set_response_timeout(Some(ANSWER))
            .set_push_sender(hear);
        let connecting = async {
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
            for channel in &self.purpose.channels {
                connection.subscribe(channel).await?;
            }
            Ok(connection)
        };
        timeout(ANSWER * 2, connecting)
            .await
            .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
    }

    /// Until the connection is gone, or good for nothing.
    async fn run_until_closed(&self, mut connection: MultiplexedConnection, closed: &Notify) -> RedisError {
        // What failed on the connection before says nothing about this one.
        let _ = self.doubt.notified().now_or_never();
        loop {
            tokio::select! {
                () = closed.notified() => return (ErrorKind::Io, "it was closed").into(),
                () = self.doubt.notified() => return (ErrorKind::Io, "a command failed").into(),
                () = sleep(PROBE) => {}
            }
            if let Err(error) = redis::cmd("PING").query_async::<()>(&mut connection).await {
                return error;
            }
        }
    }
}
