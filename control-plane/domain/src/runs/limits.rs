//! What a run may take. Each limit is checked where the thing is made, and named when it is hit.

use std::time::Duration;

/// How long a lease lasts unless renewed, where the operator does not say otherwise.
pub const LEASE: Duration = Duration::from_secs(30);
/// A task whose lease was lost so often ends its run with `executor_lost`.
pub const MAX_LEASE_EXPIRIES: i64 = 3;
/// An admitted task that nobody claimed for so long is pushed again.
pub const UNCLAIMED_TIMEOUT: Duration = Duration::from_secs(10);
/// How many tasks may be with the queue and the executors at once, all teams together.
pub const MAX_IN_FLIGHT: i64 = 1_000;
/// How many tasks may be in flight for each slot of the executors that are there: enough that none
/// waits for the next admission, few enough that admission still decides who goes first.
pub const IN_FLIGHT_PER_SLOT: i64 = 4;
/// How many tasks may be in flight when no executor has said that it is there.
pub const MIN_IN_FLIGHT: i64 = 16;
/// An executor that was silent for so long does not count.
pub const EXECUTOR_SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// A run's parameters, as JSON, in bytes: the hard maximum.
pub const MAX_PARAMS: usize = 1024 * 1024;
/// The body of a batch of events, in bytes.
pub const MAX_BATCH: usize = 12 * 1024 * 1024;
/// Events in a batch.
pub const MAX_BATCH_EVENTS: usize = 10_000;
/// Text of one `step.output` event, in bytes, line ends counted.
pub const MAX_OUTPUT_CHUNK: usize = 32 * 1024;
/// What a script says about its progress, in bytes.
pub const MAX_PROGRESS_MESSAGE: usize = 4 * 1024;
/// What a step returns, as JSON, in bytes: the hard maximum.
pub const MAX_STEP_OUTPUT: usize = 4 * 1024 * 1024;
/// Items of a `for_each`: the hard maximum.
pub const MAX_ITEMS: u32 = 100_000;
/// Attempts at a step: the hard maximum.
pub const MAX_ATTEMPTS: u32 = 10;
/// The pause before another attempt.
pub const MAX_RETRY_DELAY: Duration = Duration::from_hours(24);
/// All events of a run, in bytes; beyond, the run fails with `event_limit`.
pub const MAX_RUN_EVENTS: i64 = 256 * 1024 * 1024;
/// How long a run may be active: from its start on, without the time that it is suspended.
pub const MAX_ACTIVE: Duration = Duration::from_hours(24);
/// How long a run may last in all, suspended or not.
pub const MAX_RUN_AGE: Duration = Duration::from_hours(400 * 24);
/// How long a run may wait to be taken on.
pub const MAX_QUEUED_AGE: Duration = Duration::from_hours(7 * 24);

/// The body of a call, in bytes.
pub const MAX_CALL: usize = 5 * 1024 * 1024;
/// A key of the key-value store, in bytes.
pub const MAX_KV_KEY: usize = 512;
/// What a `kv.list` answers, keys and values together, in bytes.
pub const MAX_KV_LIST: i64 = 1024 * 1024;
/// Entries in a page of a `kv.list`.
pub const MAX_KV_PAGE: u32 = 1_000;
/// Recipients of an e-mail.
pub const MAX_RECIPIENTS: usize = 50;
/// The subject of an e-mail, in bytes (RFC 5322, section 2.1.1).
pub const MAX_SUBJECT: usize = 998;
/// The text of an e-mail, and its HTML alternative, each, in bytes.
pub const MAX_EMAIL_BODY: usize = 1024 * 1024;
/// An artifact, in bytes.
pub const MAX_ARTIFACT: usize = 16 * 1024 * 1024;
/// All artifacts of a run, in bytes.
pub const MAX_RUN_ARTIFACT_BYTES: i64 = 64 * 1024 * 1024;
/// How many artifacts a run keeps.
pub const MAX_RUN_ARTIFACTS: i64 = 100;
/// How many may watch runs at once, in one process.
pub const MAX_WATCHERS: usize = 10_000;
/// How many streams one person may have open, in one process.
pub const MAX_WATCHERS_PER_USER: usize = 100;
/// Journaled calls of a run.
pub const MAX_JOURNAL_CALLS: i64 = 100_000;
/// The answers in a run's journal, in bytes.
pub const MAX_JOURNAL_BYTES: i64 = 64 * 1024 * 1024;
