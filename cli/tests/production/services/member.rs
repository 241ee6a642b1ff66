//! Whoever works with the installation.

use std::collections::BTreeMap;

use restroy_client::{Client, Paging};
use restroy_sdk::{
    api::{auth::Register, board::NewBoard, pipeline::PutDefinition, run::NewRun, team::NewTeam},
    event::{Event, EventKind},
    ids::{BoardId, PipelineId, RunId},
    status::RunStatus,
};
use serde_json::{Value, json, value::to_raw_value};

use super::{cluster::Cluster, service::eventually};

/// A person with a team and a board of their own.
pub struct Member {
    pub client: Client,
    /// Their access token.
    pub token: String,
    pub board: BoardId,
    email: String,
    password: String,
}

impl Member {
    /// Registers somebody at one of the control-planes.
    pub async fn new(cluster: &Cluster, url: &str, name: &str) -> Self {
        let client = Client::new(url).unwrap();
        let (email, password) = (format!("{name}@example.com"), format!("password of {name}"));
        let account = Register { email: email.clone(), password: password.clone(), name: name.into() };
        client.register(&account).await.unwrap();
        let mail = cluster.installation.verification_token(&email);
        client.verify_email(&mail, &password).await.unwrap();
        let token = client.login(&email, &password).await.unwrap().access_token;
        let team = client.create_team(&NewTeam { name: format!("Team of {name}") }).await.unwrap().id;
        let board = NewBoard { name: "Board".into(), ..NewBoard::default() };
        let board = client.create_board(team, &board).await.unwrap().id;
        Self { client, token, board, email, password }
    }

    /// Publishes a pipeline.
    pub async fn push(&self, name: &str, definition: Value, files: &[(&str, &str)]) -> PipelineId {
        let pipeline = self.client.create_pipeline(self.board, name).await.unwrap().id;
        let files: BTreeMap<_, _> = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let definition = to_raw_value(&definition).unwrap();
        let put = PutDefinition { definition, files, message: String::new(), publish: true };
        self.client.put_definition(pipeline, &put, None).await.unwrap_or_else(|error| panic!("{error}"));
        pipeline
    }

    /// Publishes a pipeline of one script that may use the board's key-value store.
    pub async fn push_script(&self, name: &str, source: &str) -> PipelineId {
        let step = json!({"script": "scripts/only.lua", "allow": {"kv": true}, "timeout": "5m"});
        self.push(name, json!({"restroy": 1, "steps": {"only": step}}), &[("scripts/only.lua", source)]).await
    }

    /// Publishes one that counts under `total` how often it was executed, and returns that.
    pub async fn push_counter(&self) -> PipelineId {
        self.push_script("counter", "sleep(0.02) return kv.incr('total')").await
    }

    /// Starts a run.
    pub async fn start(&self, pipeline: PipelineId) -> RunId {
        self.client.start_run(pipeline, &NewRun::default()).await.unwrap().id
    }

    /// Has a run leave `key` behind in the key-value store, where the scripts of others look.
    pub async fn signal(&self, key: &str) {
        let pipeline = self.push_script(key, &format!("kv.set('{key}', true)")).await;
        let run = self.start(pipeline).await;
        self.succeeded(run).await;
    }

    /// The same person through another control-plane.
    pub async fn at(&self, url: &str) -> Client {
        let client = Client::new(url).unwrap();
        client.login(&self.email, &self.password).await.unwrap();
        client
    }

    /// All events of a run so far: they fit into one page.
    pub async fn events(&self, run: RunId) -> Vec<Event> {
        self.client.events(run, 0).await.unwrap().items
    }

    /// Waits until a run has ended, which it must have done well; gives its events.
    pub async fn succeeded(&self, run: RunId) -> Vec<Event> {
        let what = format!("the end of {run}");
        let ended = eventually(&what, async || {
            Some(self.client.run(run).await.unwrap()).filter(|run| run.status.is_terminal())
        })
        .await;
        assert_eq!(ended.status, RunStatus::Succeeded, "{:?}", ended.error);
        self.events(run).await
    }

    /// A value of the board's key-value store.
    pub async fn kv(&self, key: &str) -> Option<Value> {
        let entries = self.client.kv(self.board, &Paging::longest()).await.unwrap().items;
        entries.into_iter().find(|entry| entry.key == key).map(|entry| entry.value)
    }
}

/// How many steps of a run were lost with their executor.
pub fn losses(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event.kind, EventKind::StepLost { .. })).count()
}

/// What the steps of a run returned.
pub fn outputs(events: &[Event]) -> Vec<Value> {
    let output = |event: &Event| match &event.kind {
        EventKind::StepFinished { output, .. } => output.clone(),
        _ => None,
    };
    events.iter().filter_map(output).collect()
}
