//! What an attacker does, with nothing but an account, at full speed until it is dropped.

use std::{cell::Cell, collections::BTreeMap, convert::Infallible, error::Error};

use futures_util::future::join_all;
use restroy_client::{Client, Paging};
use restroy_sdk::{
    api::{pipeline::PutDefinition, run::NewRun},
    ids::{BoardId, PipelineId},
};
use serde_json::{Map, Value, json, value::to_raw_value};

use crate::subjects::{ATTACKER, board, signed_in};

/// How many requests or runs are under way at once.
const AT_ONCE: usize = 8;

/// One way to attack.
#[derive(Clone, Copy)]
pub(crate) enum Attack {
    /// Runs of this script, started again as they end.
    Script(&'static str),
    /// One run after another, each a step for each of many items.
    Items(&'static str),
    /// Starts and cancels of runs of this script.
    Cancel(&'static str),
    /// Definitions with these parameters' schema.
    Schema(fn() -> Value),
    /// Starts with parameters of this text.
    Params(fn() -> Map<String, Value>),
    /// Definitions whose script is this text.
    Compile(fn() -> String),
}

/// All that are measured.
pub(crate) const ATTACKS: &[(&str, Attack)] = &[
    ("busy scripts", Attack::Script("while true do end")),
    ("busy host calls", Attack::Script("local c = os.clock while true do for i = 1, 20000 do end c() end")),
    ("randomness", Attack::Script("while true do crypto.random_bytes(65536) end")),
    ("many busy items", Attack::Items("local c = os.clock while true do for i = 1, 20000 do end c() end")),
    ("memory", Attack::Script("local s = 'x' while true do s = s .. s end")),
    ("output", Attack::Items("return ('x'):rep(250000)")),
    ("log lines", Attack::Script("for i = 1, 30 do print(('a'):rep(8000)) end")),
    ("key-value store", Attack::Script("for i = 1, 5000 do kv.incr('n') end")),
    ("scratch and cancel", Attack::Cancel("for i = 1, 40 do files.write('f' .. i, ('x'):rep(1000000)) end sleep(20)")),
    ("cancel storm", Attack::Cancel("while true do end")),
    ("deep schemas", Attack::Schema(deep_schema)),
    ("patterns", Attack::Schema(patterns)),
    ("JSON bombs", Attack::Params(many_nodes)),
    ("compiles", Attack::Compile(gotos)),
];

fn deep_schema() -> Value {
    let mut schema = json!({});
    for _ in 0..60 {
        schema = json!({"allOf": [schema], "additionalProperties": true});
    }
    schema
}

fn patterns() -> Value {
    let patterns: Vec<_> = (0..90).map(|n| json!({"pattern": format!("(a\\p{{L}}{{50}}b|c){n}")})).collect();
    json!({"type": "object", "properties": {"a": {"anyOf": patterns}}})
}

fn many_nodes() -> Map<String, Value> {
    let items: Vec<_> = (0..150_000).map(|_| json!({})).collect();
    Map::from_iter([("a".to_owned(), Value::Array(items))])
}

fn gotos() -> String {
    let lines: Vec<_> = (0..10_000).map(|n| format!("goto l{n} ::l{n}::")).collect();
    lines.join("\n")
}

/// A team of its own.
pub(crate) struct Attacker {
    client: Client,
    board: BoardId,
    /// How many there were, for names that are not taken.
    attacks: Cell<u32>,
}

impl Attacker {
    pub(crate) async fn new(url: &str) -> Result<Self, Box<dyn Error>> {
        let client = signed_in(url, ATTACKER).await?;
        let board = board(&client).await?;
        Ok(Self { client, board, attacks: Cell::new(0) })
    }

    /// Goes on until it is dropped. What is refused is tried again: that, too, costs.
    pub(crate) async fn attack(&self, name: &str, attack: Attack) -> Result<(), Box<dyn Error>> {
        let number = self.attacks.get() + 1;
        self.attacks.set(number);
        let pipeline = self.client.create_pipeline(self.board, &format!("{name} {number}")).await?.id;
        let idle = "return 1".to_owned();
        match attack {
            Attack::Script(source) => {
                self.publish(pipeline, source.to_owned(), None, json!({})).await?;
                self.each(async || self.run(pipeline).await).await;
            }
            Attack::Items(source) => {
                let items = "(function() local t = json.array {} for i = 1, 200 do t[i] = i end return t end)()";
                self.publish(pipeline, source.to_owned(), Some(items), json!({})).await?;
                self.each(async || self.run(pipeline).await).await;
            }
            Attack::Cancel(source) => {
                self.publish(pipeline, source.to_owned(), None, json!({})).await?;
                self.each(async || {
                    if let Ok(run) = self.client.start_run(pipeline, &NewRun::default()).await {
                        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                        let _ = self.client.cancel(run.id).await;
                    }
                })
                .await;
            }
            Attack::Schema(schema) => {
                let schema = schema();
                self.each(async || {
                    let _ = self.publish(pipeline, idle.clone(), None, schema.clone()).await;
                    let _ = self.client.start_run(pipeline, &NewRun::default()).await;
                })
                .await;
            }
            Attack::Params(params) => {
                self.publish(pipeline, idle, None, json!({})).await?;
                let run = NewRun { params: params() };
                self.each(async || {
                    let _ = self.client.start_run(pipeline, &run).await;
                })
                .await;
            }
            Attack::Compile(source) => {
                let source = source();
                self.each(async || {
                    let _ = self.publish(pipeline, source.clone(), None, json!({})).await;
                })
                .await;
            }
        }
        Ok(())
    }

    /// Cancels what still runs.
    pub(crate) async fn leave_off(&self) -> Result<(), Box<dyn Error>> {
        for pipeline in self.client.pipelines(self.board, &Paging::longest()).await?.items {
            for run in self.client.runs(pipeline.id, &Paging::longest()).await?.items {
                if !run.status.is_terminal() {
                    let _ = self.client.cancel(run.id).await;
                }
            }
        }
        Ok(())
    }

    /// So many at once, again and again.
    async fn each(&self, once: impl AsyncFn()) {
        let lines = (0..AT_ONCE).map(async |_| -> Infallible {
            loop {
                once().await;
                // An attack that is refused at once must not starve the bench itself.
                tokio::task::yield_now().await;
            }
        });
        join_all(lines).await;
    }

    /// A run to its end.
    async fn run(&self, pipeline: PipelineId) {
        use futures_util::StreamExt as _;
        match self.client.start_run(pipeline, &NewRun::default()).await {
            Ok(run) => {
                let mut events = Box::pin(self.client.stream(run.id, 0));
                while events.next().await.is_some_and(|event| event.is_ok()) {}
            }
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }

    async fn publish(
        &self,
        pipeline: PipelineId,
        source: String,
        items: Option<&str>,
        params: Value,
    ) -> Result<(), Box<dyn Error>> {
        let mut step = json!({"script": "scripts/attack.lua", "allow": {"kv": true, "files": true}});
        if let Some(items) = items {
            step["for_each"] = items.into();
        }
        let put = PutDefinition {
            definition: to_raw_value(&json!({"restroy": 1, "params": params, "steps": {"attack": step}}))?,
            files: BTreeMap::from([("scripts/attack.lua".to_owned(), source)]),
            message: String::new(),
            publish: true,
        };
        self.client.put_definition(pipeline, &put, None).await?;
        Ok(())
    }
}
