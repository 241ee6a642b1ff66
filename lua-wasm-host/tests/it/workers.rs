//! Sandboxes in worker processes: limits hold, whatever happens to a worker concerns its sandbox alone, and the
//! engine continues.
//!
//! That results and fuel are the same as on threads is compared wherever another test calls
//! [`run`](crate::support::run).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lua_wasm_host::{Engine, EngineConfig, ErrorCode, HostContext, Isolation, Limits, Outcome, Owner};

use crate::interrupting::{LOOPS, endless};
use crate::support::{World, limited, script, worker_config, worker_engine};

fn host_context(owner: u128) -> HostContext {
    HostContext { owner: Some(Owner(owner)), ..Arc::new(World::default()).host_context() }
}

async fn works(engine: &Engine) {
    let outcome = engine.run(script("return 1"), host_context(1)).await;
    assert_eq!(outcome.result.as_deref(), Ok("1"), "{outcome:?}");
}

fn code(outcome: &Outcome) -> &ErrorCode {
    &outcome.result.as_ref().unwrap_err().code
}

#[tokio::test]
async fn time_ends_every_loop() {
    for text in LOOPS {
        let limits = Limits { cpu_time: Duration::from_millis(20), ..endless() };
        let outcome = worker_engine().run(limited(text, limits), host_context(1)).await;
        assert_eq!(code(&outcome), &ErrorCode::CpuTimeLimit, "{text}");
        assert!(outcome.usage.fuel > 1_000_000, "{text}: {outcome:?}");
    }
    for text in &LOOPS[..4] {
        let limits = Limits { wall_time: Duration::from_millis(20), ..endless() };
        let outcome = worker_engine().run(limited(text, limits), host_context(1)).await;
        assert_eq!(code(&outcome), &ErrorCode::WallTimeLimit, "{text}");
    }
    works(worker_engine()).await;
}

#[tokio::test]
async fn a_cancel_ends_a_worker_at_once() {
    for text in ["while true do end", "sleep(20)", "while true do os.clock() end"] {
        let host_context = host_context(2);
        let cancel = host_context.cancel.clone();
        let cancelled = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            cancel.cancel();
        };
        let (outcome, ()) = tokio::join!(worker_engine().run(limited(text, endless()), host_context), cancelled);
        assert_eq!(code(&outcome), &ErrorCode::Cancelled, "{text}");
    }
    works(worker_engine()).await;
}

#[tokio::test]
async fn calls_are_served_in_order_and_counted() {
    let world = Arc::new(World::default());
    let text = "
        for i = 1, 100 do kv.set('k' .. i, i) end
        print('one') print('two')
        local sum = 0
        for i = 1, 100 do sum = sum + kv.get('k' .. i) end
        sleep(0.01)
        local body = http.post('https://api.example.com/echo', {body = ('x'):rep(200000)}).body
        return {sum, #body}";
    let outcome = worker_engine().run(script(text), world.host_context()).await;
    assert_eq!(outcome.result.as_deref(), Ok("[5050,200000]"));
    assert_eq!(outcome.usage.host_calls, 202);
    assert_eq!(world.text(), ["one", "two"]);
}

#[tokio::test]
async fn a_worker_has_the_memory_that_limits_allow() {
    let limits = Limits { memory_bytes: Limits::HARD_MAX.memory_bytes, ..Limits::default() };
    let text = "local t = {} for i = 1, 8 do t[i] = ('x'):rep(10000000 + i) end return #t";
    for _ in 0..3 {
        let outcome = worker_engine().run(limited(text, limits.clone()), host_context(9)).await;
        assert_eq!(outcome.result.as_deref(), Ok("8"), "{outcome:?}");
        assert!(outcome.usage.memory_peak > 80_000_000);
    }
}

/// The child processes of this one.
fn children() -> BTreeSet<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let of_task = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default()
    };
    tasks
        .map(of_task)
        .flat_map(|text| text.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<_>>())
        .collect()
}

#[tokio::test]
async fn a_zygote_that_dies_takes_its_workers_along_and_is_replaced() {
    let before = children();
    let isolation = Isolation::Process(worker_config(&[]));
    let config = EngineConfig { max_sandboxes: 4, isolation, ..EngineConfig::default() };
    let engine = tokio::task::spawn_blocking(|| Engine::new(config)).await.unwrap().unwrap();
    works(&engine).await;
    let zygotes: Vec<_> = children().difference(&before).copied().collect();
    let [zygote] = zygotes[..] else { panic!("{zygotes:?}") };
    let world = Arc::new(World::default());
    let running = tokio::spawn({
        let (engine, host_context) = (engine.clone(), HostContext { owner: Some(Owner(7)), ..world.host_context() });
        async move { engine.run(limited("kv.set('a', 1) sleep(20)", endless()), host_context).await }
    });
    while world.kv.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(std::process::Command::new("kill").arg("-9").arg(zygote.to_string()).status().unwrap().success());
    let outcome = running.await.unwrap();
    let error = outcome.result.unwrap_err();
    assert_eq!(error.code.as_str(), "sandbox_lost", "{error:?}");
    assert!(error.retryable);
    // Nobody else notices.
    works(&engine).await;
    let outcome = engine.run(script("return 1"), host_context(7)).await;
    assert_eq!(outcome.result.as_deref(), Ok("1"));
}

#[tokio::test]
async fn a_program_that_is_not_a_worker_is_an_error() {
    for program in ["/bin/true", "/nonexistent"] {
        let isolation =
            Isolation::Process(lua_wasm_host::ProcessConfig { program: program.into(), ..worker_config(&[]) });
        let config = EngineConfig { max_sandboxes: 4, isolation, ..EngineConfig::default() };
        assert!(tokio::task::spawn_blocking(|| Engine::new(config)).await.unwrap().is_err(), "{program}");
    }
}

#[tokio::test]
async fn this_machine_keeps_workers_in() {
    let report = worker_engine().isolation().unwrap();
    assert!(report.seccomp && report.no_new_privs, "{report:?}");
}
