//! What this process counts and measures, for Prometheus.
//!
//! A [`Metrics`] is passed in like everything else; there is no global registry. What happens is
//! counted where it happens, after its transaction was committed; what stands (tasks, connections,
//! who leads) is looked up by [`scrape()`]. No label names a team, a person or anything of theirs:
//! labels are closed lists, so their number is bounded. `docs/metrics.md` lists every metric.

mod scrape;

use std::{borrow::Cow, sync::Arc, time::Duration};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};
use restroy_sdk::{status::RunStatus, time::Timestamp};
use tokio::sync::Mutex;

pub use scrape::{ProcessStats, scrape};

/// Upper bounds of what is quick, in seconds: requests.
const SHORT_BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Upper bounds of what may be long, in seconds: runs and their waiting.
const LONG_BUCKETS: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 86_400.0];

type Label = (&'static str, &'static str);
type Floating = Gauge<f64, std::sync::atomic::AtomicU64>;

/// The route of a request as it was declared, never the path as it came.
#[derive(Debug, Clone, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelSet)]
struct RouteLabels {
    route: Cow<'static, str>,
    method: &'static str,
}

/// How a request was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelSet)]
struct ResponseLabels {
    route: Cow<'static, str>,
    method: &'static str,
    status: u16,
}

/// What became of an attempt to send an e-mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailOutcome {
    /// The mail server took it.
    Sent,
    /// Not now: it is tried again.
    Retried,
    /// It is given up.
    Failed,
}

impl MailOutcome {
    const ALL: [Self; 3] = [Self::Sent, Self::Retried, Self::Failed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Retried => "retried",
            Self::Failed => "failed",
        }
    }
}

/// The counters of a process. Cheap to clone; all clones count together.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    requests: Family<ResponseLabels, Counter>,
    request_duration: Family<RouteLabels, Histogram>,
    runs_started: Counter,
    runs_ended: Family<[Label; 1], Counter>,
    run_wait: Histogram,
    run_duration: Histogram,
    tasks: Family<[Label; 1], Gauge>,
    tasks_admitted: Counter,
    leases_lost: Counter,
    push_failures: Counter,
    run_events: Counter,
    watchers: Gauge,
    watched_runs: Gauge,
    answers_bytes: Gauge,
    mails: Family<[Label; 1], Counter>,
    mails_queued: Gauge,
    connections: Family<[Label; 1], Gauge>,
    database_up: Gauge,
    leader: Family<[(&'static str, String); 1], Gauge>,
    wake_ups_missed: Counter,
    redis_connected: Gauge,
    clock_offset: Floating,
    retention_runs: Counter,
    retention_rows: Counter,
    retention_last_success: Floating,
    /// One scrape at a time: the gauges of what stands are written by it.
    scraping: Mutex<()>,
}

/// The states of a task that are counted; those that are done are not.
const TASK_STATES: [&str; 4] = ["pending", "admitted", "leased", "waiting"];

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut inner = Inner {
            registry: Registry::default(),
            requests: Family::default(),
            request_duration: Family::new_with_constructor(|| Histogram::new(SHORT_BUCKETS)),
            runs_started: Counter::default(),
            runs_ended: Family::default(),
            run_wait: Histogram::new(LONG_BUCKETS),
            run_duration: Histogram::new(LONG_BUCKETS),
            tasks: Family::default(),
            tasks_admitted: Counter::default(),
            leases_lost: Counter::default(),
            push_failures: Counter::default(),
            run_events: Counter::default(),
            watchers: Gauge::default(),
            watched_runs: Gauge::default(),
            answers_bytes: Gauge::default(),
            mails: Family::default(),
            mails_queued: Gauge::default(),
            connections: Family::default(),
            database_up: Gauge::default(),
            leader: Family::default(),
            wake_ups_missed: Counter::default(),
            redis_connected: Gauge::default(),
            clock_offset: Floating::default(),
            retention_runs: Counter::default(),
            retention_rows: Counter::default(),
            retention_last_success: Floating::default(),
            scraping: Mutex::new(()),
        };
        inner.registry = inner.register();
        // What is known from the start is there from the start: a rate over a counter that appears with its first event
        // misses that event.
        for status in RunStatus::ALL.iter().filter(|status| status.is_terminal()) {
            let _ = inner.runs_ended.get_or_create(&[("status", status.as_str())]);
        }
        for outcome in MailOutcome::ALL {
            let _ = inner.mails.get_or_create(&[("outcome", outcome.as_str())]);
        }
        Self(Arc::new(inner))
    }

    /// A request was answered. `route` is the declared one, none when no route matched; `method` is a label of a
    /// closed list.
    pub fn request(&self, route: Option<&str>, method: &'static str, status: u16, took: Duration) {
        let route: Cow<'static, str> = route.map_or("unmatched".into(), |route| route.to_owned().into());
        self.0.requests.get_or_create(&ResponseLabels { route: route.clone(), method, status }).inc();
        self.0.request_duration.get_or_create(&RouteLabels { route, method }).observe(took.as_secs_f64());
    }

    /// A run was recorded.
    pub(crate) fn run_started(&self) {
        self.0.runs_started.inc();
    }

    /// An executor took a run on for the first time, so long after it was recorded.
    pub(crate) fn run_claimed(&self, waited: Duration) {
        self.0.run_wait.observe(waited.as_secs_f64());
    }

    /// A run ended, so long after an executor had taken it on, if one had.
    pub(crate) fn run_ended(&self, status: RunStatus, took: Option<Duration>) {
        self.0.runs_ended.get_or_create(&[("status", status.as_str())]).inc();
        if let Some(took) = took {
            self.0.run_duration.observe(took.as_secs_f64());
        }
    }

    /// Tasks were admitted.
    pub(crate) fn admitted(&self, count: usize) {
        self.0.tasks_admitted.inc_by(count as u64);
    }

    /// An executor lost a lease.
    pub(crate) fn lease_lost(&self) {
        self.0.leases_lost.inc();
    }

    /// The queue did not take a task's id.
    pub(crate) fn push_failed(&self) {
        self.0.push_failures.inc();
    }

    /// An executor's batch of events was recorded.
    pub(crate) fn events_recorded(&self, count: usize) {
        self.0.run_events.inc_by(count as u64);
    }

    /// An attempt to send an e-mail ended.
    pub(crate) fn mail(&self, outcome: MailOutcome) {
        self.0.mails.get_or_create(&[("outcome", outcome.as_str())]).inc();
    }

    /// A listener fell behind, and looks at everything instead.
    pub fn wake_ups_missed(&self, count: u64) {
        self.0.wake_ups_missed.inc_by(count);
    }

    /// A pass of the retention removed so much, and ended at that moment, unless it failed.
    pub(crate) fn retention(&self, runs: u64, rows: u64, ended: Option<Timestamp>) {
        self.0.retention_runs.inc_by(runs);
        self.0.retention_rows.inc_by(rows);
        if let Some(ended) = ended {
            #[allow(clippy::cast_precision_loss, reason = "whole seconds are exact for millions of years")]
            self.0.retention_last_success.set((ended.micros() / 1_000_000) as f64);
        }
    }

    /// By how much this process's clock was off when it was last compared with the database's, in
    /// microseconds; positive when the database's is ahead.
    pub(crate) fn clock_offset(&self, micros: i64) {
        #[allow(clippy::cast_precision_loss, reason = "a clock that is off by centuries is off")]
        self.0.clock_offset.set(micros as f64 / 1e6);
    }
}

