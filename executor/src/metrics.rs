//! What an executor counts and measures, for Prometheus.
//!
//! Passed in like everything else; there is no global registry. No label names a team, a run or
//! anything of theirs: labels are closed lists. `docs/metrics.md` lists every metric.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};
use restroy_sdk::status::StepStatus;

/// What [`Metrics::text`] is: OpenMetrics 1.0, section 4.1.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds in seconds, of what takes from a fraction of a millisecond to minutes.
const SECONDS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 900.0];

type Label = (&'static str, &'static str);

/// What came of asking for a task.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ClaimOutcome {
    /// It was handed out.
    Taken,
    /// Somebody else has it, or it is done.
    NotThere,
    /// The run API gave no answer, or none of use.
    Failed,
}

impl ClaimOutcome {
    const ALL: [Self; 3] = [Self::Taken, Self::NotThere, Self::Failed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::NotThere => "not_there",
            Self::Failed => "failed",
        }
    }
}

/// How a call of a script to the host ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CallOutcome {
    /// With an answer.
    Ok,
    /// With an error that the script can catch, or one that ended it.
    Error,
}

/// The counters of an executor. Cheap to clone; all clones count together.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    slots: Gauge,
    busy: Gauge,
    claims: Family<[Label; 1], Counter>,
    leases_lost: Counter,
    steps: Family<[Label; 1], Counter>,
    step_duration: Histogram,
    fuel: Counter,
    sandboxes: Gauge,
    host_calls: Family<[Label; 2], Counter>,
    reports: Counter,
    report_duration: Histogram,
    run_api_retries: Counter,
    heartbeats: Family<[Label; 1], Counter>,
    redis_connected: Gauge,
}

impl Metrics {
    /// All at zero.
    pub(crate) fn new(engine_id: &str, slots: u32) -> Self {
        let mut inner = Inner {
            registry: Registry::default(),
            slots: Gauge::default(),
            busy: Gauge::default(),
            claims: Family::default(),
            leases_lost: Counter::default(),
            steps: Family::default(),
            step_duration: Histogram::new(SECONDS),
            fuel: Counter::default(),
            sandboxes: Gauge::default(),
            host_calls: Family::default(),
            reports: Counter::default(),
            report_duration: Histogram::new(SECONDS),
            run_api_retries: Counter::default(),
            heartbeats: Family::default(),
            redis_connected: Gauge::default(),
        };
        inner.registry = inner.register(engine_id);
        inner.slots.set(slots.into());
        // What is known from the start is there from the start: a rate over a counter that appears with its first event
        // misses that event.
        for claimed in ClaimOutcome::ALL {
            let _ = inner.claims.get_or_create(&[("outcome", claimed.as_str())]);
        }
        for status in StepStatus::ALL.iter().filter(|status| status.is_terminal()) {
            let _ = inner.steps.get_or_create(&[("outcome", status.as_str())]);
        }
        for outcome in ["heard", "failed"] {
            let _ = inner.heartbeats.get_or_create(&[("outcome", outcome)]);
        }
        Self(Arc::new(inner))
    }

    /// All metrics as they are, in the form of [`CONTENT_TYPE`].
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(8 * 1024);
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.0.registry);
        text
    }

    /// Whether the connection to Redis stands.
    pub fn redis_connected(&self, connected: bool) {
        self.0.redis_connected.set(connected.into());
    }

    /// A slot is taken, for as long as the guard lives.
    pub(crate) fn busy(&self) -> GaugeGuard {
        GaugeGuard::new(&self.0.busy)
    }

    /// A task was asked for.
    pub(crate) fn claim(&self, claimed: ClaimOutcome) {
        self.0.claims.get_or_create(&[("outcome", claimed.as_str())]).inc();
    }

    /// A task's lease was lost, or given up.
    pub(crate) fn lease_lost(&self) {
        self.0.leases_lost.inc();
    }

    /// A sandbox is there, for as long as the guard lives.
    pub(crate) fn sandbox(&self) -> GaugeGuard {
        GaugeGuard::new(&self.0.sandboxes)
    }

    /// A sandbox used so much fuel, whatever became of it.
    pub(crate) fn fuel(&self, fuel: u64) {
        self.0.fuel.inc_by(fuel);
    }

    /// An attempt at a script ended.
    pub(crate) fn step(&self, status: StepStatus, took: Duration) {
        self.0.steps.get_or_create(&[("outcome", status.as_str())]).inc();
        self.0.step_duration.observe(took.as_secs_f64());
    }

    /// A script called the host. `method` is one of a closed list.
    pub(crate) fn host_call(&self, method: &'static str, called: CallOutcome) {
        let outcome = match called {
            CallOutcome::Ok => "ok",
            CallOutcome::Error => "error",
        };
        self.0.host_calls.get_or_create(&[("method", method), ("outcome", outcome)]).inc();
    }

    /// A batch was committed, so long after it was first sent.
    pub(crate) fn report(&self, took: Duration) {
        self.0.reports.inc();
        self.0.report_duration.observe(took.as_secs_f64());
    }

    /// A request about a task is sent again.
    pub(crate) fn run_api_retry(&self) {
        self.0.run_api_retries.inc();
    }

    /// A heartbeat was heard, or was not.
    pub(crate) fn heartbeat(&self, heard: bool) {
        let outcome = if heard { "heard" } else { "failed" };
        self.0.heartbeats.get_or_create(&[("outcome", outcome)]).inc();
    }
}

impl Inner {
    fn register(&self, engine_id: &str) -> Registry {
        let mut all = Registry::with_prefix("restroy_executor");
        all.register(
            "build",
            "The running version and its engine's id",
            Info::new([("version", env!("CARGO_PKG_VERSION").to_owned()), ("engine_id", engine_id.to_owned())]),
        );
        all.register("slots", "How many tasks the executor takes at once", self.slots.clone());
        all.register("busy_slots", "How many tasks it has in hand", self.busy.clone());
        all.register("claims", "Tasks asked for, by what came of it", self.claims.clone());
        all.register("leases_lost", "Tasks whose lease was lost or given up", self.leases_lost.clone());
        all.register("steps", "Attempts at scripts that ended, by how", self.steps.clone());
        all.register_with_unit(
            "step_duration",
            "From the start of an attempt's sandbox to its end",
            Unit::Seconds,
            self.step_duration.clone(),
        );
        all.register("fuel", "Fuel used by sandboxes", self.fuel.clone());
        all.register("sandboxes", "Sandboxes at this moment", self.sandboxes.clone());
        all.register("host_calls", "Calls of scripts to the host, by method and outcome", self.host_calls.clone());
        all.register("reports", "Batches of events that the control-plane committed", self.reports.clone());
        all.register_with_unit(
            "report_duration",
            "From a batch's first sending to its commit",
            Unit::Seconds,
            self.report_duration.clone(),
        );
        all.register("run_api_retries", "Requests about tasks that were sent again", self.run_api_retries.clone());
        all.register("heartbeats", "Heartbeats sent, by whether they were heard", self.heartbeats.clone());
        all.register("redis_connected", "1 when the connection to Redis stands", self.redis_connected.clone());
        all
    }
}

/// Counts in a gauge for as long as it lives.
#[derive(Debug)]
pub(crate) struct GaugeGuard(Gauge);

impl GaugeGuard {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}
