//! What passes through Redis: ids and numbers, under the prefix, and nothing else.

use std::sync::Arc;

use futures_util::StreamExt;
use restroy_run_queue::{
    queue::Queue,
    redis::{RedisOptions, RedisQueue},
    run_api::{HeldTask, ReleaseReason},
    wake::{Wake, WakeUps},
};
use restroy_sdk::{
    ids::{ExecutorId, RunId, TaskId, TeamId},
    time::Ambient,
};
use serde_json::Value;
use uuid::Uuid;

use crate::support::{Consumer, PrivateRedis, keys, message, telling, within};

/// What may stand where no id and no number stands.
const WORDS: &[&str] = &[
    "EVALSHA",
    "SCRIPT",
    "LOAD",
    "ZPOPMIN",
    "ZADD",
    "NX",
    "ZCARD",
    "ZSCORE",
    "ZRANGE",
    "WITHSCORES",
    "PUBLISH",
    "SUBSCRIBE",
    "PING",
    "HELLO",
    "CLIENT",
    "SETINFO",
    "LIB-NAME",
    "LIB-VER",
    "MULTI",
    "EXEC",
    "redis-rs",
    "",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_ids_pass_through_redis() {
    let redis = PrivateRedis::start().await;
    let options = RedisOptions::new(&redis.url(), "somewhere").unwrap();
    let monitor = redis::Client::open(redis.url()).unwrap().get_async_monitor().await.unwrap();
    let mut lines = monitor.into_on_message::<String>();

    let queue = Arc::new(RedisQueue::start(&options));
    let (one, other) =
        (WakeUps::over_redis(&options, &Ambient::system()), WakeUps::over_redis(&options, &Ambient::system()));
    let mut heard = other.listen();
    within(async { tokio::join!(queue.until_connected(), one.until_connected(), other.until_connected()) }).await;
    let run_id = RunId(Ambient::system().uuid());
    queue.push(message(1)).await.unwrap();
    assert_eq!(keys(&mut redis.connection().await, "").await, ["somewhere:queue"]);
    let (handler, mut arrivals) = telling();
    let consumer = Consumer::start(&(Arc::clone(&queue) as _), 2, handler);
    for n in 2..5 {
        queue.push(message(n)).await.unwrap();
    }
    for _ in 1..5 {
        within(arrivals.recv()).await.unwrap();
    }
    let team_id = TeamId(Ambient::system().uuid());
    let task = HeldTask { task_id: TaskId(Ambient::system().uuid()), fence: 3 };
    let executor_id = ExecutorId(Ambient::system().uuid());
    let released = Wake::Released { executor_id, task, reason: ReleaseReason::Ended };
    for wake in [Wake::Admit, Wake::Run { run_id }, Wake::Access { team_id }, released, Wake::Missed] {
        one.send(wake);
        within(async { while heard.recv().await.unwrap() != wake {} }).await;
    }
    consumer.stopped().await;

    redis::cmd("PING").arg("the end").exec_async(&mut redis.connection().await).await.unwrap();
    let mut commands = Vec::new();
    while let Some(line) = within(lines.next()).await.filter(|line| !line.contains("the end")) {
        if !line.contains("\"KEYS\"") {
            commands.push(line);
        }
    }
    for command in ["EVALSHA", "ZPOPMIN", "PUBLISH", "SUBSCRIBE"] {
        assert!(commands.iter().any(|line| line.contains(command)), "no {command} in {commands:#?}");
    }
    for line in &commands {
        for argument in arguments(line) {
            assert!(allowed(&argument), "{argument} in {line}");
        }
    }
}

/// The quoted arguments of a line of MONITOR.
fn arguments(line: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let (mut inside, mut escaped, mut argument) = (false, false, String::new());
    for c in line.chars() {
        match c {
            _ if escaped => {
                argument.push(if c == 'n' { '\n' } else { c });
                escaped = false;
            }
            '\\' if inside => escaped = true,
            '"' if inside => {
                arguments.push(std::mem::take(&mut argument));
                inside = false;
            }
            '"' => inside = true,
            _ if inside => argument.push(c),
            _ => {}
        }
    }
    assert!(!arguments.is_empty() && !inside, "{line}");
    arguments
}

/// Whether an argument is a word of the protocol, a name under the prefix, an id, a number, a
/// fingerprint or text of our script, or a wake-up.
fn allowed(argument: &str) -> bool {
    WORDS.contains(&argument.to_uppercase().as_str())
        || WORDS.contains(&argument)
        || argument.starts_with("somewhere:")
        || Uuid::parse_str(argument).is_ok()
        || argument.chars().all(|c| c.is_ascii_digit() || ".-".contains(c))
        || (argument.len() == 40 && argument.chars().all(|c| c.is_ascii_hexdigit()))
        || argument.contains("redis.call('ZCARD', KEYS[1])")
        || wake_up(argument)
}

fn wake_up(argument: &str) -> bool {
    let Ok(Value::Object(said)) = serde_json::from_str(argument) else { return false };
    let id = |value: &Value| value.as_str().is_some_and(|id| Uuid::parse_str(id).is_ok());
    said.iter().all(|(field, value)| match field.as_str() {
        "protocol" => value.is_u64(),
        "origin" => id(value),
        "admit" | "missed" => value.is_boolean(),
        "access" => value.as_array().is_some_and(|teams| teams.iter().all(id)),
        "runs" => value.as_array().is_some_and(|runs| runs.iter().all(id)),
        "released" => value.as_array().is_some_and(|tasks| tasks.iter().all(|released| is_released(released, id))),
        _ => false,
    })
}

/// An executor, its task with the fence, and why: a word of a closed list.
fn is_released(released: &Value, id: impl Fn(&Value) -> bool) -> bool {
    let task = &released[1];
    id(&released[0])
        && id(&task["task_id"])
        && task["fence"].is_i64()
        && matches!(released[2].as_str(), Some("ended" | "taken"))
}
