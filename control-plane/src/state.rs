//! What every handler and service of the control-plane holds.

use std::{sync::Arc, time::Duration};

use restroy_run_queue::{queue::Queue, wake::WakeUps};
use restroy_sdk::time::Ambient;
use uuid::Uuid;

use crate::{
    auth::{limit::SignInLimits, password::Passwords, token::TokenKeys},
    ports::ScriptCompiler,
    runs::watch::Watchers,
    secrets::KeyRing,
    store::Db,
};

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
    /// The master keys that the teams' data keys are wrapped with.
    pub keys: Arc<KeyRing>,
    /// Signs and checks access tokens.
    pub tokens: Arc<TokenKeys>,
    /// Hashes passwords, off the async threads.
    pub passwords: Arc<Passwords>,
    /// Counts attempts to sign in.
    pub sign_ins: Arc<SignInLimits>,
    /// How this installation is set up.
    pub settings: Arc<Settings>,
    /// This process among those that serve the same database.
    pub replica: Uuid,
    /// The runs that are watched here.
    pub watchers: Watchers,
}

/// What the process passes in at its start; the rest of [`AppState`] is made of it.
pub struct Parts {
    /// The database, migrated.
    pub db: Db,
    /// Clock, randomness, identifiers.
    pub ambient: Ambient,
    /// Task ids on their way to executors.
    pub queue: Arc<dyn Queue>,
    /// Word of new rows, within the process or between replicas.
    pub wake: WakeUps,
    /// Compiles scripts.
    pub compiler: Arc<dyn ScriptCompiler>,
    /// The master keys.
    pub keys: KeyRing,
    /// Signs and checks access tokens.
    pub tokens: TokenKeys,
    /// How this installation is set up.
    pub settings: Settings,
}

/// How an installation is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A developer's own installation: addresses count as verified at once.
    pub dev: bool,
    /// Where people reach it, without a slash at the end; in links of e-mails.
    pub public_url: String,
    /// The origins whose pages may open WebSockets, beside `public_url`.
    pub allowed_origins: Vec<String>,
    /// Whether SMTP is configured: if not, e-mail stays in the outbox as `held`.
    pub smtp: bool,
    /// The life of an access token.
    pub access_life: Duration,
    /// The life of a session that nobody refreshes.
    pub refresh_life: Duration,
    /// The life of a link that verifies an address.
    pub verify_life: Duration,
    /// Attempts to sign in or register per minute, from one address for one account.
    pub sign_ins_per_minute: u32,
    /// How often it is looked whether who watches a stream may still do so.
    pub stream_recheck: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dev: false,
            public_url: "http://127.0.0.1:8080".into(),
            allowed_origins: Vec::new(),
            smtp: false,
            access_life: Duration::from_mins(15),
            refresh_life: Duration::from_hours(30 * 24),
            verify_life: Duration::from_hours(24),
            sign_ins_per_minute: 10,
            stream_recheck: Duration::from_mins(1),
        }
    }
}

impl AppState {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let Parts { db, ambient, queue, wake, compiler, keys, tokens, settings } = parts;
        Self {
            db,
            passwords: Arc::new(Passwords::new(&ambient)),
            sign_ins: Arc::new(SignInLimits::new(settings.sign_ins_per_minute)),
            replica: ambient.uuid(),
            ambient,
            queue,
            wake,
            compiler,
            keys: Arc::new(keys),
            tokens: Arc::new(tokens),
            settings: Arc::new(settings),
            watchers: Watchers::default(),
        }
    }

    /// The status of a new e-mail in the outbox.
    pub fn new_mail_status(&self) -> &'static str {
        if self.settings.smtp { "queued" } else { "held" }
    }
}
