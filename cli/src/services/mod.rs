//! The services of an installation as processes of their own: control-plane and executor.
//!
//! Each starts in one order: settings, then what it needs from outside, then its parts, and only
//! then its listeners, whose addresses it prints. Each stops in the other order, on SIGTERM or
//! Ctrl-C: nothing new is taken, what is under way may finish within a deadline, and the rest is
//! handed over. A second signal ends the process at once.

mod client_certificate;
mod control_plane;
mod executor;
pub(crate) mod listen;
pub(crate) mod log;
mod pace;
pub(crate) mod signals;
mod tls;

pub(crate) use control_plane::{ControlPlaneArgs, control_plane, database};
pub(crate) use executor::{ExecutorArgs, executor};

use std::{
    future::Future,
    path::{Path, PathBuf},
};

use lua_wasm_host::{Engine, EngineConfig, Isolation};
use restroy_run_queue::redis::{Prefix, RedisOptions};

use crate::{
    failure::{Failure, Outcome, code},
    settings::value::SecretUrl,
};

/// The sandboxes' engine. It takes half a second to make unless its code is in the cache.
async fn engine(max_sandboxes: u32, cache_dir: Option<PathBuf>, isolation: Isolation) -> Outcome<Engine> {
    let failed = |error: String| {
        Failure::new(format!("the sandbox engine does not start: {error}")).help(
            "see that RESTROY_ENGINE_CACHE_DIR, if set, is a folder that this user can write to; \
                 docs/operations.md says what RESTROY_ISOLATION needs",
        )
    };
    tokio::task::spawn_blocking(move || Engine::new(EngineConfig { max_sandboxes, cache_dir, isolation }))
        .await
        .map_err(|error| failed(error.to_string()))?
        .map_err(|error| failed(error.to_string()))
}

/// Redis, as the settings name it; nothing is connected yet.
fn redis(url: &SecretUrl, prefix: &Prefix, authority: Option<&Path>) -> Outcome<RedisOptions> {
    let options = match authority {
        Some(path) => {
            let pem = std::fs::read(path)
                .map_err(|error| Failure::file("read", path, &error).help("see RESTROY_REDIS_CA"))?;
            RedisOptions::with_authority(url.expose(), prefix.as_str(), pem)
        }
        None => RedisOptions::new(url.expose(), prefix.as_str()),
    };
    options.map_err(|error| {
        Failure::new(error.to_string()).help("see RESTROY_REDIS_URL, RESTROY_REDIS_CA and RESTROY_REDIS_PREFIX")
    })
}

/// Stops in good order, unless a second signal comes.
async fn abort_on_second_signal(stopping: impl Future<Output = ()>) -> Outcome {
    tokio::select! {
        () = stopping => Ok(()),
        () = signals::asked_to_stop() => {
            Err(Failure::new("aborted by a second signal; other replicas take over the open \
                work").with_code(code::INTERRUPTED))
        }
    }
}
