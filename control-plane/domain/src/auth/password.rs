//! Passwords: argon2id (RFC 9106), off the async threads, few at once: each takes 19 MiB.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use restroy_sdk::time::Ambient;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::{DomainError, DomainResult};

/// Memory in KiB, passes, lanes: the least that OWASP's password storage cheat sheet takes.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// How many passwords are worked on at once.
const MAX_CONCURRENT: usize = 2;
/// How many may be running or waiting; beyond, callers are asked to retry.
const MAX_PENDING: usize = 64;

/// Hashes and checks passwords.
pub struct Passwords {
    turns: Arc<Semaphore>,
    present: AtomicUsize,
    ambient: Ambient,
}

impl Passwords {
    /// Takes its salts from `ambient`.
    pub fn new(ambient: &Ambient) -> Self {
        Self { turns: Arc::new(Semaphore::new(MAX_CONCURRENT)), present: AtomicUsize::new(0), ambient: ambient.clone() }
    }

    /// The PHC string to store. 503 when too many wait already.
    pub async fn hash(&self, password: SecretString) -> DomainResult<String> {
        let salt: [u8; 16] = self.ambient.random();
        self.run_job(move || hash_now(&password, &salt)).await?
    }

    /// Whether the password is the one that `stored` was made of. Without a stored hash a hash is made all the same, at
    /// the same cost, and the answer is no: the time reveals nothing about whether the account exists.
    pub async fn verify(&self, password: SecretString, stored: Option<String>) -> DomainResult<bool> {
        let salt: [u8; 16] = self.ambient.random();
        self.run_job(move || match stored {
            None => hash_now(&password, &salt).map(|_| false),
            Some(stored) => {
                let parsed = PasswordHash::new(&stored).map_err(|error| internal(&error))?;
                Ok(argon2()?.verify_password(password.expose_secret().as_bytes(), &parsed).is_ok())
            }
        })
        .await?
    }

    async fn run_job<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> DomainResult<T> {
        let _place = QueueSlot::acquire(&self.present)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|error| internal(&error))?;
        tokio::task::spawn_blocking(move || {
            let _turn = turn; // kept until the work ends, even when the caller went away
            job()
        })
        .await
        .map_err(|error| internal(&error))
    }
}

/// A place among those who are running or waiting.
struct QueueSlot<'a>(&'a AtomicUsize);

impl<'a> QueueSlot<'a> {
    fn acquire(present: &'a AtomicUsize) -> DomainResult<Self> {
        let before = present.fetch_add(1, Ordering::Relaxed);
        let place = Self(present);
        if before < MAX_PENDING {
            Ok(place)
        } else {
            Err(DomainError::Overloaded("Too many concurrent sign-ins. Try again shortly.".into()))
        }
    }
}

impl Drop for QueueSlot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn argon2() -> DomainResult<Argon2<'static>> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).map_err(|error| internal(&error))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash_now(password: &SecretString, salt: &[u8]) -> DomainResult<String> {
    let hash: PasswordHash = argon2()?
        .hash_password_with_salt(password.expose_secret().as_bytes(), salt)
        .map_err(|error| internal(&error))?;
    Ok(hash.to_string())
}

fn internal(error: &dyn std::fmt::Display) -> DomainError {
    DomainError::Internal(format!("a password cannot be processed: {error}").into())
}
