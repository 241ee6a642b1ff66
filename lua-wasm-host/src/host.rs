//! Who answers the calls of a sandbox: the dispatcher in this process, or the one in the process that
//! started this one.
//!
//! What the guest sees is the same either way, and so is the fuel it pays: [`sandbox`](crate::sandbox)
//! charges before and after it comes here.

use crate::dispatch::Dispatcher;
use crate::meter::yield_once;
use crate::{CallFailure, CallResult, StepError};

/// Who answers.
pub(crate) enum Host {
    /// This process.
    Here(Box<Dispatcher>),
    /// The process at the other end of the channel.
    #[cfg(target_os = "linux")]
    Parent(std::sync::Arc<crate::process::ToParent>),
}

/// The sandbox is to end: by an error that is known here, or by one that the parent knows.
pub(crate) type StopError = Option<Box<StepError>>;

impl Host {
    /// Microseconds since 1970.
    pub(crate) fn now(&self) -> Result<i64, StopError> {
        match self {
            Self::Here(dispatcher) => Ok(dispatcher.now()),
            #[cfg(target_os = "linux")]
            Self::Parent(parent) => parent.now(),
        }
    }

    /// Fills `buffer` with randomness.
    pub(crate) fn random(&self, buffer: &mut [u8]) -> Result<(), StopError> {
        match self {
            Self::Here(dispatcher) => {
                dispatcher.random(buffer);
                Ok(())
            }
            #[cfg(target_os = "linux")]
            Self::Parent(parent) => parent.random(buffer),
        }
    }

    /// Passes lines on.
    pub(crate) fn log(&mut self, level: Option<u8>, text: &[u8]) -> Result<(), StopError> {
        match self {
            Self::Here(dispatcher) => dispatcher.log(level, text).map_err(|error| Some(Box::new(error))),
            #[cfg(target_os = "linux")]
            Self::Parent(parent) => parent.log(level, text),
        }
    }

    /// Serves a call. The answer is as the guest reads it.
    pub(crate) async fn call(&mut self, op: u32, head: &[u8], body: Vec<u8>) -> Result<Vec<u8>, StopError> {
        match self {
            Self::Here(dispatcher) => {
                let clock = dispatcher.clock().clone();
                clock.begin_call();
                let answer = encode_answer(dispatcher.call(op, head, body).await);
                if clock.end_call() {
                    // It waited, so others may have had its turn meanwhile.
                    yield_once().await;
                }
                answer
            }
            #[cfg(target_os = "linux")]
            Self::Parent(parent) => parent.call(op, head, body),
        }
    }

    /// Whether the sandbox should return to its executor at once.
    pub(crate) fn is_cancelled(&self) -> bool {
        match self {
            Self::Here(dispatcher) => dispatcher.is_cancelled(),
            #[cfg(target_os = "linux")]
            Self::Parent(_) => false,
        }
    }

    /// How many calls were counted, as far as it is known here.
    pub(crate) fn calls(&self) -> u64 {
        match self {
            Self::Here(dispatcher) => dispatcher.calls(),
            #[cfg(target_os = "linux")]
            Self::Parent(_) => 0,
        }
    }

    /// Returns to the executor.
    pub(crate) async fn pause(&self) {
        yield_once().await;
    }
}

/// An answer as the guest reads it.
pub(crate) fn encode_answer(answer: CallResult<crate::dispatch::Answer>) -> Result<Vec<u8>, StopError> {
    match answer {
        Ok(answer) => Ok(answer.into_bytes()),
        Err(CallFailure::Raise(error)) => Ok(crate::dispatch::Answer::raise(&error).into_bytes()),
        Err(CallFailure::EndStep(error)) => Err(Some(error)),
    }
}
