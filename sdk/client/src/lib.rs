//! A typed async client of an installation.
//!
//! ```no_run
//! # async fn example() -> Result<(), restroy_client::Error> {
//! use futures_util::TryStreamExt;
//! use restroy_client::Client;
//! use restroy_sdk::api::run::NewRun;
//!
//! let client = Client::new("http://127.0.0.1:8080")?;
//! client.login("demo@example.com", "correct horse battery").await?;
//! let me = client.me().await?;
//! # let pipeline = restroy_sdk::ids::PipelineId(Default::default());
//! let run = client.start_run(pipeline, &NewRun::default()).await?;
//! let mut events = std::pin::pin!(client.stream(run.id, 0));
//! while let Some(event) = events.try_next().await? {
//!     println!("{event:?}");
//! }
//! # Ok(()) }
//! ```
//!
//! Access tokens live for minutes: the client refreshes them by itself and keeps them in a
//! [`TokenStore`]. What creates something carries an idempotency key, so that a request whose answer
//! was lost is sent again without creating twice.

mod account;
mod audit;
mod board;
mod configuration;
mod error;
mod invitation;
mod library;
mod me;
mod member;
mod pipeline;
mod request;
mod role;
mod run;
mod script;
mod stream;
mod team;
mod tls;
mod token;
mod tokens;

use std::{sync::Arc, time::Duration};

use url::Url;

pub use configuration::ConfigurationOwner;
pub use error::{Error, Result};
pub use request::Paging;
pub use tls::config as tls_config;
pub use tokens::{MemoryTokens, TokenStore};

use restroy_sdk::time::Ambient;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept: a service closes it after 30 seconds.
const IDLE: Duration = Duration::from_secs(20);

/// A client of one installation. Cheap to clone; clones share the session.
#[derive(Clone)]
pub struct Client {
    base: Url,
    http: reqwest::Client,
    tokens: Arc<dyn TokenStore>,
    /// Shown instead of a session's, when there is one.
    api_token: Option<Arc<str>>,
    ambient: Ambient,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the installation at `base` (such as `http://127.0.0.1:8080`), whose session lives
    /// in memory.
    pub fn new(base: &str) -> Result<Self> {
        Self::with_tokens(base, Arc::new(MemoryTokens::default()))
    }

    /// A client whose session is kept in `tokens`.
    pub fn with_tokens(base: &str, tokens: Arc<dyn TokenStore>) -> Result<Self> {
        let wrong = |reason: &str| Error::Address { text: base.to_owned(), reason: reason.to_owned() };
        let mut url = Url::parse(base).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("the scheme is http or https"));
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it has no user, query or fragment"));
        }
        // Paths are appended: the base may itself lie below a path of a proxy.
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(url.scheme())?)
            // WebSockets upgrade an HTTP/1.1 connection.
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE)
            // A redirect would carry a POST elsewhere as a GET; the API has none.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("restroy-client/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::Tls(error.to_string()))?;
        Ok(Self { base: url, http, tokens, api_token: None, ambient: Ambient::system() })
    }

    /// The same client as whoever the API token (`rst_…`) belongs to, without a session.
    #[must_use]
    pub fn with_api_token(mut self, token: &str) -> Self {
        self.api_token = Some(token.into());
        self
    }

    /// The same client with clock and randomness from elsewhere.
    #[must_use]
    pub fn with_ambient(mut self, ambient: Ambient) -> Self {
        self.ambient = ambient;
        self
    }

    /// The installation's address.
    pub fn base(&self) -> &Url {
        &self.base
    }
}
