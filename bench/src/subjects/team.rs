//! A team on an installation, with the two pipelines of the bench.

use std::{collections::BTreeMap, error::Error};

use futures_util::StreamExt as _;
use restroy_client::Client;
use restroy_sdk::{
    api::{auth::Register, board::NewBoard, pipeline::PutDefinition, run::NewRun, team::NewTeam},
    event::EventKind,
    ids::{BoardId, PipelineId},
    status::RunStatus,
};
use serde_json::{json, value::to_raw_value};

use crate::{
    cpu::Meter,
    load::{Figures, Load, generate},
};

/// What a team may have running at once here: the most that a plan can give.
pub(crate) const MAX_RUNNING: i64 = 50;

/// Gives each team that there is the most starts an hour that a plan can give: it is not that limit that is measured.
pub(crate) const RAISE_STARTS: &str =
    "INSERT INTO team_limits (team_id, name, value, updated_at) SELECT id, 'starts_per_hour', 1000000, 0 FROM teams";

/// Who owns the team whose runs are measured.
pub(crate) const BENCH: &str = "bench@example.com";
/// Who owns the team that attacks (`bench neighbours`).
pub(crate) const ATTACKER: &str = "attacker@example.com";

const PASSWORD: &str = "a password for a bench";

/// A team, seen through each of an installation's control-planes.
pub(crate) struct Team {
    clients: Vec<Client>,
    one: PipelineId,
    ten: PipelineId,
}

/// Makes the accounts of both teams; in production their addresses are not verified yet.
pub(crate) async fn register(url: &str) -> Result<(), Box<dyn Error>> {
    for email in [BENCH, ATTACKER] {
        let account = Register { email: email.into(), password: PASSWORD.into(), name: "Bench".into() };
        Client::new(url)?.register(&account).await?;
    }
    Ok(())
}

impl Team {
    /// Signs in at each control-plane and publishes the pipelines.
    pub(crate) async fn new(urls: &[String]) -> Result<Self, Box<dyn Error>> {
        let mut clients = Vec::new();
        for url in urls {
            clients.push(signed_in(url, BENCH).await?);
        }
        let first = clients.first().ok_or("an installation has a control-plane")?;
        let board = board(first).await?;
        let (one, ten) = (chain(first, board, 1).await?, chain(first, board, 10).await?);
        Ok(Self { clients, one, ten })
    }

    /// The client of the first control-plane.
    pub(crate) fn client(&self) -> Option<&Client> {
        self.clients.first()
    }

    /// One run of one step, to its end.
    ///
    /// # Errors
    /// When it cannot be started or watched, does not succeed, or loses its lease.
    pub(crate) async fn run_once(&self) -> Result<(), Box<dyn Error>> {
        let client = self.client().ok_or("no client")?;
        once(client, client, self.one).await
    }

    /// Puts a load on from this process.
    pub(crate) async fn take(&self, load: Load, meter: &Meter) -> Result<Figures, Box<dyn Error>> {
        let pipeline = if load.steps == 1 { self.one } else { self.ten };
        let one_of = |number: usize| self.clients.get(number % self.clients.len()).ok_or("no client");
        // Where there are several, what starts at one is watched at the next.
        generate(load, meter, async |number| once(one_of(number)?, one_of(number + 1)?, pipeline).await).await
    }
}

/// A signed-in client.
pub(crate) async fn signed_in(url: &str, email: &str) -> Result<Client, Box<dyn Error>> {
    let client = Client::new(url)?;
    client.login(email, PASSWORD).await?;
    Ok(client)
}

/// A board in a team of its own.
pub(crate) async fn board(client: &Client) -> Result<BoardId, Box<dyn Error>> {
    let team = client.create_team(&NewTeam { name: "Bench".into() }).await?.id;
    Ok(client.create_board(team, &NewBoard { name: "Bench".into(), ..NewBoard::default() }).await?.id)
}

/// Starts a run and waits for its end on the stream.
async fn once(start: &Client, watch: &Client, pipeline: PipelineId) -> Result<(), Box<dyn Error>> {
    let run = start.start_run(pipeline, &NewRun::default()).await?.id;
    let mut events = Box::pin(watch.stream(run, 0));
    while let Some(event) = events.next().await {
        match event?.kind {
            EventKind::RunFinished { status: RunStatus::Succeeded, .. } => return Ok(()),
            EventKind::RunFinished { status, error } => return Err(format!("a run ended {status}: {error:?}").into()),
            EventKind::StepLost { .. } => return Err("a run lost its lease".into()),
            _ => {}
        }
    }
    Err("a stream ended before its run".into())
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
    client.put_definition(pipeline, &put, None).await?;
    Ok(pipeline)
}
