//! `restroy dev --demo`: a team, the examples, one of them run before the newcomer's eyes. All of it
//! over the API, as anybody would.

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use restroy_client::{Client, Paging};
use restroy_sdk::{
    api::{
        auth::Register,
        board::NewBoard,
        pipeline::{Pipeline, PutDefinition},
        run::NewRun,
        team::NewTeam,
    },
    document,
    ids::{BoardId, TeamId},
    time::Ambient,
};
use serde_json::value::to_raw_value;

use super::{DevError, examples};
use crate::follow;
use crate::settings::tables::Dev;

const EMAIL: &str = "demo@example.com";
const TEAM: &str = "Demo";
const BOARD: &str = "Examples";
/// Where the demo's password is kept, in the data folder.
const PASSWORD_FILE: &str = "demo-password";

/// What to do with an installation that has nothing in it yet.
pub(super) fn first_steps(address: SocketAddr) -> String {
    let program = program();
    format!(
        "\nNothing here yet? Try:\n  \
         {program} dev --demo                         examples and a demo account, in this data folder\n  \
         {program} login --register --server http://{address}\n\
         The API's description: http://{address}/v1/openapi.json\nStop with Ctrl-C."
    )
}

/// Makes what is missing, runs the weather report, and says what to try next.
pub(super) async fn run(address: SocketAddr, settings: &Dev) -> Result<(), DevError> {
    let failed = |error: &dyn std::fmt::Display| DevError::Demo(error.to_string());
    let password = password(&settings.data_dir)?;
    let client = Client::new(&format!("http://{address}")).map_err(|error| failed(&error))?;
    sign_in(&client, &password).await.map_err(|error| failed(&error))?;
    let team = team(&client).await.map_err(|error| failed(&error))?;
    let board = board(&client, team).await.map_err(|error| failed(&error))?;
    println!("\nTeam {TEAM}, board {BOARD}:");
    let mut report = None;
    for name in examples::NAMES {
        let (pipeline, version) = push(&client, board, name).await?;
        println!("  {:<18} version {version}", pipeline.name);
        if name == "weather-report" {
            report = Some(pipeline);
        }
    }
    let Some(report) = report else { return Ok(()) };
    let csv = examples::text("weather-report/seattle-weather.csv")
        .ok_or_else(|| DevError::Demo("the weather data is not in the binary".into()))?;
    println!("\nRunning Weather report: four years of daily observations, one step run a year\n");
    let mut params = serde_json::Map::new();
    params.insert("csv".into(), csv.into());
    let run = client.start_run(report.id, &NewRun { params }).await.map_err(|error| failed(&error))?;
    follow::run(&client, run.id, 0, follow::Style::detect()).await.map_err(|error| failed(&error))?;
    if let Some(mail) = client
        .outbox(team, &Paging::longest())
        .await
        .map_err(|error| failed(&error))?
        .items
        .into_iter()
        .find(|mail| mail.run_id == Some(run.id))
    {
        println!("\nThe run e-mailed this to {} (no SMTP here: it stays in the outbox)\n", mail.to.join(", "));
        println!("Subject: {}\n\n{}", mail.subject, mail.text);
    }
    println!("{}", next_steps(address, &password));
    Ok(())
}

fn next_steps(address: SocketAddr, password: &str) -> String {
    let program = program();
    // What the newcomer's folder does not have is not asked for: every line works as it stands.
    let audit = if Path::new("Cargo.lock").is_file() {
        format!("  {program} run \"Dependency audit\" --param lock=@Cargo.lock --follow\n")
    } else {
        String::new()
    };
    let example = "examples/weather-report";
    let change = if Path::new(example).is_dir() {
        format!("To change a pipeline: edit {example}, then {program} push {example}\n")
    } else {
        format!("To make a pipeline: write pipeline.yaml and scripts into a folder, then {program} push DIR\n")
    };
    let server = if address.port() == 8080 { String::new() } else { format!(" --server http://{address}") };
    format!(
        "\nServing on http://{address}    sign in as {EMAIL}, password {password}\n\n\
         In another terminal:\n  \
         echo {password} | {program} login{server} {EMAIL} --password-stdin\n  \
         {program} runs\n  \
         {program} outbox --full\n\
         {audit}{change}\
         The API's description: http://{address}/v1/openapi.json\n\
         Stop with Ctrl-C."
    )
}

