//! The parent's workers: started from the zygote, kept for their owner for a while, killed.
//!
//! A thread of its own talks to the zygote and keeps watch: it kills workers that are past their time
//! even where every other thread of this process is busy.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Signal, pidfd_send_signal};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::sockets::{message_pair, receive, sealed_file, send, set_receive_timeout};
use super::zygote::{MAX_MESSAGE, order};
use super::{ProcessConfig, Report};
use crate::meter::WallClock;
use crate::shares::Owner;
use crate::{EngineError, Limits};

/// How often the watch looks.
const WATCH: Duration = Duration::from_millis(250);
/// How long after its time a worker may still live: whoever waits for it should have killed it.
const GRACE: Duration = Duration::from_secs(1);
/// How long a worker waits for work of its owner. What it holds of that owner ends with it.
const IDLE_TIME: Duration = Duration::from_secs(10);
/// Processor time after which a worker is not used again.
const WORN_OUT: Duration = Duration::from_mins(1);
/// Workers without an owner that are kept ready, if as many may be idle.
const SPARE: usize = 2;
/// How long the zygote may take for an answer.
const ANSWER: Duration = Duration::from_secs(20);
/// For how long it is tried to get a worker.
const RETRYING: Duration = Duration::from_secs(5);
/// How long a zygote that cannot be started is left alone.
const RESTART: Duration = Duration::from_secs(1);

/// A worker process. Dropped, it is killed.
pub(super) struct Worker {
    pub(super) channel: Option<UnixStream>,
    /// Whether a sandbox ended in it.
    pub(super) has_served: bool,
    process: Arc<Process>,
}

/// A process that can be killed and whose time can be told.
pub(super) struct Process {
    descriptor: OwnedFd,
    clock: libc::clockid_t,
}

impl Process {
    fn kill(&self) {
        // It may have ended by itself.
        let _ = pidfd_send_signal(&self.descriptor, Signal::KILL);
    }

    /// Whether it has ended.
    fn is_over(&self) -> bool {
        let mut ready = libc::pollfd { fd: self.descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: reads and writes the structure, which outlives the call, and does not wait.
        unsafe { libc::poll(&raw mut ready, 1, 0) > 0 }
    }

    /// Processor time so far. Zero when it is gone.
    pub(super) fn cpu(&self) -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: writes the structure, which outlives the call.
        if unsafe { libc::clock_gettime(self.clock, &raw mut time) } != 0 {
            return Duration::ZERO;
        }
        Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}

impl Worker {
    pub(super) fn process(&self) -> &Arc<Process> {
        &self.process
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.process.kill();
    }
}

/// Worker processes. Cheap to clone; with the last clone all of them end.
#[derive(Clone)]
pub(crate) struct Workers(Arc<PoolShared>);

pub(super) struct PoolShared {
    orders: mpsc::Sender<ZygoteOrder>,
    pool: Arc<Mutex<IdlePool<Worker>>>,
    watched: Arc<WatchList>,
    report: Report,
    idle: usize,
}

enum ZygoteOrder {
    /// Somebody waits for a worker.
    Fork(oneshot::Sender<io::Result<Worker>>),
    /// A spare one was taken.
    Refill,
}

/// Workers without work.
struct IdlePool<W> {
    /// Each for its owner, the oldest first.
    idle: VecDeque<IdleWorker<W>>,
    /// Those that never had an owner.
    spare: Vec<W>,
}

struct IdleWorker<W> {
    owner: Owner,
    since: Instant,
    worker: W,
}

impl<W> Default for IdlePool<W> {
    fn default() -> Self {
        Self { idle: VecDeque::new(), spare: Vec::new() }
    }
}

/// A worker out of the pool.
#[derive(Debug, PartialEq, Eq)]
enum PooledWorker<W> {
    /// It served this owner and nobody else.
    Idle(W),
    /// It served nobody.
    Spare(W),
}

impl<W> IdlePool<W> {
    /// A worker for `owner`: never one that served another.
    fn take(&mut self, owner: Option<Owner>) -> Option<PooledWorker<W>> {
        if let Some(at) = self.idle.iter().rposition(|idle| Some(idle.owner) == owner)
            && let Some(idle) = self.idle.remove(at)
        {
            return Some(PooledWorker::Idle(idle.worker));
        }
        self.spare.pop().map(PooledWorker::Spare)
    }

