//! Each limit ends a step with its own code, and a message that names its value.

use std::sync::Arc;
use std::time::Duration;

use lua_wasm_host::{ErrorCode, Globals, Invocation, Limits, Source};

use crate::support::{World, engine, limited, run, script};

async fn ends(invocation: Invocation, code: &ErrorCode, named: &str) {
    let error = run(invocation).await.result.unwrap_err();
    assert_eq!(&error.code, code, "{error:?}");
    assert!(error.message.contains(named), "{error:?} does not name {named}");
    assert_eq!(error.retryable, code.retryable());
}

#[tokio::test]
async fn each_limit_is_named() {
    let limits = Limits::default();
    let with = |limits: Limits, text: &str| limited(text, limits);
    ends(with(Limits { fuel: 500_000, ..limits.clone() }, "while true do end"), &ErrorCode::FuelExhausted, "500000")
        .await;
    ends(
        with(Limits { memory_bytes: 8 << 20, ..limits.clone() }, "return ('x'):rep(1e7)"),
        &ErrorCode::MemoryLimit,
        "8 MiB",
    )
    .await;
    ends(with(Limits { memory_bytes: 1 << 16, ..limits.clone() }, "return 1"), &ErrorCode::MemoryLimit, "64 KiB").await;
    ends(
        with(Limits { output_bytes: 10, ..limits.clone() }, "return '123456789'"),
        &ErrorCode::OutputLimit,
        "10 bytes",
    )
    .await;
    ends(with(Limits { source_bytes: 5, ..limits.clone() }, "return 1"), &ErrorCode::SourceLimit, "5 bytes").await;
    ends(with(Limits { log_bytes: 5, ..limits.clone() }, "print('12345')"), &ErrorCode::LogLimit, "5 bytes").await;
    ends(with(Limits { log_line_bytes: 4, ..limits.clone() }, "print('12345')"), &ErrorCode::LogLineLimit, "4 bytes")
        .await;
    ends(
        with(Limits { host_calls: 2, ..limits.clone() }, "while true do pcall(kv.get, 'a') end"),
        &ErrorCode::HostCallLimit,
        "2",
    )
    .await;
    ends(
        with(
            Limits { http_requests: 2, ..limits.clone() },
            "while true do pcall(http.get, 'https://api.example.com/json') end",
        ),
        &ErrorCode::HttpRequestLimit,
        "2",
    )
    .await;
    let globals = Globals { params: Some("[1,2,3]".into()), ..Globals::default() };
    ends(
        Invocation { globals, ..with(Limits { input_bytes: 6, ..limits.clone() }, "return 1") },
        &ErrorCode::InputLimit,
        "6 bytes",
    )
    .await;
    let modules = vec![Source::new("scripts/long.lua", "-- long")];
    ends(
        Invocation { modules, ..with(Limits { source_bytes: 6, ..limits.clone() }, "") },
        &ErrorCode::SourceLimit,
        "6 bytes",
    )
    .await;
    ends(
        with(Limits { cpu_time: Duration::ZERO, fuel: 1 << 40, ..limits }, "while true do end"),
        &ErrorCode::CpuTimeLimit,
        "0ns",
    )
    .await;
}

#[tokio::test]
async fn limits_that_are_just_kept() {
    let limits = Limits { output_bytes: 11, log_bytes: 6, log_line_bytes: 5, host_calls: 1, ..Limits::default() };
    let outcome = run(limited("print('12345') kv.get('a') return '123456789'", limits)).await;
    assert_eq!(outcome.result.unwrap(), r#""123456789""#);
}

#[tokio::test(start_paused = true)]
async fn sleeping_counts_to_the_wall_time() {
    let limits = Limits { wall_time: Duration::from_secs(5), ..Limits::default() };
    ends(limited("pcall(sleep, 6) return 1", limits.clone()), &ErrorCode::WallTimeLimit, "5s").await;
    let outcome = run(limited("sleep(4.5) return 1", limits)).await;
    assert_eq!(outcome.result.unwrap(), "1");
    assert!(outcome.usage.wall_ms >= 4_500);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_http_counts_to_the_wall_time() {
    let limits = Limits { wall_time: Duration::from_secs(5), ..Limits::default() };
    let text = "return http.get('https://api.example.com/hang')";
    ends(limited(text, limits), &ErrorCode::WallTimeLimit, "5s").await;
}

#[tokio::test(start_paused = true)]
async fn waiting_for_our_own_services_does_not_count() {
    let world = Arc::new(World { delay: Duration::from_secs(100), ..World::default() });
    let limits = Limits { wall_time: Duration::from_secs(5), ..Limits::default() };
    let text = "kv.set('a', 1) email.send{to = 'a@b.example', subject = 's', text = 't'} sleep(4) return kv.get('a')";
    let outcome = engine().run(limited(text, limits), world.host_context()).await;
    assert_eq!(outcome.result.unwrap(), "1");
    assert!(outcome.usage.wall_ms >= 304_000);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_ends() {
    for text in ["sleep(20)", "pcall(sleep, 20) return 1", "while true do pcall(sleep, 1) end"] {
        let world = Arc::new(World::default());
        let host_context = world.host_context();
        let cancel = host_context.cancel.clone();
        let cancelled = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            cancel.cancel();
        };
        let (outcome, ()) = tokio::join!(engine().run(script(text), host_context), cancelled);
        assert_eq!(outcome.result.unwrap_err().code, ErrorCode::Cancelled, "{text}");
    }
}

#[tokio::test]
async fn usage_is_measured() {
    let outcome = run(script("print('12345') kv.set('key', ('x'):rep(1000)) return {kv.get('key')}")).await;
    assert!(outcome.result.is_ok());
    let usage = outcome.usage;
    assert_eq!(usage.host_calls, 2);
    assert!(usage.fuel > 3_000 && usage.fuel < 100_000, "{usage:?}");
    assert!(usage.memory_peak > 500_000 && usage.memory_peak < 4 << 20, "{usage:?}");
    assert!(usage.bytes_out > 2_000 && usage.bytes_out < 4_000, "{usage:?}");
    assert!(usage.bytes_in > 1_000 && usage.bytes_in < 3_000, "{usage:?}");
}

#[tokio::test]
async fn a_dropped_run_frees_its_place() {
    for _ in 0..40 {
        let run = run(script("sleep(1000)"));
        assert!(tokio::time::timeout(Duration::ZERO, run).await.is_err());
    }
    assert!(run(script("return 1")).await.result.is_ok());
}

#[tokio::test]
async fn a_run_that_waits_for_a_place_can_be_cancelled() {
    let busy: Vec<_> = (0..16).map(|_| Box::pin(run(script("sleep(1000)")))).collect();
    let mut busy = futures_util::future::join_all(busy);
    assert!(tokio::time::timeout(Duration::ZERO, &mut busy).await.is_err());
    let host_context = Arc::new(World::default()).host_context();
    host_context.cancel.cancel();
    let outcome = engine().run(script("return 1"), host_context).await;
    assert_eq!(outcome.result.unwrap_err().code, ErrorCode::Cancelled);
}
