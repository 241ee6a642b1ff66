//! Where a client keeps the tokens of its session.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::BoxFuture;

use restroy_sdk::api::auth::Tokens;

/// Keeps the tokens of a session.
///
/// A refresh token is good for one refresh, and using it twice ends the session. Whoever shares a
/// store between tasks or processes must therefore make [`TokenStore::lock`] exclude all of them.
pub trait TokenStore: Send + Sync {
    /// The tokens; none when nobody is signed in.
    fn load(&self) -> io::Result<Option<Tokens>>;

    /// Keeps these tokens, or none.
    fn save(&self, tokens: Option<&Tokens>) -> io::Result<()>;

    /// Waits until nobody else refreshes; the guard is held while this client does.
    fn lock(&self) -> BoxFuture<'_, io::Result<Box<dyn Send>>>;
}

/// Keeps the tokens in memory: for one process, until it ends.
#[derive(Default)]
pub struct MemoryTokens {
    tokens: Mutex<Option<Tokens>>,
    refreshing: Arc<tokio::sync::Mutex<()>>,
}

impl MemoryTokens {
    /// With the tokens of a session that began elsewhere.
    pub fn of(tokens: Tokens) -> Self {
        Self { tokens: Mutex::new(Some(tokens)), refreshing: Arc::default() }
    }
}

impl TokenStore for MemoryTokens {
    fn load(&self) -> io::Result<Option<Tokens>> {
        Ok(self.tokens.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn save(&self, tokens: Option<&Tokens>) -> io::Result<()> {
        *self.tokens.lock().unwrap_or_else(PoisonError::into_inner) = tokens.cloned();
        Ok(())
    }

    fn lock(&self) -> BoxFuture<'_, io::Result<Box<dyn Send>>> {
        let refreshing = self.refreshing.clone();
        Box::pin(async move { Ok(Box::new(refreshing.lock_owned().await) as Box<dyn Send>) })
    }
}