impl Inner {
    fn register(&self) -> Registry {
        let mut all = Registry::with_prefix("restroy");
        all.register("build", "The running version", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        all.register(
            "http_requests",
            "Requests answered, by the route as declared, method and status",
            self.requests.clone(),
        );
        all.register_with_unit(
            "http_request_duration",
            "From a request's arrival to the beginning of its answer",
            Unit::Seconds,
            self.request_duration.clone(),
        );
        all.register("runs_started", "Runs recorded by this process", self.runs_started.clone());
        all.register("runs_ended", "Runs whose end this process recorded, by status", self.runs_ended.clone());
        all.register_with_unit(
            "run_queue_wait",
            "From the recording of a run to its first claim",
            Unit::Seconds,
            self.run_wait.clone(),
        );
        all.register_with_unit(
            "run_duration",
            "From the first claim of a run to its end",
            Unit::Seconds,
            self.run_duration.clone(),
        );
        all.register("tasks", "Tasks in the database that are not done, by state", self.tasks.clone());
        all.register("tasks_admitted", "Tasks that this process admitted", self.tasks_admitted.clone());
        all.register("leases_lost", "Executor leases that expired", self.leases_lost.clone());
        all.register(
            "queue_push_failures",
            "Task ids that the queue did not take; they are pushed again",
            self.push_failures.clone(),
        );
        all.register("run_events", "Events of runs recorded from executors' reports", self.run_events.clone());
        all.register("watchers", "Streams of runs open in this process", self.watchers.clone());
        all.register("watched_runs", "Runs watched in this process", self.watched_runs.clone());
        all.register("answers_bytes", "Bytes reserved for answers under way", self.answers_bytes.clone());
        all.register("mails", "Attempts of this process to send an e-mail, by outcome", self.mails.clone());
        all.register("mails_queued", "E-mails in the database that wait to be sent", self.mails_queued.clone());
        all.register(
            "database_connections",
            "Connections of this process to the database, by state",
            self.connections.clone(),
        );
        all.register("database_up", "1 when the database answered this scrape", self.database_up.clone());
        all.register("leader", "1 when this process holds the lease for the work", self.leader.clone());
        all.register(
            "wake_ups_missed",
            "Wake-ups that a listener in this process was too slow for",
            self.wake_ups_missed.clone(),
        );
        all.register("redis_connected", "1 when the connection to Redis stands", self.redis_connected.clone());
        all.register_with_unit(
            "database_clock_offset",
            "Offset of the database's clock from this machine's, when last measured",
            Unit::Seconds,
            self.clock_offset.clone(),
        );
        all.register("retention_runs", "Old runs that this process removed", self.retention_runs.clone());
        all.register(
            "retention_rows",
            "Rows of old runs that this process removed or, of e-mails, took off them",
            self.retention_rows.clone(),
        );
        all.register_with_unit(
            "retention_last_success_timestamp",
            "When this process last ended a pass of the retention, as Unix time; 0 when it never led it",
            Unit::Seconds,
            self.retention_last_success.clone(),
        );
        all
    }
}
