//! Sandboxes in processes of their own.
//!
//! ```text
//!  this process (parent)            zygote, one thread            worker, one thread
//!  ───────────────────────          ─────────────────────         ────────────────────────
//!  Workers ── a socket's end ─────► forks ──────────────────────► serves sandboxes, one at
//!     ▲  ◄──── pid and pidfd ─────                                a time, of one owner
//!     └───────────────── frames over that socket ────────────────►
//! ```
//!
//! The parent holds whatever is worth having: capabilities, credentials, other owners' data. A worker
//! has the guest's machine code, one owner's sandbox, and a socket. It is forked from the zygote, a
//! small process with one thread that has the compiled module mapped and never saw anybody's data, and
//! takes from itself what it could do harm with ([`hardening`]) before it reads its first frame. The
//! parent checks every frame ([`frame`]), serves its calls with the same dispatcher as it serves
//! sandboxes in its own threads, and kills it when it is over its time, breaks the protocol, or has
//! served the owner that it was for ([`pool`]).

mod channel;
mod frame;
mod hardening;
mod parent;
mod pool;
mod sockets;
mod zygote;

pub(crate) use channel::ToParent;
pub(crate) use parent::run_in_worker;
pub(crate) use pool::Workers;

use crate::isolation::{IsolationReport as Report, ProcessConfig};
pub use zygote::{sandbox_worker, sandbox_worker_with};

/// Workers that do something else than serve sandboxes, for tests.
#[doc(hidden)]
pub mod escape {
    use std::os::unix::net::UnixStream;

    use super::pool::{Worker, Zygote};
    use super::sockets::sealed_file;
    use crate::{Engine, EngineError, IsolationReport, ProcessConfig};

    /// A zygote whose program calls [`sandbox_worker_with`](crate::sandbox_worker_with).
    pub struct EscapedWorkers(std::sync::Mutex<Zygote>);

    /// One worker, and this side of its channel.
    pub struct EscapedWorker {
        /// This side's end of the channel; blocking.
        pub channel: UnixStream,
        _worker: Worker,
    }

    impl EscapedWorkers {
        /// Starts the zygote.
        pub fn start(config: &ProcessConfig) -> Result<Self, EngineError> {
            let failed = |error: std::io::Error| EngineError::new("starting workers", error);
            let code = sealed_file(&Engine::machine_code(None)?).map_err(failed)?;
            Zygote::start(config, &code).map(|zygote| Self(std::sync::Mutex::new(zygote))).map_err(failed)
        }

        /// What keeps them in.
        pub fn report(&self) -> IsolationReport {
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).report.clone()
        }

        /// Forks a worker.
        pub fn worker(&self) -> std::io::Result<EscapedWorker> {
            let mut worker = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).fork()?;
            let channel = worker.channel.take().ok_or_else(|| std::io::Error::other("no channel"))?;
            channel.set_nonblocking(false)?;
            Ok(EscapedWorker { channel, _worker: worker })
        }
    }
}