/// How the newcomer calls this program: as it was called now.
fn program() -> String {
    let program = std::env::args().next().unwrap_or_else(|| "restroy".into());
    if program.contains(|c: char| c.is_whitespace() || "'\"$&();<>|*?\\".contains(c)) {
        return format!("'{}'", program.replace('\'', r"'\''"));
    }
    program
}

fn password(data_dir: &Path) -> Result<String, DevError> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let path = data_dir.join(PASSWORD_FILE);
    if let Ok(password) = std::fs::read_to_string(&path) {
        return Ok(password.trim().to_owned());
    }
    let password = hex::encode(Ambient::system().random::<8>());
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| writeln!(file, "{password}"))
        .map_err(|error| DevError::Demo(format!("cannot keep the demo's password in {}: {error}", path.display())))?;
    Ok(password)
}

type ClientResult<T> = Result<T, restroy_client::Error>;

async fn sign_in(client: &Client, password: &str) -> ClientResult<()> {
    // Registering an address that is there already changes nothing.
    client.register(&Register { email: EMAIL.into(), password: password.into(), name: "Demo".into() }).await?;
    client.login(EMAIL, password).await?;
    Ok(())
}

async fn team(client: &Client) -> ClientResult<TeamId> {
    if let Some(team) = client.teams(&Paging::longest()).await?.items.into_iter().find(|team| team.name == TEAM) {
        return Ok(team.id);
    }
    Ok(client.create_team(&NewTeam { name: TEAM.into() }).await?.id)
}

async fn board(client: &Client, team: TeamId) -> ClientResult<BoardId> {
    if let Some(board) =
        client.boards(team, &Paging::longest()).await?.items.into_iter().find(|board| board.name == BOARD)
    {
        return Ok(board.id);
    }
    let board =
        NewBoard { name: BOARD.into(), description: "What Restroy can do, in three pipelines.".into(), private: false };
    Ok(client.create_board(team, &board).await?.id)
}

async fn push(client: &Client, board: BoardId, name: &str) -> Result<(Pipeline, i64), DevError> {
    let failed = |error: &dyn std::fmt::Display| DevError::Demo(format!("example {name}: {error}"));
    let mut files = examples::files(name);
    let text = files.remove("pipeline.yaml").ok_or_else(|| failed(&"it has no pipeline.yaml"))?;
    let document = document::read_yaml(&text).map_err(|faults| failed(&format!("{faults:?}")))?;
    let definition = to_raw_value(&document).map_err(|error| failed(&error))?;
    let files: BTreeMap<String, String> = files.into_iter().filter(|(path, _)| path.starts_with("scripts/")).collect();
    let pipelines = client.pipelines(board, &Paging::longest()).await.map_err(|error| failed(&error))?.items;
    // The name that `restroy push` would give it, so that a changed copy becomes its next version.
    let title = document.name.as_deref().unwrap_or(name);
    let pipeline = match pipelines.into_iter().find(|pipeline| pipeline.name == title) {
        Some(pipeline) => pipeline,
        None => client.create_pipeline(board, title).await.map_err(|error| failed(&error))?,
    };
    // A demo that is started again leaves what is there: no new version of the same.
    if let Some(number) = pipeline.latest_version {
        let latest = client.version(pipeline.id, number).await.map_err(|error| failed(&error))?;
        if latest.version.published && latest.definition == document && latest.files == files {
            return Ok((pipeline, number));
        }
    }
    let put = PutDefinition { definition, files, message: "The example as it comes".into(), publish: true };
    let version = client.put_definition(pipeline.id, &put, None).await.map_err(|error| failed(&error))?.version.number;
    Ok((pipeline, version))
}
