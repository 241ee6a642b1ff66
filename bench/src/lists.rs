//! `bench lists`: pages of long lists in embedded mode, in a team of 1,000 members with a board of 10,000
//! pipelines, one of which has 400 versions of 100 scripts. The rows are written past the API, which would take its time.
//!
//! Every median must stay below 50 ms; the command fails where one does not.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use restroy_client::{Client, Paging, Result as ClientResult};
use restroy_sdk::{
    api::Page,
    ids::{BoardId, PipelineId, TeamId},
};
use sqlx::SqliteConnection;

use crate::{
    stats::{millis, quantile},
    subjects::Embedded,
};

const PIPELINES: i64 = 10_000;
const MEMBERS: i64 = 1_000;
const VERSIONS: i64 = 400;
const SCRIPTS: i64 = 100;
/// How often each page is asked for.
const REQUESTS: usize = 100;
const WARM_UP: usize = 10;
/// What no median may reach.
const BOUND: Duration = Duration::from_millis(50);

/// Measures and prints.
pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    let embedded = Embedded::start().await?;
    let client = embedded.client().ok_or("an installation has a client")?;
    let longest = Paging::longest();
    let teams = client.teams(&longest).await?;
    let team = teams.items.iter().find(|team| team.name == "Bench").ok_or("the bench has a team")?.id;
    let board = client.boards(team, &longest).await?.items.first().ok_or("the team has a board")?.id;
    fill(&mut embedded.database().await?, team, board).await?;

    println!("| list | page | median | p99 |\n|---|---|---|---|");
    let mut slow = Vec::new();
    slow.extend(list("pipelines of a board", PIPELINES, async |paging| client.pipelines(board, &paging).await).await?);
    let versioned = versioned(&mut embedded.database().await?, team, board).await?;
    slow.extend(list("scripts of a pipeline", SCRIPTS, async |paging| client.scripts(versioned, &paging).await).await?);
    slow.extend(
        list("versions of a pipeline", VERSIONS, async |paging| client.versions(versioned, &paging).await).await?,
    );
    let script = client.scripts(versioned, &longest).await?.items.first().ok_or("the pipeline has scripts")?.id;
    slow.extend(
        list("sources of a script", VERSIONS, async |paging| client.script_versions(script, &paging).await).await?,
    );
    slow.extend(list("members of a team", MEMBERS, async |paging| client.members(team, &paging).await).await?);
    slow.extend(list("boards of a team", 1, async |paging| client.boards(team, &paging).await).await?);
    slow.extend(list("runs of a team", 0, async |paging| client.team_runs(team, &paging).await).await?);
    println!("\nPages of 100, {REQUESTS} times each, one request after the other.");
    change(client, board).await?;
    embedded.stop().await;
    if slow.is_empty() { Ok(()) } else { Err(format!("above {BOUND:?}: {}", slow.join(", ")).into()) }
}

/// Fills the board and the team up.
async fn fill(database: &mut SqliteConnection, team: TeamId, board: BoardId) -> Result<(), Box<dyn Error>> {
    let present: i64 = sqlx::query_scalar("SELECT count(*) FROM pipelines WHERE board_id = $1")
        .bind(board.0)
        .fetch_one(&mut *database)
        .await?;
    sqlx::query(
        "WITH RECURSIVE n (i) AS (SELECT $3 + 1 UNION ALL SELECT i + 1 FROM n WHERE i < $4)
         INSERT INTO pipelines (id, team_id, board_id, name, position, created_at, updated_at)
         SELECT randomblob(16), $1, $2, 'Pipeline ' || i, i * 4294967296, i, i FROM n",
    )
    .bind(team.0)
    .bind(board.0)
    .bind(present)
    .bind(PIPELINES)
    .execute(&mut *database)
    .await?;
    sqlx::query(
        "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
         INSERT INTO users (id, email, email_folded, name, password_hash, email_verified_at, created_at)
         SELECT randomblob(16), i || '@members.example', i || '@members.example', 'Member ' || i, '', 1, 1 FROM n",
    )
    .bind(MEMBERS)
    .execute(&mut *database)
    .await?;
    sqlx::query(
        "INSERT INTO memberships (team_id, user_id, role, created_at)
         SELECT $1, id, 'viewer', 1 FROM users WHERE email LIKE '%@members.example'",
    )
    .bind(team.0)
    .execute(&mut *database)
    .await?;
    Ok(())
}

