//! The dispatcher behind the host interface: every call of a script is checked, counted, journalled and only
//! then done, here and nowhere else.

mod answer;
mod files;
mod http;
mod kv;
mod log;
mod mail;
mod secrets;
mod zone;

use std::future::Future;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

pub(crate) use answer::Answer;

use crate::meter::WallClock;
use crate::wire::op;
use crate::{
    CallContext, CallError, CallFailure, CallKind, CallRecord, CallResult, ErrorCode, HostContext, Limits, Source,
    StepError,
};

/// Serves the calls of one run.
pub(crate) struct Dispatcher {
    host_context: HostContext,
    limits: Limits,
    clock: WallClock,
    calls: u32,
    http_requests: u32,
    log_bytes: u64,
    files: files::OpenFiles,
    /// What `require` can load.
    modules: Vec<Source>,
}

/// Whose time a call takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CallTime {
    /// The script's: it counts to the wall time.
    Counts,
    /// The embedder's own services'.
    Stands,
}

impl Dispatcher {
    pub(crate) fn new(host_context: HostContext, limits: Limits, clock: WallClock) -> Self {
        let files = files::OpenFiles::default();
        Self { host_context, limits, clock, calls: 0, http_requests: 0, log_bytes: 0, files, modules: Vec::new() }
    }

    /// The same with what `require` can load. A sandbox gets the texts that it asks for: a pipeline's sources may be
    /// 16 MiB, and a task has dozens of sandboxes.
    pub(crate) fn with_modules(self, modules: Vec<Source>) -> Self {
        Self { modules, ..self }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.host_context.cancel.is_cancelled()
    }

    pub(crate) fn calls(&self) -> u64 {
        u64::from(self.calls)
    }

    pub(crate) fn clock(&self) -> &WallClock {
        &self.clock
    }

    pub(crate) fn now(&self) -> i64 {
        self.host_context.clock.now_micros()
    }

    pub(crate) fn random(&self, buffer: &mut [u8]) {
        self.host_context.entropy.fill(buffer);
    }

    /// Serves one call. `head` is JSON of the op's form, `body` raw bytes; both within
    /// [`Limits::host_call_bytes`].
    pub(crate) async fn call(&mut self, op: u32, head: &[u8], body: Vec<u8>) -> CallResult<Answer> {
        if op >= op::COUNTED {
            if self.calls >= self.limits.host_calls {
                return Err(StepError::limit(ErrorCode::HostCallLimit, &self.limits).into());
            }
            self.calls += 1;
        }
        match op {
            op::PROGRESS => self.progress(head),
            op::MODULE => {
                let module = self.modules.iter().find(|module| module.name.as_bytes() == head);
                Ok(Answer::body(module.map_or_else(Vec::new, |module| module.text.as_bytes().to_vec())))
            }
            op::ZONE => zone::answer(&parse(head)?),
            op::SLEEP => self.sleep(head).await,
            op::HTTP => self.http(head, body).await,
            op::EMAIL => self.email(head).await,
            op::SECRET => self.secret(head),
            op::SECRET_HMAC => self.secret_hmac(head, &body),
            op::KV_GET..=op::KV_LIST => self.kv(op, head).await,
            op::FILE_OPEN..=op::FILE_HANDLE_SIZE => self.file(op, head, body).await,
            _ => Err(StepError::new(ErrorCode::Internal, "the sandbox made an unknown call").into()),
        }
    }

    /// The context of the call that is being served.
    fn context(&self, kind: CallKind, target: String, parts: &[&[u8]], key: Option<String>) -> CallContext {
        let mut hash = Sha256::new();
        for part in [kind.as_str().as_bytes()].iter().chain(parts) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        CallContext { number: self.calls, kind, target, digest: hash.finalize().into(), idempotency_key: key }
    }

    /// Does a call: waits at the gate if it is effectful, awaits `act`, journals. `measure` gives
    /// the bytes of an answer and its HTTP status.
    async fn perform<T>(
        &self,
        call: &CallContext,
        time: CallTime,
        bytes_out: usize,
        act: impl Future<Output = CallResult<T>> + Send,
        measure: impl Fn(&T) -> (usize, Option<u16>) + Send,
    ) -> CallResult<T> {
        let start = Instant::now();
        if let Some(gate) = self.host_context.gate.as_ref().filter(|_| call.kind.effectful()) {
            let _stopped = self.clock.stop();
            gate.ready(call).await?;
        }
        let result = if time == CallTime::Stands {
            let _stopped = self.clock.stop();
            act.await
        } else {
            act.await
        };
        // Without its target: a query or a key may hold a secret, which only the embedder could mask.
        tracing::debug!(call = call.number, kind = call.kind.as_str(), ok = result.is_ok(), "host call");
        if let Some(journal) = &self.host_context.journal {
            let (bytes_in, http_status) = result.as_ref().map_or((0, None), measure);
            journal.record(CallRecord {
                call: call.clone(),
                error: result.as_ref().err().map(|failure| match failure {
                    CallFailure::Raise(error) => error.code.to_string(),
                    CallFailure::EndStep(error) => error.code.to_string(),
                }),
                http_status,
                bytes_out: bytes_out as u64,
                bytes_in: bytes_in as u64,
                took: start.elapsed(),
            });
        }
        result
    }

    async fn sleep(&self, head: &[u8]) -> CallResult<Answer> {
        #[derive(Deserialize)]
        struct SleepRequest {
            seconds: f64,
        }
        let SleepRequest { seconds } = parse(head)?;
        let time = Duration::try_from_secs_f64(seconds)
            .map_err(|_| CallError::new("invalid_argument", "sleep takes a number of seconds, 0 or more"))?;
        let call = self.context(CallKind::Sleep, format!("{time:?}"), &[], None);
        let act = async {
            tokio::time::sleep(time).await;
            Ok(())
        };
        self.perform(&call, CallTime::Counts, 0, act, |()| (0, None)).await?;
        Ok(Answer::empty())
    }
}

/// Reads a head. Wrong types are the script's error: the guest's libraries pass on what they get.
fn parse<T: DeserializeOwned>(head: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(head).map_err(|error| CallError::new("invalid_argument", error.to_string()))
}

/// The error of a capability that is not granted or not there.
fn require_service<'a, T: ?Sized>(granted: bool, name: &str, service: Option<&'a T>) -> Result<&'a T, CallError> {
    if !granted {
        return Err(CallError::new("not_granted", format!("this script is not allowed to use {name}")));
    }
    service.ok_or_else(|| CallError::new("not_available", format!("{name} is not available here")))
}
