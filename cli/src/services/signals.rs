//! Orders from outside.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn asked_to_stop() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {},
            _ = terminate.recv() => {},
        },
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

/// SIGHUPs, which ask for files to be read again. None where the system has no such thing to offer.
pub(super) fn hangups() -> Option<Signal> {
    signal(SignalKind::hangup()).ok()
}
