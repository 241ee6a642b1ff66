//! The sandbox engine for commands that need no server.

use std::path::PathBuf;

use lua_wasm_host::{Engine, EngineConfig};

use crate::failure::{Failure, Outcome};

/// An engine whose compiled guest is kept in the person's cache folder between commands.
pub(crate) async fn engine() -> Outcome<Engine> {
    let config = EngineConfig { max_sandboxes: 4, cache_dir: cache_folder(), ..EngineConfig::default() };
    tokio::task::spawn_blocking(move || Engine::new(config))
        .await
        .map_err(|error| Failure::new(format!("the sandbox engine does not start: {error}")))?
        .map_err(|error| Failure::new(format!("the sandbox engine does not start: {error}")))
}

/// `restroy/engine` in the XDG base directory for caches.
fn cache_folder() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
    Some(caches.join("restroy/engine"))
}
