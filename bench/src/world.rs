//! An engine, and a host context with nothing behind it.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use lua_wasm_host::{
    Clock, Engine, EngineConfig, Entropy, HostContext, Invocation, Level, Limits, Sink, Source, StepError,
};

struct Nothing;

impl Clock for Nothing {
    fn now_micros(&self) -> i64 {
        0
    }
}

impl Entropy for Nothing {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

impl Sink for Nothing {
    fn line(&self, _: Level, _: &str) -> Result<(), StepError> {
        Ok(())
    }

    fn progress(&self, _: f64, _: Option<&str>) {}
}

pub(crate) fn engine() -> Result<Engine, Box<dyn Error>> {
    Ok(Engine::new(EngineConfig { max_sandboxes: 16, ..EngineConfig::default() })?)
}

pub(crate) fn host_context() -> HostContext {
    let nothing = Arc::new(Nothing);
    HostContext::new(nothing.clone(), nothing.clone(), nothing)
}

/// A script that only its fuel stops.
pub(crate) fn script(text: &str) -> Invocation {
    let limits = Limits { wall_time: Duration::from_mins(15), ..Limits::HARD_MAX };
    Invocation { limits, ..Invocation::script(Source::new("bench.lua", text)) }
}