    /// Keeps a worker for its owner. Gives the one that has to go, to be dropped outside of any lock.
    fn put(&mut self, owner: Owner, worker: W, most: usize) -> Option<W> {
        self.idle.push_back(IdleWorker { owner, since: Instant::now(), worker });
        if self.idle.len() > most { self.idle.pop_front().map(|idle| idle.worker) } else { None }
    }

    /// Takes out those that were idle for too long.
    fn expired(&mut self, most: Duration) -> Vec<W> {
        let mut expired = Vec::new();
        while self.idle.front().is_some_and(|idle| idle.since.elapsed() >= most) {
            expired.extend(self.idle.pop_front().map(|idle| idle.worker));
        }
        expired
    }
}

impl Workers {
    /// Starts a zygote with this machine code. Takes some milliseconds.
    pub(crate) fn start(config: &ProcessConfig, code: &[u8]) -> Result<Self, EngineError> {
        let failed = |error: io::Error| EngineError::new("starting the sandboxes' process", error);
        let code = sealed_file(code).map_err(failed)?;
        let zygote = Zygote::start(config, &code).map_err(failed)?;
        let report = zygote.report.clone();
        if !report.seccomp && !config.allow_partial {
            return Err(EngineError::new(
                "keeping sandboxes in processes of their own",
                "this kernel has no seccomp filters",
            ));
        }
        let (orders, receiver) = mpsc::channel();
        let pool = Arc::<Mutex<IdlePool<Worker>>>::default();
        let watched = Arc::<WatchList>::default();
        let keeper = ZygoteThread {
            config: config.clone(),
            code,
            zygote: Some(zygote),
            tried: Instant::now(),
            pool: Arc::clone(&pool),
            watched: Arc::clone(&watched),
        };
        std::thread::Builder::new()
            .name("sandbox-watch".to_owned())
            .spawn(move || keeper.run(&receiver))
            .map_err(failed)?;
        let _ = orders.send(ZygoteOrder::Refill);
        Ok(Self(Arc::new(PoolShared { orders, pool, watched, report, idle: config.idle })))
    }

    /// What keeps workers in.
    pub(crate) fn report(&self) -> &Report {
        &self.0.report
    }

    /// A worker that served nobody, or only `owner`. Where none can be started it tries again for a while: the
    /// zygote may be on its way back.
    pub(super) async fn get(&self, owner: Option<Owner>) -> io::Result<Worker> {
        let start = Instant::now();
        loop {
            match self.try_get(owner).await {
                Err(error) if start.elapsed() < RETRYING => {
                    tracing::debug!(%error, "no worker; it is tried again");
                    tokio::time::sleep(WATCH).await;
                }
                got => return got,
            }
        }
    }

    async fn try_get(&self, owner: Option<Owner>) -> io::Result<Worker> {
        loop {
            let taken = self.pool().take(owner);
            let worker = match taken {
                Some(PooledWorker::Idle(worker)) => worker,
                Some(PooledWorker::Spare(worker)) => {
                    let _ = self.0.orders.send(ZygoteOrder::Refill);
                    worker
                }
                None => break,
            };
            // The kernel may have ended it meanwhile, where memory is short.
            if !worker.process.is_over() {
                return Ok(worker);
            }
        }
        let gone = || io::Error::other("the thread that starts workers is gone");
        let (sender, receiver) = oneshot::channel();
        self.0.orders.send(ZygoteOrder::Fork(sender)).map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }

    /// Keeps a worker for its owner's next sandbox, if there is room.
    pub(super) fn put(&self, owner: Option<Owner>, worker: Worker) {
        let Some(owner) = owner.filter(|_| worker.process.cpu() < WORN_OUT) else { return };
        let too_many = self.pool().put(owner, worker, self.0.idle);
        drop(too_many);
    }

