//! From the request that starts a run to `run.finished` on its WebSocket: one trivial step, and a
//! chain of ten. The server is `restroy dev` as a process of its own; this process is the client.
//!
//! Beside it a plain request to the same server: what HTTP and a look at the session cost here.

use std::{
    collections::BTreeMap,
    error::Error,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use restroy_sdk::{
    api::{auth::Register, board::NewBoard, pipeline::PutDefinition, run::NewRun, team::NewTeam},
    client::Client,
    event::EventKind,
    ids::{BoardId, PipelineId},
    status::RunStatus,
};
use serde_json::{json, value::to_raw_value};

use crate::stats::{millis, quantile};

const WARM_UP: usize = 50;
const RUNS: usize = 500;
const IN_FLIGHT: [usize; 3] = [1, 10, 50];

/// Measures and prints.
pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    let server = Server::start()?;
    let client = Client::new(&server.url)?;
    let account =
        Register { email: "bench@example.com".into(), password: "a password for a bench".into(), name: "Bench".into() };
    client.register(&account).await?;
    client.login(&account.email, &account.password).await?;
    let team = client.create_team(&NewTeam { name: "Bench".into() }).await?.id;
    let board = client.create_board(team, &NewBoard { name: "Bench".into(), description: String::new() }).await?.id;
    let one = chain(&client, board, 1).await?;
    let ten = chain(&client, board, 10).await?;

    println!("| what | median | p99 |\n|---|---|---|");
    let mut plain = Vec::new();
    for turn in 0..WARM_UP + RUNS {
        let start = Instant::now();
        client.me().await?;
        if turn >= WARM_UP {
            plain.push(start.elapsed());
        }
    }
    row("a plain authenticated request (`GET /v1/me`)", &mut plain);
    for (name, pipeline) in [("run of one step", one), ("run of a chain of ten steps", ten)] {
        let mut times = Vec::new();
        for turn in 0..WARM_UP + RUNS {
            let time = once(&client, pipeline).await?;
            if turn >= WARM_UP {
                times.push(time);
            }
        }
        row(name, &mut times);
    }

    println!("\n| in flight | runs of one step /s | chains of ten /s |\n|---|---|---|");
    for in_flight in IN_FLIGHT {
        let (of_one, of_ten) = (rate(&client, one, in_flight).await?, rate(&client, ten, in_flight).await?);
        println!("| {in_flight} | {of_one:.0} | {of_ten:.0} |");
    }
    Ok(())
}

fn row(name: &str, times: &mut [Duration]) {
    println!("| {name} | {} | {} |", millis(quantile(times, 0.5)), millis(quantile(times, 0.99)));
}

/// Starts a run and waits for its end on the stream.
async fn once(client: &Client, pipeline: PipelineId) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    let run = client.start_run(pipeline, &NewRun::default()).await?.id;
    let mut events = Box::pin(client.stream(run, 0));
    while let Some(event) = events.next().await {
        if let EventKind::RunFinished { status, error } = event?.kind {
            let time = start.elapsed();
            return if status == RunStatus::Succeeded {
                Ok(time)
            } else {
                Err(format!("a run ended {status}: {error:?}").into())
            };
        }
    }
    Err("a stream ended before its run".into())
}

/// Runs per second with so many in flight.
async fn rate(client: &Client, pipeline: PipelineId, in_flight: usize) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    let mut flying = FuturesUnordered::new();
    for _ in 0..in_flight {
        flying.push(once(client, pipeline));
    }
    let mut left = RUNS;
    while let Some(done) = flying.next().await {
        done?;
        left = left.saturating_sub(1);
        if left >= in_flight {
            flying.push(once(client, pipeline));
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "some hundreds")]
    let runs = RUNS as f64;
    Ok(runs / start.elapsed().as_secs_f64())
}

/// Publishes a chain of trivial steps.
async fn chain(client: &Client, board: BoardId, length: usize) -> Result<PipelineId, Box<dyn Error>> {
    let mut steps = serde_json::Map::new();
    for number in 1..=length {
        let needs: Vec<_> = (number > 1).then(|| format!("s{}", number - 1)).into_iter().collect();
        steps.insert(format!("s{number}"), json!({"script": "scripts/trivial.lua", "needs": needs}));
    }
    let pipeline = client.create_pipeline(board, &format!("chain of {length}")).await?.id;
    let put = PutDefinition {
        definition: to_raw_value(&json!({"restroy": 1, "steps": steps}))?,
        files: BTreeMap::from([("scripts/trivial.lua".to_owned(), "return 1".to_owned())]),
        message: String::new(),
        publish: true,
    };
    client.put_definition(pipeline, &put).await?;
    Ok(pipeline)
}

/// `restroy dev`, built in the same profile, in a folder of its own.
struct Server {
    child: Child,
    folder: PathBuf,
    url: String,
}

impl Server {
    fn start() -> Result<Self, Box<dyn Error>> {
        let program = std::env::current_exe()?.with_file_name("restroy");
        if !program.exists() {
            return Err(format!("{} is not there: run `cargo build --release` first", program.display()).into());
        }
        let folder = std::env::temp_dir().join(format!("restroy-bench-{}", std::process::id()));
        let mut child = Command::new(program)
            .args(["dev", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&folder)
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("the server has no output")?;
        let mut lines = BufReader::new(output).lines();
        let url = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("Restroy listens on ").map(|url| url.trim().to_owned()))
            .ok_or("the server does not say where it listens")?;
        // The rest is read too, so that the server never blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, folder, url })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
