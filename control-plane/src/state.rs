//! What every handler and service of the control-plane holds.

use std::{ops::Deref, sync::Arc, time::Duration};

use restroy_domain::{
    settings::DomainSettings,
    state::{DomainDeps, DomainState},
};
use restroy_run_queue::{queue::Queue, wake::WakeUps};
use restroy_sdk::time::Ambient;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{
        Networks, Registration,
        limit::SignInLimits,
        oidc::{OidcSettings, Provider},
        password::Passwords,
        rate::Rates,
        token::TokenKeys,
    },
    concurrency::{in_flight::InFlightRequests, response_budget::ResponseBudget},
    mail::MailSettings,
    ports::ScriptCompiler,
    readiness::CachedProbe,
    runs::limits::LEASE,
    secrets::KeyRing,
    store::{Db, stranger_mails::StrangerMails},
    streams::{StreamHub, listeners::Listeners},
};

/// How many failed attempts to sign in are noted at once, beside their answers; what comes beyond is for the operator's
/// log only.
pub const MAX_PENDING_RECORDS: usize = 16;

/// The control-plane's parts. Cheap to clone. The services of the domain are reached as if they were its own.
#[derive(Clone)]
pub struct AppState {
    /// What the rules need.
    pub domain: DomainState,
    /// Compiles scripts.
    pub compiler: Arc<dyn ScriptCompiler>,
    /// Hashes passwords, off the async threads.
    pub passwords: Arc<Passwords>,
    /// Counts attempts to sign in.
    pub sign_ins: Arc<SignInLimits>,
    /// Counts requests.
    pub rates: Arc<Rates>,
    /// How this installation is set up.
    pub settings: Arc<Settings>,
    /// The runs that are watched here.
    pub watchers: StreamHub,
    /// The executors that listen here for what becomes of their tasks.
    pub listeners: Listeners,
    /// The memory of answers under way.
    pub answers: ResponseBudget,
    /// The requests under way.
    pub in_flight: InFlightRequests,
    /// What the database last said when it was asked whether it serves.
    pub(crate) recent: Arc<CachedProbe>,
    /// Cancelled when this process is to end: it is not ready any more, and streams end so that their readers continue
    /// elsewhere.
    pub stopping: CancellationToken,
    /// Turns to note failed attempts to sign in, beside their answers.
    pub noting: Arc<Semaphore>,
    /// What is remembered of the OpenID provider.
    pub oidc: Arc<Provider>,
}

impl Deref for AppState {
    type Target = DomainState;

    fn deref(&self) -> &DomainState {
        &self.domain
    }
}

/// What the process passes in at its start; the rest of [`AppState`] is made of it.
pub struct AppDeps {
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
    /// The origins whose pages may call the API and open WebSockets, beside `public_url`.
    pub allowed_origins: Vec<String>,
    /// How e-mail goes out: if not at all, it stays in the outbox as `held`.
    pub mail: Option<MailSettings>,
    /// The OpenID provider, if people may sign in by one; without the feature `oidc` nobody can.
    pub oidc: Option<OidcSettings>,
    /// Who may make an account.
    pub registration: Registration,
    /// How many e-mails go to addresses that have nothing to do with the installation.
    pub stranger_mails: StrangerMails,
    /// The life of an access token.
    pub access_life: Duration,
    /// The life of a session that nobody refreshes.
    pub refresh_life: Duration,
    /// The life of a link that verifies an address.
    pub verify_life: Duration,
    /// Attempts to sign in or register per minute, from one address for one account.
    pub sign_ins_per_minute: u32,
    /// Requests per minute with one token; an account has three times as many, an address ten times. 0:
    /// no limit.
    pub requests_per_minute: u32,
    /// How many runs an account may have running at once in all the teams that it owns (each team counts for the
    /// account that has owned it longest), unless the operator lets one of the teams have more. 0: no limit
    /// beside those of the teams.
    pub runs_per_owner: u32,
    /// Bytes of bodies that a listener may have under way at once, all requests together.
    pub bodies_bytes: usize,
    /// Bytes of answers that may be under way at once, all requests together; of one account a sixteenth.
    pub answers_bytes: usize,
    /// Requests of one account that may be under way at once; of one address four times as many. 0: no limit.
    pub requests_at_once: u32,
    /// How long a body may take to come, beside what its bytes take at 32 KiB a second.
    pub body_patience: Duration,
    /// The networks of the operator's own proxies: what they say in `X-Forwarded-For` of who calls them counts.
    pub trusted_proxies: Networks,
    /// How often it is looked whether who watches a stream may still do so.
    pub stream_recheck: Duration,
    /// How long an executor keeps a task that it says nothing about: then others may take it. Executors are informed
    /// with every claim and report.
    pub lease: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dev: false,
            public_url: "http://127.0.0.1:8080".into(),
            allowed_origins: Vec::new(),
            mail: None,
            oidc: None,
            registration: Registration::Invited,
            stranger_mails: StrangerMails::default(),
            access_life: Duration::from_mins(15),
            refresh_life: Duration::from_hours(30 * 24),
            verify_life: Duration::from_hours(24),
            sign_ins_per_minute: 10,
            requests_per_minute: 1_200,
            runs_per_owner: 10,
            bodies_bytes: 256 * 1024 * 1024,
            answers_bytes: 128 * 1024 * 1024,
            requests_at_once: 64,
            body_patience: Duration::from_secs(10),
            trusted_proxies: Networks::default(),
            stream_recheck: Duration::from_mins(1),
            lease: LEASE,
        }
    }
}

impl AppState {
    /// Puts the parts together.
    pub fn new(parts: AppDeps) -> Self {
        let AppDeps { db, ambient, queue, wake, compiler, keys, tokens, settings } = parts;
        let rules = DomainSettings {
            public_url: settings.public_url.clone(),
            mail: settings.mail.clone(),
            runs_per_owner: settings.runs_per_owner,
            lease: settings.lease,
        };
        Self {
            compiler,
            passwords: Arc::new(Passwords::new(&ambient)),
            sign_ins: Arc::new(SignInLimits::new(settings.sign_ins_per_minute)),
            rates: Arc::new(Rates::new(settings.requests_per_minute)),
            answers: ResponseBudget::new(settings.answers_bytes),
            in_flight: InFlightRequests::new(settings.requests_at_once),
            watchers: StreamHub::default(),
            listeners: Listeners::default(),
            recent: Arc::default(),
            stopping: CancellationToken::new(),
            noting: Arc::new(Semaphore::new(MAX_PENDING_RECORDS)),
            oidc: Arc::new(Provider::new(settings.oidc.clone(), &settings.public_url, &ambient)),
            settings: Arc::new(settings),
            domain: DomainState::new(DomainDeps { db, ambient, queue, wake, keys, tokens, settings: rules }),
        }
    }
}