    /// Has a worker killed that is past its time and still there.
    pub(super) fn watch(
        &self,
        worker: &Worker,
        limits: &Limits,
        clock: &WallClock,
        cancel: &CancellationToken,
    ) -> WatchGuard {
        let id = self.0.watched.next.fetch_add(1, Ordering::Relaxed);
        let entry = WatchEntry {
            process: Arc::clone(&worker.process),
            cpu_until: worker.process.cpu() + limits.cpu_time + GRACE,
            start: tokio::time::Instant::now(),
            wall: limits.wall_time + GRACE,
            clock: clock.clone(),
            cancel: cancel.clone(),
            cancelled: None,
        };
        self.0.watched.entries().insert(id, entry);
        WatchGuard { watched: Arc::clone(&self.0.watched), id }
    }

    fn pool(&self) -> MutexGuard<'_, IdlePool<Worker>> {
        self.0.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The busy workers.
#[derive(Default)]
struct WatchList {
    next: AtomicU64,
    entries: Mutex<HashMap<u64, WatchEntry>>,
}

struct WatchEntry {
    process: Arc<Process>,
    cpu_until: Duration,
    start: tokio::time::Instant,
    wall: Duration,
    clock: WallClock,
    cancel: CancellationToken,
    /// When a cancel was seen first.
    cancelled: Option<Instant>,
}

impl WatchList {
    fn entries(&self) -> MutexGuard<'_, HashMap<u64, WatchEntry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kill_overdue(&self) {
        for entry in self.entries().values_mut() {
            let cancelled =
                entry.cancel.is_cancelled() && entry.cancelled.get_or_insert_with(Instant::now).elapsed() > GRACE;
            let late = entry.clock.stopped().is_some_and(|stopped| entry.start.elapsed() > entry.wall + stopped);
            if cancelled || late || entry.process.cpu() > entry.cpu_until {
                entry.process.kill();
            }
        }
    }
}

/// Ends the watch when dropped.
pub(super) struct WatchGuard {
    watched: Arc<WatchList>,
    id: u64,
}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        self.watched.entries().remove(&self.id);
    }
}

/// The thread that talks to the zygote.
struct ZygoteThread {
    config: ProcessConfig,
    code: OwnedFd,
    zygote: Option<Zygote>,
    /// When one was started last.
    tried: Instant,
    pool: Arc<Mutex<IdlePool<Worker>>>,
    watched: Arc<WatchList>,
}

impl ZygoteThread {
    fn run(mut self, orders: &mpsc::Receiver<ZygoteOrder>) {
        let mut looked = Instant::now();
        loop {
            match orders.recv_timeout(WATCH.saturating_sub(looked.elapsed())) {
                Ok(ZygoteOrder::Fork(asked)) => {
                    // Nobody waits any more: then the worker is killed again.
                    let _ = asked.send(self.fork());
                }
                Ok(ZygoteOrder::Refill) => self.refill(),
                Err(RecvTimeoutError::Timeout) => {}
                // The engine is gone: zygote and workers end with their channels.
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if looked.elapsed() >= WATCH {
                looked = Instant::now();
                self.watched.kill_overdue();
                self.drop_expired();
            }
        }
    }

    fn fork(&mut self) -> io::Result<Worker> {
        let forked = self.zygote()?.fork();
        if let Err(error) = &forked {
            tracing::error!(%error, "the process that sandboxes are started from does not answer; it is started anew");
            self.zygote = None;
        }
        forked
    }

    fn zygote(&mut self) -> io::Result<&mut Zygote> {
        if self.zygote.is_none() {
            let left = RESTART.saturating_sub(self.tried.elapsed());
            if !left.is_zero() {
                return Err(io::Error::other("the process that sandboxes are started from has ended"));
            }
            self.tried = Instant::now();
            self.zygote = Some(Zygote::start(&self.config, &self.code)?);
        }
        self.zygote.as_mut().ok_or_else(|| io::Error::other("no zygote"))
    }

    /// Workers that are ready before somebody asks.
    fn refill(&mut self) {
        let spare = SPARE.min(self.config.idle);
        loop {
            let there = self.pool.lock().unwrap_or_else(PoisonError::into_inner).spare.len();
            if there >= spare {
                return;
            }
            match self.fork() {
                Ok(worker) => self.pool.lock().unwrap_or_else(PoisonError::into_inner).spare.push(worker),
                Err(error) => {
                    tracing::warn!(%error, "no worker can be started ahead");
                    return;
                }
            }
        }
    }

    fn drop_expired(&mut self) {
        let expired = self.pool.lock().unwrap_or_else(PoisonError::into_inner).expired(IDLE_TIME);
        drop(expired);
        if let Some(zygote) = &mut self.zygote
            && zygote.reap().is_err()
        {
            self.zygote = None;
        }
        if self.zygote.is_none() && self.zygote().is_ok() {
            self.refill();
        }
    }
}

/// The process that workers are forked from.
pub(super) struct Zygote {
    control: OwnedFd,
    process: Child,
    pub(super) report: Report,
}

impl Zygote {
    pub(super) fn start(config: &ProcessConfig, code: &OwnedFd) -> io::Result<Self> {
        let (control, theirs) = message_pair()?;
        let process = Command::new(&config.program)
            .args(&config.args)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        // A program that is not what it should be must not hold up the start for ever.
        set_receive_timeout(control.as_fd(), ANSWER)?;
        let mut zygote = Self { control, process, report: Report::default() };
        send(zygote.control.as_fd(), &[order::CODE], Some(code.as_fd()))?;
        let mut message = [0; MAX_MESSAGE];
        let (length, _) = receive(zygote.control.as_fd(), &mut message)?;
        if length == 0 {
            return Err(io::Error::other("it ended at once"));
        }
        zygote.report = serde_json::from_slice(&message[..length])?;
        Ok(zygote)
    }

