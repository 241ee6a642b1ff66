//! Answers that nobody reads, requests that never end, names that nobody resolves.

use std::time::Duration;

use futures_util::future::join_all;
use restroy_client::Paging;
use restroy_sdk::{
    api::run::NewRun,
    ids::{PipelineId, RunId},
    status::RunStatus,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::Neighbours;
use crate::{
    process::http,
    world::{Tenant, problem},
};

/// How many connections an attacker holds at once.
const CONNECTIONS: usize = 60;
/// For how long.
const HELD: Duration = Duration::from_secs(2);

/// The attacker, past the client of ours.
struct Raw {
    host: String,
    token: String,
}

impl Raw {
    async fn new(neighbours: &Neighbours) -> Self {
        let url = &neighbours.server.url;
        let account = json!({ "email": "attacker@example.com", "password": "password of attacker" });
        let login = http().post(format!("{url}/v1/auth/login")).json(&account);
        let tokens: Value = login.send().await.unwrap().json().await.unwrap();
        let token = tokens["access_token"].as_str().unwrap().to_owned();
        Self { host: url.trim_start_matches("http://").to_owned(), token }
    }

    /// Sends a request and reads nothing of its answer.
    async fn send(&self, path: &str, headers: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.host).await.unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n{headers}\r\n",
            self.host, self.token
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    /// Holds many answers and reads nothing of them.
    async fn hold(&self, path: &str, headers: &str) {
        let held = join_all((0..CONNECTIONS).map(|_| self.send(path, headers))).await;
        tokio::time::sleep(HELD).await;
        drop(held);
    }

    /// Reads many answers byte by byte.
    async fn sip(&self, path: &str) {
        let mut held = join_all((0..CONNECTIONS).map(|_| self.send(path, ""))).await;
        for _ in 0..20 {
            for stream in &mut held {
                // Who has closed it has the better of it.
                let _ = stream.read(&mut [0; 16]).await;
            }
            tokio::time::sleep(HELD / 20).await;
        }
    }
}

/// A finished run that left much behind; its artifact's path.
async fn left_much(attacker: &Tenant) -> (PipelineId, RunId, String) {
    let source = "local line = ('x'):rep(8000)
        for i = 1, 30 do print(line) end
        local piece = ('x'):rep(1000000)
        for i = 1, 12 do files.append('large.bin', piece) end
        files.artifact('large.bin')
        return line:rep(30)";
    let pipeline = attacker.push_script("leaves much", source, json!({ "files": true })).await;
    let run = attacker.run(pipeline, json!({})).await.succeeded().run.id;
    let artifact = attacker.client.artifacts(run, &Paging::longest()).await.unwrap().items.remove(0).id;
    (pipeline, run, format!("/v1/runs/{run}/artifacts/{artifact}"))
}

#[tokio::test]
async fn answers_that_nobody_reads_take_nothing_from_others() {
    let mut neighbours = Neighbours::new(&[]).await;
    let raw = Raw::new(&neighbours).await;
    let (pipeline, run, artifact) = left_much(&neighbours.attacker).await;
    neighbours.during(async |_| raw.hold(&artifact, "").await).await;
    neighbours.during(async |_| raw.sip(&artifact).await).await;
    neighbours.during(async |_| raw.hold(&format!("/v1/runs/{run}/events?limit=1000"), "").await).await;
    neighbours.during(async |_| raw.hold(&format!("/v1/pipelines/{pipeline}/definition"), "").await).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    neighbours.during(async |_| raw.hold(&format!("/v1/runs/{run}/stream"), upgrade).await).await;
}

#[tokio::test]
async fn requests_without_an_end_take_nothing_from_others() {
    let mut neighbours = Neighbours::new(&[]).await;
    let raw = Raw::new(&neighbours).await;
    // Half a head each.
    let half = async |_: &Tenant| {
        let held = join_all((0..CONNECTIONS).map(|_| async {
            let mut stream = TcpStream::connect(&raw.host).await.unwrap();
            stream.write_all(b"GET /v1/me HTTP/1.1\r\nHost: x\r\nX-Long: ").await.unwrap();
            stream
        }))
        .await;
        tokio::time::sleep(HELD).await;
        drop(held);
    };
    neighbours.during(half).await;
    // More at once than an account may have.
    let flood = async |attacker: &Tenant| {
        let first = Paging::default();
        let requests = join_all((0..200).map(|_| attacker.client.teams(&first))).await;
        assert!(requests.iter().any(Result::is_ok));
    };
    neighbours.during(flood).await;
}

#[tokio::test]
async fn names_that_nobody_resolves_take_nothing_from_others() {
    let mut neighbours = Neighbours::new(&[]).await;
    let source = "for i = 1, 50 do
            pcall(http.get, 'https://x' .. item .. '-' .. i .. '.example.invalid/', {timeout = 0.001})
        end return true";
    let definition = json!({"restroy": 1, "steps": {"each": {
        "script": "scripts/each.lua", "allow": {"http": ["https://*.example.invalid"]}, "max_parallel": 8,
        "for_each": "(function() local t = json.array {} for i = 1, 40 do t[i] = i end return t end)()",
    }}});
    neighbours
        .during(async |attacker| {
            let pipeline = attacker.push("resolves", definition, &[("scripts/each.lua", source)]).await;
            let runs = join_all((0..3).map(|_| attacker.run(pipeline, json!({})))).await;
            assert!(runs.iter().all(|run| run.run.status == RunStatus::Succeeded), "each call failed by itself");
        })
        .await;
}

#[tokio::test]
async fn parameters_that_no_step_could_take_start_nothing() {
    let mut neighbours = Neighbours::new(&[]).await;
    neighbours
        .during(async |attacker| {
            let pipeline = attacker.push_script("takes", "return #params.filling", json!({})).await;
            for bytes in [600_000, 1_040_000] {
                let params = json!({ "filling": "x".repeat(bytes) });
                let run = NewRun { params: params.as_object().unwrap().clone() };
                let refused = problem(attacker.client.start_run(pipeline, &run).await.unwrap_err());
                assert_eq!(refused.code.as_str(), "too_large", "{refused}");
            }
            // The most that is taken does not fail for its size.
            let finished = attacker.run(pipeline, json!({ "filling": "x".repeat(520_000) })).await;
            assert_eq!(finished.succeeded().output("only"), json!(520_000));
        })
        .await;
}
