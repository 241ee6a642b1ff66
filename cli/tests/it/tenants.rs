//! What belongs to one team does not exist for another.

use restroy_client::{Client, Error, Paging};
use restroy_sdk::{
    api::{run::NewRun, script::PutConfiguration},
    problem::{Problem, ProblemCode},
};
use serde_json::json;

use crate::world::{Tenant, World, person, problem};

#[tokio::test]
async fn a_stranger_sees_nothing_and_changes_nothing() {
    let world = World::new(&[]).await;
    let stranger = person(&world.server, "mallory").await;
    let pipeline = world.push_script("private", "kv.set('k', 1) return config.word", json!({"kv": true})).await;
    let script = world.client.scripts(pipeline, &Paging::longest()).await.unwrap().items[0].id;
    let run = world.run(pipeline, json!({})).await.succeeded().run.id;
    let page = Paging::longest();

    let mut answers: Vec<(&str, Problem)> = Vec::new();
    let mut note = |what, error: Error| answers.push((what, problem(error)));
    note("team", stranger.team(world.team).await.unwrap_err());
    note("boards", stranger.boards(world.team, &page).await.unwrap_err());
    note("outbox", stranger.outbox(world.team, &page).await.unwrap_err());
    note("board", stranger.board(world.board).await.unwrap_err());
    note("kv", stranger.kv(world.board, &page).await.unwrap_err());
    note("create pipeline", stranger.create_pipeline(world.board, "mine").await.unwrap_err());
    note("pipeline", stranger.pipeline(pipeline).await.unwrap_err());
    note("definition", stranger.definition(pipeline).await.unwrap_err());
    note("scripts", stranger.scripts(pipeline, &page).await.unwrap_err());
    note("script", stranger.script(script).await.unwrap_err());
    note("configuration", stranger.configuration(script, &page).await.unwrap_err());
    let value = PutConfiguration { value: "a word of mine".into(), secret: false, usable_only: false };
    note("put configuration", stranger.put_configuration(script, "word", &value).await.unwrap_err());
    note("start", stranger.start_run(pipeline, &NewRun::default()).await.unwrap_err());
    note("run", stranger.run(run).await.unwrap_err());
    note("steps", stranger.steps(run, &page).await.unwrap_err());
    note("events", stranger.events(run, 0).await.unwrap_err());
    note("artifacts", stranger.artifacts(run, &page).await.unwrap_err());
    note("cancel", stranger.cancel(run).await.unwrap_err());
    let missing = problem(stranger.run(serde_json::from_value(json!(uuid_of_nothing())).unwrap()).await.unwrap_err());
    for (what, problem) in answers {
        assert_eq!((problem.status, problem.code), (404, ProblemCode::NotFound), "{what}");
        assert_eq!(
            (&problem.title, &problem.detail),
            (&missing.title, &missing.detail),
            "{what} looks like a missing thing"
        );
    }
    let nobody = Client::new(&world.server.url).unwrap();
    assert!(nobody.run(run).await.is_err());
}

fn uuid_of_nothing() -> &'static str {
    "01234567-89ab-7def-8123-456789abcdef"
}

#[tokio::test]
async fn boards_do_not_share_their_stores() {
    let world = World::new(&[]).await;
    let script = "return {before = kv.get('word'), now = kv.set('word', params.word)}";
    let ours = world.push_script("ours", script, json!({"kv": true})).await;
    world.run(ours, json!({"word": "ours"})).await.succeeded();

    let theirs = Tenant::new(&world.server, "bob").await;
    let pipeline = theirs.push_script("theirs", script, json!({"kv": true})).await;
    let first = theirs.run(pipeline, json!({"word": "theirs"})).await.succeeded();
    assert!(first.output("only").get("before").is_none_or(serde_json::Value::is_null));
    let second = theirs.run(pipeline, json!({"word": "again"})).await.succeeded();
    assert_eq!(second.output("only")["before"], json!("theirs"));
}
