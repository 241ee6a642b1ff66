//! What a start needs of a version, ready to be used: versions never change, so that a document is read and its
//! schema compiled once for many runs.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use restroy_sdk::{
    document::{Concurrency, Document},
    ids::{Id, TeamId, VersionId},
    schema::Schema,
};

use restroy_tenant_executor::TenantExecutor;

use crate::{DomainError, DomainResult};

/// How many bytes the cache keeps, by its own count.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// How many versions it keeps.
const MAX_VERSIONS: usize = 2_000;

/// What a start needs of a version.
#[derive(Debug)]
pub(crate) struct Startable {
    /// The names of its steps.
    pub(crate) steps: Vec<String>,
    /// How many runs may be active.
    pub(crate) concurrency: Option<Concurrency>,
    /// What parameters must be; none if it says nothing.
    pub(crate) schema: Option<Arc<Schema>>,
}

/// Versions that were started lately. Bounded; what was used least lately goes first.
#[derive(Debug, Default)]
pub(crate) struct VersionCache(Mutex<CacheState>);

#[derive(Debug, Default)]
struct CacheState {
    versions: HashMap<VersionId, CacheEntry>,
    bytes: usize,
    /// Counts uses.
    now: u64,
}

#[derive(Debug)]
struct CacheEntry {
    startable: Arc<Startable>,
    bytes: usize,
    used: u64,
}

impl VersionCache {
    pub(crate) fn get(&self, version: VersionId) -> Option<Arc<Startable>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.now += 1;
        let now = kept.now;
        let entry = kept.versions.get_mut(&version)?;
        entry.used = now;
        Some(Arc::clone(&entry.startable))
    }

    fn insert(&self, version: VersionId, startable: &Arc<Startable>) {
        let bytes = startable.bytes();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes > MAX_BYTES / 4 || kept.versions.contains_key(&version) {
            return;
        }
        while kept.bytes + bytes > MAX_BYTES || kept.versions.len() >= MAX_VERSIONS {
            let Some(oldest) = kept.versions.iter().min_by_key(|(_, entry)| entry.used).map(|(id, _)| *id) else {
                break;
            };
            if let Some(gone) = kept.versions.remove(&oldest) {
                kept.bytes -= gone.bytes;
            }
        }
        kept.bytes += bytes;
        let used = kept.now;
        kept.versions.insert(version, CacheEntry { startable: Arc::clone(startable), bytes, used });
    }
}

impl Startable {
    fn bytes(&self) -> usize {
        let steps: usize = self.steps.iter().map(|name| name.len() + size_of::<String>()).sum();
        steps + self.schema.as_ref().map_or(0, |schema| schema.memory_bytes()) + 256
    }

    fn parse(definition: &str) -> Result<Self, UnusableVersion> {
        let document: Document = serde_json::from_str(definition).map_err(UnusableVersion::Document)?;
        let schema = document.params.as_ref().map(Schema::compile).transpose().map_err(|errors| {
            let mut text = String::new();
            for (at, error) in errors.iter().take(3).enumerate() {
                let separator = if at == 0 { "" } else { "; " };
                let _ = write!(text, "{separator}`/params{}`: {}", error.pointer, error.detail);
            }
            UnusableVersion::Schema(text)
        })?;
        Ok(Self {
            steps: document.steps.into_keys().collect(),
            concurrency: document.concurrency,
            schema: schema.map(Arc::new),
        })
    }
}

/// Why a stored version cannot be started.
enum UnusableVersion {
    Document(serde_json::Error),
    /// It was published when schemas could be more than they may be today.
    Schema(String),
}

impl VersionCache {
    /// Reads a version's document, in its team's turn. A conflict when its schema is one that is no longer taken.
    pub(crate) async fn read(
        &self,
        tenants: &TenantExecutor,
        team: TeamId,
        version: VersionId,
        definition: String,
    ) -> DomainResult<Arc<Startable>> {
        let read = tenants.run(team.uuid(), move || Startable::parse(&definition)).await?;
        let startable = Arc::new(read.map_err(|unusable| match unusable {
            UnusableVersion::Document(error) => DomainError::from(error),
            UnusableVersion::Schema(detail) => DomainError::conflict(format!(
                "The published version's parameter schema is no longer accepted: {detail}. Change `params` \
                (docs/pipelines.md lists what is accepted) and publish the pipeline."
            )),
        })?);
        self.insert(version, &startable);
        Ok(startable)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn startable(bytes: usize) -> Arc<Startable> {
        let schema = Schema::compile(&json!({ "const": "x".repeat(bytes) })).unwrap();
        Arc::new(Startable { steps: Vec::new(), concurrency: None, schema: Some(Arc::new(schema)) })
    }

    #[test]
    fn the_cache_is_bounded_and_forgets_what_is_not_used() {
        let cache = VersionCache::default();
        let id = |number: u128| VersionId::from(Uuid::from_u128(number));
        for number in 0..200 {
            cache.insert(id(number), &startable(1_000_000));
            assert!(cache.get(id(0)).is_some(), "it is used all the time");
        }
        assert!(cache.get(id(1)).is_none());
        assert!(cache.get(id(199)).is_some());
        let kept = cache.0.lock().unwrap();
        assert!(kept.bytes <= MAX_BYTES && kept.versions.len() < 40);
        assert_eq!(kept.bytes, kept.versions.values().map(|entry| entry.bytes).sum::<usize>());
        drop(kept);
        cache.insert(id(500), &startable(MAX_BYTES));
        assert!(cache.get(id(500)).is_none(), "it would drive out all others");
    }
}
