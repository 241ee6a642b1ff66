//! Runs that are started one after another, while something happens to the services.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use restroy_sdk::{
    event::EventKind,
    ids::{PipelineId, RunId},
    time::Ambient,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    cluster::{Cluster, http},
    member::{Member, outputs},
    service::{eventually, within},
};
use crate::world::assert_gapless;

/// Between two starts of one starter, so that a slow machine keeps up.
const PACE: Duration = Duration::from_millis(60);
/// How long a control-plane may take to answer before the next is asked.
const ANSWER: Duration = Duration::from_secs(20);

/// Starts runs until it is asked to stop: a starter for each control-plane, which goes to the next one when it gets
/// no answer or 503, under the same idempotency key.
pub struct Load {
    pipeline: PipelineId,
    starter: Starter,
    starters: JoinSet<()>,
}

#[derive(Clone)]
struct Starter {
    path: String,
    token: String,
    urls: Vec<String>,
    accepted: Arc<Mutex<Vec<RunId>>>,
    stopped: Arc<AtomicBool>,
}

impl Load {
    /// Begins; `pipeline` is that of [`Member::push_counter`].
    pub fn start(member: &Member, pipeline: PipelineId, urls: &[&str]) -> Self {
        let starter = Starter {
            path: format!("v1/pipelines/{pipeline}/runs"),
            token: member.token.clone(),
            urls: urls.iter().map(ToString::to_string).collect(),
            accepted: Arc::default(),
            stopped: Arc::default(),
        };
        let mut starters = JoinSet::new();
        for first in 0..urls.len() {
            starters.spawn(starter.clone().work(first));
        }
        Self { pipeline, starter, starters }
    }

    /// Waits until so many more were accepted.
    pub async fn more(&self, count: usize) {
        let accepted = || self.starter.accepted.lock().unwrap().len();
        let goal = accepted() + count;
        eventually(&format!("{goal} accepted runs"), async || (accepted() >= goal).then_some(())).await;
    }

    /// Starts no more, and insists that every run that was accepted succeeds, that none is there that was
    /// not, and that each was executed once.
    pub async fn all_succeed_once(mut self, cluster: &Cluster, member: &Member) {
        self.starter.stopped.store(true, Ordering::Relaxed);
        while let Some(done) = within("the last answers", self.starters.join_next()).await {
            done.unwrap();
        }
        let accepted = std::mem::take(&mut *self.starter.accepted.lock().unwrap());
        let count = accepted.len();
        assert_eq!(accepted.iter().collect::<HashSet<_>>().len(), count, "each has a run of its own");
        let open = "SELECT count(*)::text FROM runs WHERE status IN ('queued', 'running', 'waiting')";
        cluster.until_sql(open, &["0"]).await;
        let all = format!("SELECT count(*)::text FROM runs WHERE pipeline_id = '{}'", self.pipeline);
        assert_eq!(cluster.sql(&all).await, [count.to_string()], "what was accepted, and nothing else");
        assert_eq!(cluster.sql(&format!("{all} AND status = 'succeeded'")).await, [count.to_string()]);

        let mut numbers = Vec::with_capacity(count);
        for run in accepted {
            let events = member.events(run).await;
            assert_gapless(&events);
            let ends = events.iter().filter(|event| matches!(event.kind, EventKind::RunFinished { .. })).count();
            assert_eq!(ends, 1, "{events:#?}");
            numbers.extend(outputs(&events).iter().map(|output| output.as_u64().unwrap()));
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=count as u64).collect::<Vec<_>>(), "each counted once");
        assert_eq!(member.kv("total").await, Some(json!(count)));
    }
}

impl Starter {
    async fn work(self, mut next: usize) {
        let (http, ambient) = (http(), Ambient::system());
        while !self.stopped.load(Ordering::Relaxed) {
            let key = ambient.uuid().to_string();
            let accepted = loop {
                let url = &self.urls[next % self.urls.len()];
                let request = http.post(format!("{url}/{}", self.path)).bearer_auth(&self.token);
                let request = request.header("idempotency-key", &key).json(&json!({})).timeout(ANSWER);
                match request.send().await {
                    Ok(answer) if answer.status() == 202 => match answer.json::<Value>().await {
                        Ok(run) => break run,
                        // It went away in the middle of its answer.
                        Err(_) => next += 1,
                    },
                    // Not now; or the same request is still being answered.
                    Ok(answer) if matches!(answer.status().as_u16(), 409 | 503) => next += 1,
                    Ok(answer) => panic!("{}: {}", answer.status(), answer.text().await.unwrap_or_default()),
                    Err(_) => next += 1,
                }
                tokio::time::sleep(PACE).await;
            };
            self.accepted.lock().unwrap().push(accepted["id"].as_str().unwrap().parse().unwrap());
            tokio::time::sleep(PACE).await;
        }
    }
}