/// A pipeline with many versions of many scripts, each of another source in each.
async fn versioned(
    database: &mut SqliteConnection,
    team: TeamId,
    board: BoardId,
) -> Result<PipelineId, Box<dyn Error>> {
    let pipeline: sqlx::types::Uuid =
        sqlx::query_scalar("SELECT id FROM pipelines WHERE board_id = $1 ORDER BY name LIMIT 1")
            .bind(board.0)
            .fetch_one(&mut *database)
            .await?;
    for statement in [
        "INSERT INTO pipeline_versions (id, team_id, pipeline_id, number, definition, created_at)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $3)
         SELECT randomblob(16), $1, $2, i, '{}', i FROM n WHERE $4 = $4",
        "INSERT INTO scripts (id, team_id, pipeline_id, path, created_at)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $4)
         SELECT randomblob(16), $1, $2, 'scripts/' || i || '.lua', i FROM n WHERE $3 = $3",
        "INSERT INTO script_versions (id, team_id, sha256, source, created_at)
         SELECT randomblob(16), $1, CAST(v.number || s.path AS BLOB), v.number || s.path, 1
         FROM pipeline_versions v JOIN scripts s ON s.pipeline_id = v.pipeline_id
         WHERE v.pipeline_id = $2 AND v.number <= $3 AND $4 = $4",
        "INSERT INTO pipeline_version_scripts (team_id, version_id, script_id, script_version_id)
         SELECT $1, v.id, s.id, (SELECT w.id FROM script_versions w WHERE w.team_id = $1 AND w.sha256 = CAST(v.number || s.path AS BLOB))
         FROM pipeline_versions v JOIN scripts s ON s.pipeline_id = v.pipeline_id
         WHERE v.pipeline_id = $2 AND v.number <= $3 AND $4 = $4",
        "UPDATE scripts SET version_id = (SELECT id FROM pipeline_versions WHERE pipeline_id = $2 AND number = $3)
         WHERE team_id = $1 AND pipeline_id = $2 AND $4 = $4",
        "UPDATE pipelines SET latest_version = $3 WHERE team_id = $1 AND id = $2 AND $4 = $4",
    ] {
        let query = sqlx::query(statement).bind(team.0).bind(pipeline).bind(VERSIONS).bind(SCRIPTS);
        query.execute(&mut *database).await?;
    }
    Ok(PipelineId(pipeline))
}

/// Walks a list to its end, to see that all is there, and measures its first, a middle and its last page.
/// Gives the pages that were too slow.
async fn list<T>(
    name: &str,
    things: i64,
    mut page: impl AsyncFnMut(Paging) -> ClientResult<Page<T>>,
) -> Result<Vec<String>, Box<dyn Error>> {
    let mut pages = vec![Paging::longest()];
    let mut found = 0;
    while let Some(paging) = pages.last().cloned() {
        let got = page(paging.clone()).await?;
        found += i64::try_from(got.items.len())?;
        match paging.after(&got) {
            Some(next) => pages.push(next),
            None => break,
        }
    }
    if found < things {
        return Err(format!("{name}: {found} of {things} are listed").into());
    }
    let last = pages.len() - 1;
    let mut places = vec![0, last / 2, last];
    places.dedup();
    let mut slow = Vec::new();
    for place in places {
        let mut times = Vec::new();
        for turn in 0..WARM_UP + REQUESTS {
            let begun = Instant::now();
            page(pages[place].clone()).await?;
            if turn >= WARM_UP {
                times.push(begun.elapsed());
            }
        }
        let (median, p99) = (quantile(&mut times, 0.5), quantile(&mut times, 0.99));
        println!("| {name} ({found}) | {} of {} | {} | {} |", place + 1, pages.len(), millis(median), millis(p99));
        if median >= BOUND {
            slow.push(format!("{name}, page {}", place + 1));
        }
    }
    Ok(slow)
}

/// What a move takes on the full board: each before the pipeline that is first, where gaps get narrow.
async fn change(client: &Client, board: BoardId) -> Result<(), Box<dyn Error>> {
    let first = client.pipelines(board, &Paging::longest()).await?.items;
    let (Some(one), Some(other), Some(target)) = (first.first(), first.get(1), first.get(2)) else {
        return Err("the board is empty".into());
    };
    let mut times = Vec::new();
    for turn in 0..REQUESTS {
        let moving = if turn % 2 == 0 { one.id } else { other.id };
        let begun = Instant::now();
        client.order_pipeline(board, moving, Some(target.id)).await?;
        times.push(begun.elapsed());
    }
    println!(
        "A move on the full board, {REQUESTS} times to the same place: median {}, longest {} (all positions dealt anew).",
        millis(quantile(&mut times, 0.5)),
        millis(quantile(&mut times, 1.0))
    );
    Ok(())
}
