//! What every handler and service of the control-plane holds.

use std::sync::Arc;

use restroy_run_queue::{queue::Queue, wake::WakeUps};
use restroy_sdk::time::Ambient;

use crate::{ports::ScriptCompiler, store::Db};

/// The control-plane's parts. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// The database.
    pub db: Db,
    /// Clock, randomness, identifiers.
    pub ambient: Ambient,
    /// Task ids on their way to executors.
    pub queue: Arc<dyn Queue>,
    /// Word of new rows.
    pub wake: WakeUps,
    /// Compiles scripts.
    pub compiler: Arc<dyn ScriptCompiler>,
}
