//! What the rules need beside their arguments.

use std::sync::Arc;

use restroy_run_queue::{queue::Queue, wake::WakeUps};
use restroy_sdk::time::Ambient;
use restroy_tenant_executor::{TenantExecutor, TenantLimits};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    caches::{DeclarationCache, VersionCache},
    metrics::Metrics,
    scheduler_cursor::SchedulerCursor,
    secrets::KeyRing,
    settings::DomainSettings,
    store::Db,
    tokens::TokenKeys,
};

/// The services of the domain. Cheap to clone.
#[derive(Clone)]
pub struct DomainState {
    /// The database.
    pub db: Db,
    /// Clock, randomness, identifiers.
    pub ambient: Ambient,
    /// Task ids on their way to executors.
    pub queue: Arc<dyn Queue>,
    /// Word of new rows.
    pub wake: WakeUps,
    /// The master keys that the teams' data keys are wrapped with.
    pub keys: Arc<KeyRing>,
    /// Signs and checks access tokens.
    pub tokens: Arc<TokenKeys>,
    /// What the operator decides about the rules.
    pub settings: Arc<DomainSettings>,
    /// This process among those that serve the same database.
    pub replica: Uuid,
    /// Threads for what tenants make expensive.
    pub tenants: TenantExecutor,
    /// Versions that were started lately.
    pub(crate) versions: Arc<VersionCache>,
    /// What steps may do, for the calls of their scripts.
    pub(crate) allowed: Arc<DeclarationCache>,
    /// Until when schedules were looked after here.
    pub(crate) schedules: Arc<SchedulerCursor>,
    /// What happens here, counted.
    pub metrics: Metrics,
    /// Told when an e-mail was queued; see [`DomainState::mail_queued`].
    pub(crate) outbox: Arc<Notify>,
}

/// What the process passes in at its start; the rest of [`DomainState`] is made of it.
pub struct DomainDeps {
    /// The database, migrated.
    pub db: Db,
    /// Clock, randomness, identifiers.
    pub ambient: Ambient,
    /// Task ids on their way to executors.
    pub queue: Arc<dyn Queue>,
    /// Word of new rows, within the process or between replicas.
    pub wake: WakeUps,
    /// The master keys.
    pub keys: KeyRing,
    /// Signs and checks access tokens.
    pub tokens: TokenKeys,
    /// What the operator decides about the rules.
    pub settings: DomainSettings,
}

impl DomainState {
    /// Puts the services together.
    pub fn new(deps: DomainDeps) -> Self {
        let DomainDeps { db, ambient, queue, wake, keys, tokens, settings } = deps;
        Self {
            db,
            replica: ambient.uuid(),
            ambient,
            queue,
            wake,
            keys: Arc::new(keys),
            tokens: Arc::new(tokens),
            settings: Arc::new(settings),
            tenants: TenantExecutor::new(TenantLimits::default()),
            versions: Arc::default(),
            allowed: Arc::default(),
            schedules: Arc::default(),
            metrics: Metrics::new(),
            outbox: Arc::default(),
        }
    }

    /// The status of a new e-mail in the outbox.
    pub fn new_mail_status(&self) -> &'static str {
        if self.settings.mail.is_some() { "queued" } else { "held" }
    }

    /// Wakes this process's sender; to be called after the commit that queued an e-mail. Another
    /// replica's sender finds the e-mail a few seconds later, should this one be gone.
    pub fn mail_queued(&self) {
        self.outbox.notify_one();
    }
}
