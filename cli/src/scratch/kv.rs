//! A key-value store in memory.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use lua_wasm_host::{CallContext, CallError, CallResult, Kv, KvEntry};
use restroy_sdk::time::{Ambient, Timestamp};

/// All keys and values together, in bytes: the default of a board.
const MAX_BYTES: usize = 10 * 1024 * 1024;

struct StoredEntry {
    value: String,
    expires: Option<Timestamp>,
}

/// A key-value store in memory.
pub(crate) struct MemoryKv {
    entries: Mutex<BTreeMap<String, StoredEntry>>,
    ambient: Ambient,
}

impl MemoryKv {
    /// An empty store.
    pub(crate) fn new(ambient: Ambient) -> Self {
        Self { entries: Mutex::default(), ambient }
    }

    /// The entries that are still there.
    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, StoredEntry>> {
        let now = self.ambient.now();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| entry.expires.is_none_or(|expires| expires > now));
        entries
    }

    fn put(
        &self,
        entries: &mut BTreeMap<String, StoredEntry>,
        key: &str,
        value: &str,
        ttl: Option<Duration>,
    ) -> CallResult<()> {
        let others: usize =
            entries.iter().filter(|(name, _)| *name != key).map(|(name, entry)| name.len() + entry.value.len()).sum();
        if others + key.len() + value.len() > MAX_BYTES {
            return Err(CallError::new("kv_store_full", format!("the store is full (limit: {MAX_BYTES} bytes)")).into());
        }
        let expires = ttl.map(|ttl| self.ambient.now().after(ttl));
        entries.insert(key.to_owned(), StoredEntry { value: value.to_owned(), expires });
        Ok(())
    }
}

#[async_trait]
impl Kv for MemoryKv {
    async fn get(&self, _: &CallContext, key: &str) -> CallResult<Option<String>> {
        Ok(self.entries().get(key).map(|entry| entry.value.clone()))
    }

    async fn set(&self, _: &CallContext, key: &str, value: &str, ttl: Option<Duration>) -> CallResult<()> {
        let mut entries = self.entries();
        self.put(&mut entries, key, value, ttl)
    }

    async fn delete(&self, _: &CallContext, key: &str) -> CallResult<bool> {
        Ok(self.entries().remove(key).is_some())
    }

    async fn incr(&self, _: &CallContext, key: &str, by: i64, ttl: Option<Duration>) -> CallResult<i64> {
        let mut entries = self.entries();
        let not_an_integer = || CallError::new("kv_not_an_integer", format!("`{key}` does not hold an integer"));
        let Some(entry) = entries.get_mut(key) else {
            self.put(&mut entries, key, &by.to_string(), ttl)?;
            return Ok(by);
        };
        let present: i64 = entry.value.parse().map_err(|_| not_an_integer())?;
        let sum = present.checked_add(by).ok_or_else(|| {
            CallError::new("kv_integer_overflow", format!("`{key}` would leave the range of integers"))
        })?;
        entry.value = sum.to_string();
        Ok(sum)
    }

    async fn compare_and_set(
        &self,
        _: &CallContext,
        key: &str,
        expected: Option<&str>,
        value: Option<&str>,
        ttl: Option<Duration>,
    ) -> CallResult<bool> {
        let mut entries = self.entries();
        if entries.get(key).map(|entry| entry.value.as_str()) != expected {
            return Ok(false);
        }
        match value {
            Some(value) => self.put(&mut entries, key, value, ttl)?,
            None => drop(entries.remove(key)),
        }
        Ok(true)
    }

    async fn list(&self, _: &CallContext, prefix: &str, after: Option<&str>, limit: u32) -> CallResult<Vec<KvEntry>> {
        let entries = self.entries();
        let found =
            entries.iter().filter(|(key, _)| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        Ok(found
            .take(limit as usize)
            .map(|(key, entry)| KvEntry { key: key.clone(), value: entry.value.clone() })
            .collect())
    }
}
