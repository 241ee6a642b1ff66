//! BullMQ: a job for a step; a chain is a flow in which each job waits for its only child.

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    SLOTS,
    peer::{Kind, cached},
    process::output,
};

const PACKAGE: &str = include_str!("../../peers/bullmq/package.json");
const LOCK: &str = include_str!("../../peers/bullmq/package-lock.json");
const WORKER: &str = include_str!("../../peers/bullmq/worker.js");
const PRODUCER: &str = include_str!("../../peers/bullmq/producer.js");

/// BullMQ with so many worker processes.
pub(crate) struct BullMq {
    pub(crate) workers: usize,
}

impl BullMq {
    /// The pinned version.
    pub(crate) fn version() -> String {
        let package: serde_json::Value = serde_json::from_str(PACKAGE).unwrap_or_default();
        package.pointer("/dependencies/bullmq").and_then(|version| version.as_str()).unwrap_or("?").to_owned()
    }

    fn node(&self, redis_url: &str, program: &str) -> Command {
        let mut command = Command::new("node");
        command
            .arg(program)
            .env("BENCH_REDIS_URL", redis_url)
            .env("BENCH_PREFIX", self.prefix())
            .env("NODE_ENV", "production");
        command
    }
}

impl Kind for BullMq {
    fn name(&self) -> String {
        format!("BullMQ, {} worker{}", self.workers, if self.workers == 1 { "" } else { "s" })
    }

    fn setting(&self) -> String {
        format!(
            "`node worker.js` ×{} with concurrency {SLOTS}: jobs as functions in the worker, without a sandbox; \
             `Queue.add` for one step, `FlowProducer.add` for ten; the end is known from `QueueEvents`",
            self.workers
        )
    }

    fn prefix(&self) -> String {
        format!("bench-bullmq-{}-{}", std::process::id(), self.workers)
    }

    fn install(&self) -> Result<PathBuf, Box<dyn Error>> {
        let files =
            [("package.json", PACKAGE), ("package-lock.json", LOCK), ("worker.js", WORKER), ("producer.js", PRODUCER)];
        cached("bullmq", &files, LOCK, |folder| {
            let mut npm = Command::new("npm");
            // Not `npm ci`: the lock may lack optional packages of other platforms, which it would refuse.
            npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder);
            output(&mut npm).map_err(|error| {
                format!("{error}\nBullMQ needs Node 20 or newer, with npm, and a way to its registry")
            })?;
            Ok(())
        })
    }

    fn workers(&self, _: &Path, redis_url: &str) -> Vec<Command> {
        let command = || {
            let mut command = self.node(redis_url, "worker.js");
            command.arg(SLOTS.to_string());
            command
        };
        (0..self.workers).map(|_| command()).collect()
    }

    fn producer(&self, _: &Path, redis_url: &str) -> Command {
        self.node(redis_url, "producer.js")
    }
}