    pub(super) fn fork(&mut self) -> io::Result<Worker> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        send(self.control.as_fd(), &[order::FORK], Some(theirs.as_fd()))?;
        drop(theirs);
        let mut message = [0; MAX_MESSAGE];
        let (length, descriptor) = receive(self.control.as_fd(), &mut message)?;
        let number = message[..length].try_into().map(i32::from_le_bytes);
        let (Ok(number), Some(descriptor)) = (number, descriptor) else {
            return Err(io::Error::other("it cannot fork"));
        };
        let mut clock = 0;
        // SAFETY: writes the number of a clock, which outlives the call.
        let found = unsafe { libc::clock_getcpuclockid(number, &raw mut clock) };
        let worker =
            Worker { channel: Some(ours), has_served: false, process: Arc::new(Process { descriptor, clock }) };
        if found == 0 { Ok(worker) } else { Err(io::Error::from_raw_os_error(found)) }
    }

    fn reap(&mut self) -> io::Result<()> {
        send(self.control.as_fd(), &[order::REAP], None)
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Owner = Owner(1);
    const B: Owner = Owner(2);

    #[test]
    fn a_worker_serves_one_owner_and_no_other() {
        let mut pool = IdlePool::default();
        assert_eq!(pool.take(Some(A)), None);
        assert_eq!(pool.put(A, "a", 2), None);
        assert_eq!(pool.take(Some(B)), None);
        assert_eq!(pool.take(None), None, "nobody's sandbox has a worker of its own");
        pool.spare.push("new");
        assert_eq!(pool.take(Some(B)), Some(PooledWorker::Spare("new")));
        assert_eq!(pool.take(Some(A)), Some(PooledWorker::Idle("a")));
        assert_eq!(pool.take(Some(A)), None);
    }

    #[test]
    fn the_idle_are_few_and_not_for_long() {
        let mut pool = IdlePool::default();
        assert_eq!(pool.put(A, "a1", 0), Some("a1"), "none is kept");
        assert_eq!(pool.put(A, "a1", 2), None);
        assert_eq!(pool.put(A, "a2", 2), None);
        assert_eq!(pool.put(B, "b", 2), Some("a1"), "the oldest goes");
        assert_eq!(pool.take(Some(A)), Some(PooledWorker::Idle("a2")));
        assert_eq!(pool.expired(IDLE_TIME), Vec::<&str>::new());
        assert_eq!(pool.expired(Duration::ZERO), vec!["b"]);
    }
}
