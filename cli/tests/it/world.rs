//! A server with a person, a team and a board on it, and short ways to what tests do most.

use std::{collections::BTreeMap, ops::Deref};

use futures_util::StreamExt as _;
use restroy_client::{Client, Error, Paging};
use restroy_sdk::{
    api::{
        auth::Register,
        board::NewBoard,
        pipeline::PutDefinition,
        run::{NewRun, Run, StepRun},
        team::NewTeam,
    },
    event::{Event, EventKind},
    ids::{BoardId, PipelineId, RunId, TeamId},
    problem::Problem,
    status::RunStatus,
};
use serde_json::{Value, json, value::to_raw_value};

use crate::server::{PATIENCE, Server};

/// An installation with a person, a team and a board on it.
pub struct World {
    pub server: Server,
    pub tenant: Tenant,
}

impl Deref for World {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        &self.tenant
    }
}

/// A person with a team and a board.
pub struct Tenant {
    pub client: Client,
    pub team: TeamId,
    pub board: BoardId,
}

/// A signed-in person of the given name.
pub async fn person(server: &Server, name: &str) -> Client {
    let client = Client::new(&server.url).unwrap();
    let (email, password) = (format!("{name}@example.com"), format!("password of {name}"));
    let account = Register { email: email.clone(), password: password.clone(), name: name.into() };
    client.register(&account).await.unwrap();
    server.verify(&email, &password);
    client.login(&email, &password).await.unwrap();
    client
}

impl World {
    /// A new installation with Ada on it.
    pub async fn new(arguments: &[&str]) -> Self {
        let server = Server::start(arguments);
        let tenant = Tenant::new(&server, "ada").await;
        Self { server, tenant }
    }
}

impl Tenant {
    /// A signed-in person of the given name, with a team and a board.
    pub async fn new(server: &Server, name: &str) -> Self {
        let client = person(server, name).await;
        let team = client.create_team(&NewTeam { name: format!("Team of {name}") }).await.unwrap().id;
        let board = NewBoard { name: "Board".into(), ..NewBoard::default() };
        let board = client.create_board(team, &board).await.unwrap().id;
        Self { client, team, board }
    }

    /// Tries to publish a definition under a new pipeline.
    pub async fn try_push(&self, name: &str, definition: Value, files: &[(&str, &str)]) -> Result<PipelineId, Problem> {
        let pipeline = self.client.create_pipeline(self.board, name).await.unwrap().id;
        self.try_publish(pipeline, definition, files).await.map(|()| pipeline)
    }

    /// Tries to publish a definition.
    pub async fn try_publish(
        &self,
        pipeline: PipelineId,
        definition: Value,
        files: &[(&str, &str)],
    ) -> Result<(), Problem> {
        let files: BTreeMap<_, _> = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let put = PutDefinition {
            definition: to_raw_value(&definition).unwrap(),
            files,
            message: String::new(),
            publish: true,
        };
        match self.client.put_definition(pipeline, &put, None).await {
            Ok(_) => Ok(()),
            Err(error) => Err(problem(error)),
        }
    }

    /// Publishes a definition.
    pub async fn push(&self, name: &str, definition: Value, files: &[(&str, &str)]) -> PipelineId {
        self.try_push(name, definition, files).await.unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// Publishes a pipeline of one script.
    pub async fn push_script(&self, name: &str, source: &str, allow: Value) -> PipelineId {
        let definition = json!({"restroy": 1, "steps": {"only": {"script": "scripts/only.lua", "allow": allow}}});
        self.push(name, definition, &[("scripts/only.lua", source)]).await
    }

    /// Starts a run.
    pub async fn start(&self, pipeline: PipelineId, params: Value) -> RunId {
        let params = params.as_object().unwrap().clone();
        self.client.start_run(pipeline, &NewRun { params }).await.unwrap().id
    }

    /// Starts a run and follows it to its end.
    pub async fn run(&self, pipeline: PipelineId, params: Value) -> Finished {
        let run = self.start(pipeline, params).await;
        self.finish(run).await
    }

    /// Follows a run to its end.
    pub async fn finish(&self, run: RunId) -> Finished {
        let events = self.follow(run, |_| false).await;
        let steps = self.client.steps(run, &Paging::longest()).await.unwrap().items;
        let run = self.client.run(run).await.unwrap();
        Finished { run, events, steps }
    }

    /// The events of a run from its first, until `enough` says so or the run ends.
    pub async fn follow(&self, run: RunId, mut enough: impl FnMut(&EventKind) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        let reading = async {
            let mut stream = Box::pin(self.client.stream(run, 0));
            while let Some(event) = stream.next().await {
                let event = event.unwrap();
                let stop = enough(&event.kind);
                events.push(event);
                if stop {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("the run goes on");
        events
    }
}

/// A run that ended.
pub struct Finished {
    pub run: Run,
    pub events: Vec<Event>,
    pub steps: Vec<StepRun>,
}

impl Finished {
    /// What a step returned.
    pub fn output(&self, step: &str) -> Value {
        let found =
            self.steps.iter().find(|run| run.step.step == step && run.step.index.is_none() && run.output.is_some());
        found.and_then(|run| run.output.clone()).unwrap_or_else(|| panic!("{step} has no output: {:#?}", self.run))
    }

    /// The code of the error that a step ended with.
    pub fn error_code(&self, step: &str) -> &str {
        let error = self.steps.iter().rev().find(|run| run.step.step == step).and_then(|run| run.error.as_ref());
        &error.unwrap_or_else(|| panic!("{step} has no error")).code
    }

    /// Every printed line.
    pub fn lines(&self) -> Vec<&str> {
        lines(&self.events)
    }

    /// Insists on success.
    #[allow(clippy::must_use_candidate, clippy::return_self_not_must_use, reason = "the insisting is the use")]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.run.status, RunStatus::Succeeded, "{:#?}", self.run.error);
        self
    }
}

/// Every printed line of some events.
pub fn lines(events: &[Event]) -> Vec<&str> {
    let output = events.iter().filter_map(|event| match &event.kind {
        EventKind::StepOutput { lines, .. } => Some(lines),
        _ => None,
    });
    output.flatten().map(|line| line.text.as_str()).collect()
}

/// The problem that an answer of the API was.
pub fn problem(error: Error) -> Problem {
    error.problem().cloned().unwrap_or_else(|| panic!("not an answer of the API: {error}"))
}

/// Insists that events are numbered from 1 without a gap.
pub fn assert_gapless(events: &[Event]) {
    let seqs: Vec<_> = events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=i64::try_from(events.len()).unwrap()).collect::<Vec<_>>());
}
