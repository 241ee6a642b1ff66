//! Bad input is refused with a problem that names the place, and leaves nothing half-made.

use restroy_client::Paging;
use restroy_sdk::{api::run::NewRun, problem::ProblemCode};
use serde_json::{Value, json};

use crate::world::{World, problem};

const GOOD: (&str, &str) = ("scripts/a.lua", "return 1");

fn steps(steps: Value) -> Value {
    json!({"restroy": 1, "steps": steps})
}

#[tokio::test]
async fn a_wrong_definition_is_refused_at_its_place() {
    let world = World::new(&[]).await;
    let a = json!({"script": "scripts/a.lua"});
    let cases = [
        (
            "cycle",
            steps(
                json!({"x": {"script": "scripts/a.lua", "needs": ["y"]}, "y": {"script": "scripts/a.lua", "needs": ["x"]}}),
            ),
            vec![GOOD],
            "/steps/x/needs",
            "cycle",
        ),
        (
            "unknown step",
            steps(json!({"x": {"script": "scripts/a.lua", "needs": ["nobody"]}})),
            vec![GOOD],
            "/steps/x/needs/0",
            "nobody",
        ),
        (
            "unknown script",
            steps(json!({"x": {"script": "scripts/b.lua"}})),
            vec![GOOD],
            "/steps/x/script",
            "scripts/b.lua",
        ),
        (
            "unknown field",
            steps(json!({"x": {"script": "scripts/a.lua", "neds": []}})),
            vec![GOOD],
            "/steps/x/neds",
            "neds",
        ),
        (
            "bad expression",
            steps(json!({"x": {"script": "scripts/a.lua", "if": "1 +"}})),
            vec![GOOD],
            "/steps/x/if",
            "",
        ),
        (
            "syntax error",
            steps(json!({"x": a})),
            vec![("scripts/a.lua", "local x = 1\nlocal y = = 2")],
            "/files/scripts~1a.lua",
            "",
        ),
        ("two kinds", steps(json!({"x": {"script": "scripts/a.lua", "sleep": "1s"}})), vec![GOOD], "/steps/x", ""),
        (
            "bad time",
            steps(json!({"x": {"script": "scripts/a.lua", "timeout": "soon"}})),
            vec![GOOD],
            "/steps/x/timeout",
            "soon",
        ),
        (
            "bad origin",
            steps(json!({"x": {"script": "scripts/a.lua", "allow": {"http": ["example"]}}})),
            vec![GOOD],
            "/steps/x/allow/http/0",
            "",
        ),
        (
            "bad cron",
            json!({"restroy": 1, "steps": {"x": a}, "schedules": {"s": {"cron": "often"}}}),
            vec![GOOD],
            "/schedules/s/cron",
            "",
        ),
        (
            "bad zone",
            json!({"restroy": 1, "steps": {"x": a}, "schedules": {"s": {"cron": "0 8 * * *", "timezone": "Mars/Base"}}}),
            vec![GOOD],
            "/schedules/s/timezone",
            "Mars/Base",
        ),
        (
            "bad schema",
            json!({"restroy": 1, "params": {"type": "objekt"}, "steps": {"x": a}}),
            vec![GOOD],
            "/params",
            "",
        ),
        ("no steps", steps(json!({})), vec![], "/steps", ""),
    ];
    let pipeline = world.client.create_pipeline(world.board, "wrong").await.unwrap().id;
    for (name, definition, files, pointer, word) in cases {
        let problem = world.try_publish(pipeline, definition, &files).await.unwrap_err();
        assert_eq!((problem.status, problem.code), (422, ProblemCode::InvalidDefinition), "{name}: {problem}");
        let fault = problem.errors.iter().find(|fault| fault.pointer.starts_with(pointer));
        let fault = fault.unwrap_or_else(|| panic!("{name}: no fault at {pointer}: {problem}"));
        assert!(fault.detail.contains(word), "{name}: {}", fault.detail);
        if name == "syntax error" {
            assert_eq!((fault.line, fault.column), (Some(2), Some(11)), "{name}: {}", fault.detail);
        }
        let now = world.client.pipeline(pipeline).await.unwrap();
        assert_eq!((now.latest_version, now.published_version), (None, None), "{name} left a version");
        assert!(
            world.client.scripts(pipeline, &Paging::longest()).await.unwrap().items.is_empty(),
            "{name} left a script"
        );
    }
    let early = world.client.start_run(pipeline, &NewRun::default()).await.unwrap_err();
    assert_eq!(problem(early).code, ProblemCode::Conflict, "nothing is published yet");
}

#[tokio::test]
async fn wrong_parameters_start_nothing() {
    let world = World::new(&[]).await;
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let definition = json!({"restroy": 1, "params": schema, "steps": {"x": {"script": "scripts/a.lua"}}});
    let pipeline = world.push("typed", definition, &[GOOD]).await;
    for (params, pointer) in [(json!({"n": "one"}), "/n"), (json!({}), "")] {
        let params = params.as_object().unwrap().clone();
        let problem = problem(world.client.start_run(pipeline, &NewRun { params }).await.unwrap_err());
        assert_eq!((problem.status, problem.code), (422, ProblemCode::InvalidParams));
        assert!(problem.errors.iter().any(|fault| fault.pointer.ends_with(pointer)), "{problem}");
    }
    assert!(world.client.runs(pipeline, &Paging::longest()).await.unwrap().items.is_empty());
}
