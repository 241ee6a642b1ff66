//! What a script's randomness and its calls' idempotency keys are derived from.
//!
//! Both depend on the run, the step, the item and the epoch, and on nothing else that could differ
//! when the same attempt is executed again after a lost lease.

use std::sync::{Mutex, PoisonError};

use lua_wasm_host::{CallContext, Entropy};
use restroy_sdk::{event::StepRef, ids::RunId};
use sha2::{Digest, Sha256};

/// Hashes the parts so that no two lists of parts look the same.
fn hash(purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in std::iter::once(&purpose.as_bytes()).chain(parts) {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn index_bytes(step: &StepRef) -> [u8; 4] {
    step.index.unwrap_or(0).to_le_bytes()
}

/// The seed of an attempt.
#[derive(Clone)]
pub(crate) struct Seed([u8; 32]);

impl Seed {
    pub(crate) fn new(run_seed: &[u8], step: &StepRef, epoch: u32) -> Self {
        Self(hash("step", &[run_seed, step.step.as_bytes(), &index_bytes(step), &epoch.to_le_bytes()]))
    }

    /// For `math.random`, whose state a script can compute from its numbers: nothing else may follow
    /// from it.
    pub(crate) fn numbers(&self) -> [u8; 32] {
        hash("math.random", &[&self.0])
    }

    /// For random bytes and UUIDs.
    pub(crate) fn bytes(&self) -> RandomStream {
        RandomStream { key: hash("bytes", &[&self.0]), state: Mutex::new((0, Vec::new())) }
    }
}

/// A stream of random bytes: SHA-256 of a key and a counter.
pub(crate) struct RandomStream {
    key: [u8; 32],
    state: Mutex<(u64, Vec<u8>)>,
}

impl Entropy for RandomStream {
    fn fill(&self, buffer: &mut [u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (counter, left) = &mut *state;
        for byte in buffer {
            if left.is_empty() {
                *left = hash("block", &[&self.key, &counter.to_le_bytes()]).to_vec();
                *counter += 1;
            }
            *byte = left.pop().unwrap_or_default();
        }
    }
}

/// The idempotency key of a call: 64 hexadecimal digits. A key that the script chose stands for
/// itself, whatever the run, for its kind of call.
pub(crate) fn call_key(run: RunId, step: &StepRef, epoch: u32, call: &CallContext) -> String {
    let kind = call.kind.as_str().as_bytes();
    let digest = match &call.idempotency_key {
        Some(chosen) => hash("chosen", &[kind, chosen.as_bytes()]),
        None => hash(
            "call",
            &[
                run.0.as_bytes(),
                step.step.as_bytes(),
                &index_bytes(step),
                &epoch.to_le_bytes(),
                &call.number.to_le_bytes(),
                kind,
                call.target.as_bytes(),
                &call.digest,
            ],
        ),
    };
    hex::encode(digest)
}

/// The digest of a call's target and arguments, for calls whose key the script chose: 64 hexadecimal digits.
pub(crate) fn request_digest(call: &CallContext) -> String {
    hex::encode(hash("request", &[call.kind.as_str().as_bytes(), call.target.as_bytes(), &call.digest]))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use lua_wasm_host::CallKind;
    use uuid::Uuid;

    use super::*;

    fn step(name: &str, index: Option<u32>, attempt: u32) -> StepRef {
        StepRef { step: name.to_owned(), index, attempt }
    }

    fn call(number: u32, target: &str) -> CallContext {
        CallContext { number, kind: CallKind::KvSet, target: target.to_owned(), digest: [0; 32], idempotency_key: None }
    }

    #[test]
    fn the_attempt_does_not_matter_the_epoch_does() {
        let seed = |attempt, epoch| Seed::new(b"run", &step("a", Some(1), attempt), epoch).numbers();
        assert_eq!(seed(1, 0), seed(2, 0));
        assert_ne!(seed(1, 0), seed(1, 1));
        let run = RunId(Uuid::nil());
        let key = |attempt, epoch| call_key(run, &step("a", None, attempt), epoch, &call(1, "x"));
        assert_eq!(key(1, 0), key(2, 0));
        assert_ne!(key(1, 0), key(1, 1));
    }

    #[test]
    fn steps_items_and_calls_have_keys_of_their_own() {
        let run = RunId(Uuid::nil());
        let mut keys = HashSet::new();
        for name in ["a", "b"] {
            for index in [None, Some(1), Some(2)] {
                for number in 1..4 {
                    for target in ["x", "y"] {
                        assert!(keys.insert(call_key(run, &step(name, index, 1), 0, &call(number, target))));
                    }
                }
            }
        }
    }

    #[test]
    fn a_chosen_key_holds_across_calls() {
        let run = RunId(Uuid::nil());
        let chosen = |number| CallContext { idempotency_key: Some("order-7".to_owned()), ..call(number, "x") };
        let key = |number, epoch| call_key(run, &step("a", None, 1), epoch, &chosen(number));
        assert_eq!(key(1, 0), key(2, 1));
        assert_eq!(key(1, 0), call_key(RunId(Uuid::max()), &step("b", None, 1), 0, &chosen(1)));
        let mail = CallContext { kind: CallKind::Email, ..chosen(1) };
        assert_ne!(key(1, 0), call_key(run, &step("a", None, 1), 0, &mail));
    }

    #[test]
    fn the_stream_repeats_and_does_not_depend_on_the_portions() {
        let seed = Seed::new(b"run", &step("a", None, 1), 0);
        let mut whole = [0; 100];
        seed.bytes().fill(&mut whole);
        let stream = seed.bytes();
        let mut parts = Vec::new();
        for portion in [1, 31, 32, 36] {
            let mut buffer = vec![0; portion];
            stream.fill(&mut buffer);
            parts.extend(buffer);
        }
        assert_eq!(parts, whole);
        assert_ne!(whole[..32], whole[32..64]);
    }
}
