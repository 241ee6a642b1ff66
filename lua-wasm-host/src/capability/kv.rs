//! The key-value store.

use std::time::Duration;

use async_trait::async_trait;

use super::{CallContext, CallResult};

/// A key-value store, linearizable per key. Keys are UTF-8 of 1 to 512 bytes; values are JSON texts
/// within [`Limits::kv_value_bytes`](crate::Limits::kv_value_bytes), object keys sorted, so that
/// equal values are equal texts.
#[async_trait]
pub trait Kv: Send + Sync {
    /// The value, unless there is none or it expired.
    async fn get(&self, call: &CallContext, key: &str) -> CallResult<Option<String>>;

    /// Stores a value, for ever or for `ttl`.
    async fn set(&self, call: &CallContext, key: &str, value: &str, ttl: Option<Duration>) -> CallResult<()>;

    /// Removes a key. Whether it was there.
    async fn delete(&self, call: &CallContext, key: &str) -> CallResult<bool>;

    /// Adds to an integer (an absent one is 0; another value is the error `kv_not_an_integer`) and
    /// gives the sum. `ttl` is set when the key is created.
    async fn incr(&self, call: &CallContext, key: &str, by: i64, ttl: Option<Duration>) -> CallResult<i64>;

    /// Stores `value` (None: removes) if what is there equals `expected` (None: absent). Whether it
    /// did.
    async fn compare_and_set(
        &self,
        call: &CallContext,
        key: &str,
        expected: Option<&str>,
        value: Option<&str>,
        ttl: Option<Duration>,
    ) -> CallResult<bool>;

    /// Up to `limit` (at most 1,000) entries whose key begins with `prefix` and lies after `after`, by key.
    async fn list(&self, call: &CallContext, prefix: &str, after: Option<&str>, limit: u32)
    -> CallResult<Vec<KvEntry>>;
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvEntry {
    /// The key.
    pub key: String,
    /// Its value, a JSON text.
    pub value: String,
}
