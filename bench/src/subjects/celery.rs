//! Celery: a task for a step, a `chain` of tasks for several.

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

const REQUIREMENTS: &str = include_str!("../../peers/celery/requirements.txt");
const APP: &str = include_str!("../../peers/celery/app.py");
const PRODUCER: &str = include_str!("../../peers/celery/producer.py");

/// What a Celery worker executes tasks in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pool {
    Threads,
    Prefork,
}

impl Pool {
    fn name(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Prefork => "prefork",
        }
    }
}

/// Celery with one worker of that pool.
pub(crate) struct Celery {
    pub(crate) pool: Pool,
}

impl Celery {
    /// The pinned version.
    pub(crate) fn version() -> &'static str {
        REQUIREMENTS.lines().find_map(|line| line.strip_prefix("celery==")).unwrap_or("?")
    }

    fn environment(&self, folder: &Path, redis_url: &str, program: &str) -> Command {
        let mut command = Command::new(folder.join("venv/bin").join(program));
        command.env("BENCH_REDIS_URL", redis_url).env("BENCH_PREFIX", self.prefix()).env("PYTHONUNBUFFERED", "1");
        command
    }
}

impl Kind for Celery {
    fn name(&self) -> String {
        format!("Celery, {}", self.pool.name())
    }

    fn setting(&self) -> String {
        format!(
            "`celery -A app worker --pool {} --concurrency {SLOTS} --without-gossip --without-mingle \
             --without-heartbeat` ×1, hiredis; results in Redis, the end is known from its pub/sub",
            self.pool.name()
        )
    }

    fn prefix(&self) -> String {
        format!("bench-celery-{}-{}-", std::process::id(), self.pool.name())
    }

    fn install(&self) -> Result<PathBuf, Box<dyn Error>> {
        let files = [("requirements.txt", REQUIREMENTS), ("app.py", APP), ("producer.py", PRODUCER)];
        cached("celery", &files, REQUIREMENTS, |folder| {
            let needs =
                |error| format!("{error}\nCelery needs Python 3.10 or newer, with venv and pip, and a way to PyPI");
            let mut venv = Command::new("python3");
            venv.args(["-m", "venv", "--clear", "venv"]).current_dir(folder);
            output(&mut venv).map_err(needs)?;
            let mut pip = Command::new(folder.join("venv/bin/pip"));
            pip.args(["install", "--quiet", "--no-deps", "--requirement", "requirements.txt"]).current_dir(folder);
            output(&mut pip).map_err(needs)?;
            Ok(())
        })
    }

    fn workers(&self, folder: &Path, redis_url: &str) -> Vec<Command> {
        let mut command = self.environment(folder, redis_url, "celery");
        command.args(["-A", "app", "worker", "--pool", self.pool.name(), "--concurrency", &SLOTS.to_string()]).args([
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]);
        vec![command]
    }

    fn producer(&self, folder: &Path, redis_url: &str) -> Command {
        let mut command = self.environment(folder, redis_url, "python");
        command.arg("producer.py");
        command
    }
}
