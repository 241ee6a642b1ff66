//! What the tests share: worlds with a queue, consumers, a private Redis.

use std::{
    future::Future,
    net::TcpListener,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use restroy_run_queue::{
    memory::MemoryQueue,
    queue::{Handler, Message, Queue},
    redis::{RedisOptions, RedisQueue},
};
use restroy_sdk::{ids::TaskId, time::Ambient};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};
use uuid::Uuid;

/// Long enough for any machine; a test that gets here has failed.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it does not happen")
}

/// For what cannot be awaited otherwise.
pub(crate) async fn eventually(holds: impl Fn() -> bool) {
    within(async {
        while !holds() {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

pub(crate) fn message(n: u128) -> Message {
    Message { task_id: TaskId(Uuid::from_u128(n)) }
}

pub(crate) fn number(message: Message) -> u128 {
    message.task_id.0.as_u128()
}

/// The Redis that all tests share.
pub(crate) fn shared_url() -> String {
    std::env::var("TEST_REDIS_URL").expect("TEST_REDIS_URL is not set: run the tests through ./test or ./with-services")
}

/// A prefix that nobody else uses.
pub(crate) fn prefix() -> String {
    format!("test-{}", Ambient::system().uuid())
}

/// A queue that several processes could share.
pub(crate) enum World {
    Memory(Arc<MemoryQueue>),
    Redis(Box<RedisOptions>, usize),
}

impl World {
    pub(crate) fn memory(capacity: usize) -> Self {
        Self::Memory(Arc::new(MemoryQueue::with_capacity(capacity)))
    }

    pub(crate) fn redis(capacity: usize) -> Self {
        Self::Redis(Box::new(RedisOptions::new(&shared_url(), &prefix()).unwrap()), capacity)
    }

    /// One more end of it, ready to push.
    pub(crate) async fn end(&self) -> Arc<dyn Queue> {
        match self {
            Self::Memory(queue) => Arc::clone(queue) as _,
            Self::Redis(options, capacity) => {
                let queue = RedisQueue::with_capacity(options, *capacity);
                within(queue.until_connected()).await;
                Arc::new(queue)
            }
        }
    }
}

/// A consumer running.
pub(crate) struct Consumer {
    stop: Option<oneshot::Sender<()>>,
    pub(crate) end: JoinHandle<()>,
}

impl Consumer {
    pub(crate) fn start(queue: &Arc<dyn Queue>, slots: usize, handler: Handler) -> Self {
        let (stop, stopped) = oneshot::channel();
        let queue = Arc::clone(queue);
        let end = tokio::spawn(async move {
            let stopped = Box::pin(async move {
                let _ = stopped.await;
            });
            queue.consume(slots, handler, stopped).await;
        });
        Self { stop: Some(stop), end }
    }

    /// Reports it to stop.
    pub(crate) fn stop(&mut self) {
        self.stop.take().expect("it was stopped before").send(()).expect("it ended by itself");
    }

    /// Reports it to stop and waits until it has.
    pub(crate) async fn stopped(mut self) {
        self.stop();
        within(self.end).await.unwrap();
    }
}

/// A handler that describes each message.
pub(crate) fn telling() -> (Handler, mpsc::UnboundedReceiver<u128>) {
    let (seen, arrivals) = mpsc::unbounded_channel();
    let handler: Handler = Arc::new(move |message| {
        let seen = seen.clone();
        Box::pin(async move {
            let _ = seen.send(number(message));
        })
    });
    (handler, arrivals)
}

/// A handler that describes each message and ends when it is let.
pub(crate) struct Gated {
    pub(crate) handler: Handler,
    pub(crate) arrivals: mpsc::UnboundedReceiver<u128>,
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) running: Arc<AtomicUsize>,
    pub(crate) most: Arc<AtomicUsize>,
    pub(crate) finished: mpsc::UnboundedReceiver<u128>,
}

pub(crate) fn gated() -> Gated {
    let gate = Arc::new(Semaphore::new(0));
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (seen, arrivals) = mpsc::unbounded_channel();
    let (done, finished) = mpsc::unbounded_channel();
    let handler: Handler = {
        let (gate, running, most) = (Arc::clone(&gate), Arc::clone(&running), Arc::clone(&most));
        Arc::new(move |message| {
            let (gate, running, most) = (Arc::clone(&gate), Arc::clone(&running), Arc::clone(&most));
            let (seen, done) = (seen.clone(), done.clone());
            Box::pin(async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let _ = seen.send(number(message));
                gate.acquire().await.unwrap().forget();
                running.fetch_sub(1, Ordering::SeqCst);
                let _ = done.send(number(message));
            })
        })
    };
    Gated { handler, arrivals, gate, running, most, finished }
}

/// A `redis-server` of one test. Killed with it.
pub(crate) struct PrivateRedis {
    folder: TempDir,
    port: u16,
    password: Option<&'static str>,
    server: Option<(Child, Lines<BufReader<ChildStdout>>)>,
}

impl PrivateRedis {
    pub(crate) async fn start() -> Self {
        Self::with_password(None).await
    }

    pub(crate) async fn with_password(password: Option<&'static str>) -> Self {
        let mut redis = Self { folder: TempDir::new().unwrap(), port: 0, password, server: None };
        // Somebody may take the port between its choice and its use.
        for _ in 0..20 {
            redis.port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
            if redis.launch().await {
                return redis;
            }
        }
        panic!("redis-server does not start");
    }

    /// Starts it again, on the same port, with what was saved.
    pub(crate) async fn again(&mut self) {
        assert!(self.launch().await, "redis-server does not start again");
    }

    async fn launch(&mut self) -> bool {
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &self.port.to_string()])
            .arg("--dir")
            .arg(self.folder.path())
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if let Some(password) = self.password {
            command.args(["--requirepass", password]);
        }
        let mut child = command.spawn().expect("redis-server must be on the PATH");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        within(async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("Ready to accept connections") {
                    self.server = Some((child, lines));
                    return true;
                }
            }
            false
        })
        .await
    }

    /// Kills it at once.
    pub(crate) async fn kill(&mut self) {
        let (mut child, _) = self.server.take().expect("it runs");
        child.kill().await.unwrap();
    }

    pub(crate) fn url(&self) -> String {
        let user = self.password.map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis://{user}127.0.0.1:{}", self.port)
    }

    pub(crate) fn options(&self) -> RedisOptions {
        RedisOptions::new(&self.url(), &prefix()).unwrap()
    }

    /// A connection for what an operator does.
    pub(crate) async fn connection(&self) -> redis::aio::MultiplexedConnection {
        connection(&self.url()).await
    }
}

pub(crate) async fn connection(url: &str) -> redis::aio::MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// The keys that begin with a prefix.
pub(crate) async fn keys(connection: &mut redis::aio::MultiplexedConnection, prefix: &str) -> Vec<String> {
    redis::cmd("KEYS").arg(format!("{prefix}*")).query_async(connection).await.unwrap()
}
