//! The loops of a control-plane: those of the domain, and the router of wake-ups to watchers.

use restroy_domain::runs::{self, Services};
use tokio_util::sync::CancellationToken;

use crate::state::AppState;

/// Starts the loops. They end when `shutdown` is cancelled.
pub fn spawn_services(state: &AppState, shutdown: &CancellationToken) -> Services {
    let mut services = runs::spawn_loops(state, shutdown);
    let (watchers, wake, metrics) = (state.watchers.clone(), state.wake.listen(), state.metrics.clone());
    let stop = shutdown.clone();
    services.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = watchers.route(wake, metrics) => {}
        }
    });
    services
}
