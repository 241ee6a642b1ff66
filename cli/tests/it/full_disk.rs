//! A disk that takes nothing more, and then does again. The limit on the size of a file plays the disk: it needs no
//! rights, and can be set and lifted while the process runs. (What SQLite itself calls a full disk is tried in the
//! control-plane's tests.)

use std::{path::Path, process::Command, time::Duration};

use restroy_client::Client;
use restroy_sdk::api::{auth::Register, board::NewBoard, pipeline::PutDefinition, run::NewRun, team::NewTeam};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::{Value, json, value::to_raw_value};

use crate::{
    process::{PATIENCE, Process, http, restroy},
    server::data,
    world::problem,
};

/// No file may be written beyond this, in bytes.
const FULL: u64 = 4096;

/// `restroy dev`, which gets an error instead of a signal when a file gets too large.
fn dev(folder: &Path, before: &str) -> Command {
    let restroy = restroy();
    let mut command = Command::new("sh");
    for (name, value) in restroy.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.args(["-c", &format!("trap '' XFSZ; {before} exec \"$@\""), "sh"]).arg(restroy.get_program());
    command.args(["dev", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data(folder));
    command
}

fn limit(process: &Process, bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    let pid = Pid::from_raw(i32::try_from(process.id()).unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum }).unwrap();
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// Waits until `/readyz` answers so.
async fn until_ready(url: &str, status: u16) -> Value {
    until(&format!("{status} of /readyz"), async || {
        let answer = http().get(format!("{url}/readyz")).send().await.unwrap();
        if answer.status() == status { Some(answer.json().await.unwrap()) } else { None }
    })
    .await
}

#[tokio::test]
async fn a_full_disk_is_reported_and_recovered_from() {
    let folder = tempfile::tempdir().unwrap();
    let (mut process, [url]) = Process::start(dev(folder.path(), ""), ["Restroy listens on "]);
    let ada = Client::new(&url).unwrap();
    let (email, password) = ("ada@example.com".to_owned(), "password of ada".to_owned());
    ada.register(&Register { email: email.clone(), password: password.clone(), name: "Ada".into() }).await.unwrap();
    ada.login(&email, &password).await.unwrap();
    let team = ada.create_team(&NewTeam { name: "Team".into() }).await.unwrap().id;
    let board = ada.create_board(team, &NewBoard { name: "Board".into(), ..NewBoard::default() }).await.unwrap().id;
    let pipeline = ada.create_pipeline(board, "Pipeline").await.unwrap().id;
    let definition = json!({ "restroy": 1, "steps": { "only": { "script": "scripts/only.lua" } } });
    let put = PutDefinition {
        definition: to_raw_value(&definition).unwrap(),
        files: [("scripts/only.lua".to_owned(), "return 1".to_owned())].into(),
        message: String::new(),
        publish: true,
    };
    ada.put_definition(pipeline, &put, None).await.unwrap();
    let new_run = NewRun { params: serde_json::Map::new() };
    until_ready(&url, 200).await;

    limit(&process, Some(FULL));
    let said = until_ready(&url, 503).await;
    assert_eq!(said["status"], "unready");
    assert_eq!(said["reasons"], json!(["the database's files cannot be read or written"]));
    for _ in 0..3 {
        let refused = problem(ada.start_run(pipeline, &new_run).await.unwrap_err());
        assert_eq!((refused.status, refused.code.as_str()), (503, "unavailable"), "{refused}");
        assert!(refused.detail.as_ref().unwrap().contains("cannot be read or written"), "{refused}");
    }

    limit(&process, None);
    until_ready(&url, 200).await;
    let run = ada.start_run(pipeline, &new_run).await.expect("it takes writes again").id;
    until("the end of the run", async || ada.run(run).await.unwrap().status.is_terminal().then_some(())).await;
    assert!(process.is_alive());
    process.kill();

    // So small that nothing can be brought up to date at the start.
    let start = dev(folder.path(), "ulimit -S -f 1;").output().unwrap();
    assert!(!start.status.success());
    let said = String::from_utf8_lossy(&start.stderr);
    assert!(said.contains("cannot be read or written") || said.contains("disk I/O error"), "{said}");
    let (_process, _) = Process::start(dev(folder.path(), ""), ["Restroy listens on "]);
}
