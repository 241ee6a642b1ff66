//! What a run is given of the world outside.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::{Clock, EffectGate, Entropy, Files, Grants, Http, Journal, Kv, Mail, Owner, Secrets, Sink};

/// The capabilities of one run, and what may use them. A capability that is absent answers
/// `not_available`; one that is not granted answers `not_granted`, whether present or not.
#[derive(Clone)]
pub struct HostContext {
    /// Whose run it is: those of one owner share processors and worker processes. None: nobody's, which
    /// shares with none.
    pub owner: Option<Owner>,
    /// What the script may do.
    pub grants: Grants,
    /// The clock it reads.
    pub clock: Arc<dyn Clock>,
    /// The randomness it reads.
    pub entropy: Arc<dyn Entropy>,
    /// Where its lines go.
    pub sink: Arc<dyn Sink>,
    /// The secrets that the script declares.
    pub secrets: Arc<Secrets>,
    /// HTTP requests.
    pub http: Option<Arc<dyn Http>>,
    /// The key-value store.
    pub kv: Option<Arc<dyn Kv>>,
    /// Outgoing e-mail.
    pub mail: Option<Arc<dyn Mail>>,
    /// The scratch folder.
    pub files: Option<Arc<dyn Files>>,
    /// What effectful calls wait for. None: nothing.
    pub gate: Option<Arc<dyn EffectGate>>,
    /// Who learns of calls.
    pub journal: Option<Arc<dyn Journal>>,
    /// Ends the run with `cancelled` when triggered.
    pub cancel: CancellationToken,
}

impl HostContext {
    /// A host context with nothing behind it but a clock, randomness and a place for lines.
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>, sink: Arc<dyn Sink>) -> Self {
        Self {
            owner: None,
            grants: Grants::default(),
            clock,
            entropy,
            sink,
            secrets: Arc::default(),
            http: None,
            kv: None,
            mail: None,
            files: None,
            gate: None,
            journal: None,
            cancel: CancellationToken::new(),
        }
    }
}
