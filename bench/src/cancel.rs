//! `bench cancel`: how long after a cancel the slot of the cancelled run is another run's.
//!
//! A pipeline with `limit: 1` runs a script that does not end by itself, and a second run waits. Measured is from the
//! request that cancels the first to the start of the second. Beside it: a start on the same installation with a free
//! slot. The aim is 100 ms.

use std::{
    collections::BTreeMap,
    error::Error,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use restroy_client::Client;
use restroy_sdk::{
    api::{pipeline::PutDefinition, run::NewRun},
    event::EventKind,
    ids::{BoardId, PipelineId, RunId},
};
use serde_json::{json, value::to_raw_value};

use crate::{
    machine,
    servers::Servers,
    stats::{millis, quantile},
    subjects::{Embedded, Production, Subject as _, Team, board},
};

/// How often each is measured.
const ROUNDS: usize = 100;

/// What the cancelled run does.
const SCRIPTS: [(&str, &str); 4] = [
    ("a busy loop", "while true do end"),
    ("host calls", "while true do kv.get('n') end"),
    ("printed lines", "while true do print('x') end"),
    ("a wait", "sleep(25)"),
];

/// Measures what is named, both modes when nothing is, and prints.
pub(crate) async fn run(named: &[String]) -> Result<(), Box<dyn Error>> {
    if let Some(unknown) = named.iter().find(|name| !["embedded", "production"].contains(&name.as_str())) {
        return Err(format!("cannot measure `{unknown}`; usage: bench cancel [embedded] [production]").into());
    }
    println!(
        "| what | the cancelled run | to a start with a free slot: median | p99 | from the cancel to the next start: median | p99 |"
    );
    println!("|---|---|---|---|---|---|");
    let wanted = |name: &str| named.is_empty() || named.iter().any(|given| given == name);
    if wanted("embedded") {
        let embedded = Embedded::start().await?;
        measure(&embedded.name(), embedded.team()).await?;
        embedded.stop().await;
    }
    if wanted("production") {
        let production = Production::start(1, &Servers::find().await?).await?;
        measure(&production.name(), production.team()).await?;
        production.end().await?;
    }
    println!(
        "\n{ROUNDS} times each, with `concurrency: {{limit: 1}}`. A start: until `step.started` is on the WebSocket."
    );
    for fact in machine::facts().into_iter().take(2) {
        println!("- {fact}");
    }
    Ok(())
}

async fn measure(name: &str, team: &Team) -> Result<(), Box<dyn Error>> {
    let client = team.client().ok_or("no client")?;
    let board = board(client).await?;
    for (what, script) in SCRIPTS {
        let pipeline = endless(client, board, what, script).await?;
        let (mut starts, mut cancels) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let begin = Instant::now();
            let first = client.start_run(pipeline, &NewRun::default()).await?.id;
            started(client, first).await?;
            starts.push(begin.elapsed());

            let second = client.start_run(pipeline, &NewRun::default()).await?.id;
            let begun = started(client, second);
            let cancelled = async {
                // The watcher of the second is there before the first is cancelled.
                tokio::time::sleep(Duration::from_millis(20)).await;
                let begin = Instant::now();
                client.cancel(first).await?;
                Ok::<_, Box<dyn Error>>(begin)
            };
            let (begin, ()) = tokio::try_join!(cancelled, begun)?;
            cancels.push(begin.elapsed());
            client.cancel(second).await?;
            ended(client, second).await?;
        }
        println!(
            "| {name} | {what} | {} | {} | {} | {} |",
            millis(quantile(&mut starts, 0.5)),
            millis(quantile(&mut starts, 0.99)),
            millis(quantile(&mut cancels, 0.5)),
            millis(quantile(&mut cancels, 0.99)),
        );
    }
    Ok(())
}

async fn started(client: &Client, run: RunId) -> Result<(), Box<dyn Error>> {
    until(client, run, |kind| matches!(kind, EventKind::StepStarted { .. })).await
}

async fn ended(client: &Client, run: RunId) -> Result<(), Box<dyn Error>> {
    until(client, run, |kind| matches!(kind, EventKind::RunFinished { .. })).await
}

async fn until(client: &Client, run: RunId, wanted: impl Fn(&EventKind) -> bool) -> Result<(), Box<dyn Error>> {
    let mut events = Box::pin(client.stream(run, 0));
    while let Some(event) = events.next().await {
        if wanted(&event?.kind) {
            return Ok(());
        }
    }
    Err("a stream ended too early".into())
}

async fn endless(client: &Client, board: BoardId, name: &str, script: &str) -> Result<PipelineId, Box<dyn Error>> {
    let pipeline = client.create_pipeline(board, name).await?.id;
    let definition = json!({
        "restroy": 1,
        "concurrency": {"limit": 1, "on_conflict": "queue"},
        "steps": {"endless": {"script": "scripts/endless.lua", "allow": {"kv": true}}},
    });
    let put = PutDefinition {
        definition: to_raw_value(&definition)?,
        files: BTreeMap::from([("scripts/endless.lua".to_owned(), script.to_owned())]),
        message: String::new(),
        publish: true,
    };
    client.put_definition(pipeline, &put, None).await?;
    Ok(pipeline)
}
