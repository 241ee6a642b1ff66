//! Whatever a script calls, it returns to its executor often, and so its limits and a cancel end it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::poll_fn;
use lua_wasm_host::{ErrorCode, Limits, Outcome};

use crate::support::{World, engine, limited};

/// Scripts that call the host without end, and wait for nothing.
pub(crate) const LOOPS: &[&str] = &[
    "while true do end",
    "while true do os.clock() end",
    "while true do for i = 1, 20000 do end os.clock() end",
    "while true do os.time() end",
    "while true do time.now() end",
    "while true do time.parts(1e9, 'Europe/Berlin') end",
    "while true do uuid.v4() end",
    "while true do crypto.random_bytes(4096) end",
    "while true do pcall(error) end",
    "while true do xpcall(error, error) end",
    "while true do pcall(progress, 2) end",
    "while true do pcall(kv.get, '') end",
    "while true do pcall(kv.get, 'a') end",
    "while true do pcall(http.get, 'https://elsewhere.example/') end",
    "local f = files.open('a', 'w') while true do pcall(f.read, f, 1) end",
    "table.sort({3, 1, 2, 5, 4}, function() while true do os.clock() end end)",
    "(('x'):rep(9)):gsub('.', function() while true do pcall(error) end end)",
    "setmetatable({}, {__gc = function() while true do os.clock() end end}) collectgarbage()",
];

/// No limit but those that a test sets.
pub(crate) fn endless() -> Limits {
    Limits { fuel: 100_000_000_000, host_calls: 100_000, ..Limits::default() }
}

async fn ends_with(code: &ErrorCode, text: &str, limits: Limits) -> Outcome {
    let outcome = engine().run(limited(text, limits), Arc::new(World::default()).host_context()).await;
    assert_eq!(&outcome.result.clone().unwrap_err().code, code, "{text}\n{outcome:?}");
    outcome
}

#[tokio::test]
async fn processor_time_ends_every_loop() {
    for text in LOOPS {
        ends_with(&ErrorCode::CpuTimeLimit, text, Limits { cpu_time: Duration::from_millis(20), ..endless() }).await;
    }
}

#[tokio::test]
async fn wall_time_ends_every_loop() {
    for text in LOOPS.iter().filter(|text| !text.contains("'a'")) {
        ends_with(&ErrorCode::WallTimeLimit, text, Limits { wall_time: Duration::from_millis(20), ..endless() }).await;
    }
}

#[tokio::test]
async fn logging_ends_at_the_wall_time_too() {
    for text in ["while true do print('') end", "while true do progress(0.5) end", "while true do log.info('') end"] {
        let limits = Limits { wall_time: Duration::from_millis(2), log_bytes: Limits::HARD_MAX.log_bytes, ..endless() };
        ends_with(&ErrorCode::WallTimeLimit, text, limits).await;
    }
}

#[tokio::test]
async fn a_cancel_ends_every_loop() {
    for text in LOOPS {
        let host_context = Arc::new(World::default()).host_context();
        let cancel = host_context.cancel.clone();
        let cancelled = async {
            // Between two polls of the sandbox, on the same thread.
            tokio::task::yield_now().await;
            cancel.cancel();
        };
        let (outcome, ()) = tokio::join!(engine().run(limited(text, endless()), host_context), cancelled);
        assert_eq!(outcome.result.unwrap_err().code, ErrorCode::Cancelled, "{text}");
    }
}

/// Fuel between two polls is bounded: at most two intervals of a million, and what one call costs.
#[tokio::test]
async fn every_loop_returns_after_a_bounded_amount_of_fuel() {
    const FUEL: u64 = 30_000_000;
    for text in LOOPS {
        let limits = Limits { fuel: FUEL, ..endless() };
        let mut run = Box::pin(engine().run(limited(text, limits), Arc::new(World::default()).host_context()));
        let mut polls = 0_u64;
        let outcome = poll_fn(|context| {
            polls += 1;
            run.as_mut().poll(context)
        })
        .await;
        assert_eq!(outcome.result.unwrap_err().code, ErrorCode::FuelExhausted, "{text}");
        assert!(polls >= FUEL / 2_100_000, "{text}: {polls} polls");
    }
}
