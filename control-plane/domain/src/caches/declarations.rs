//! What the steps of a run's version declared that they do. The sandbox's dispatcher checks it first; here it is
//! checked once more, since who speaks for a step may be an executor that was taken over.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use restroy_run_queue::run_api::CallKind;
use restroy_sdk::{document::Allow, ids::VersionId};
use serde::Deserialize;
use sqlx::query_scalar;

use crate::{DomainResult, sql, store::TeamTx};

/// Of how many versions it is remembered: at most about 4 MiB.
const VERSIONS: usize = 256;

/// A capability that the control-plane carries out, or records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EffectCapability {
    Http,
    Kv,
    Email,
    Files,
}

impl EffectCapability {
    pub(crate) fn for_call(call: &CallKind) -> Self {
        match call {
            CallKind::KvGet { .. }
            | CallKind::KvList { .. }
            | CallKind::KvSet { .. }
            | CallKind::KvDelete { .. }
            | CallKind::KvIncr { .. }
            | CallKind::KvCas { .. } => Self::Kv,
            CallKind::EmailSend { .. } => Self::Email,
            CallKind::HttpAnswered { .. } | CallKind::HttpRecall { .. } => Self::Http,
        }
    }

    /// Its name in `allow` of a step.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Kv => "kv",
            Self::Email => "email",
            Self::Files => "files",
        }
    }
}

/// What a step declared: http, kv, email, files.
#[derive(Debug, Clone, Copy)]
struct DeclaredCapabilities([bool; 4]);

impl DeclaredCapabilities {
    fn contains(self, capability: EffectCapability) -> bool {
        let Self([http, kv, email, files]) = self;
        match capability {
            EffectCapability::Http => http,
            EffectCapability::Kv => kv,
            EffectCapability::Email => email,
            EffectCapability::Files => files,
        }
    }
}

impl From<&Allow> for DeclaredCapabilities {
    fn from(allow: &Allow) -> Self {
        Self([!allow.http.is_empty(), allow.kv, allow.email, allow.files])
    }
}

type DeclaredSteps = BTreeMap<String, DeclaredCapabilities>;

/// The newest versions that were asked for. A version never changes.
#[derive(Debug, Default)]
pub(crate) struct DeclarationCache(Mutex<CacheState>);

#[derive(Debug, Default)]
struct CacheState {
    steps: HashMap<VersionId, Arc<DeclaredSteps>>,
    /// The oldest first.
    order: VecDeque<VersionId>,
}

impl DeclarationCache {
    fn get(&self, version: VersionId) -> Option<Arc<DeclaredSteps>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).steps.get(&version).cloned()
    }

    fn insert(&self, version: VersionId, steps: Arc<DeclaredSteps>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.steps.insert(version, steps).is_none() {
            known.order.push_back(version);
        }
        while known.order.len() > VERSIONS {
            if let Some(oldest) = known.order.pop_front() {
                known.steps.remove(&oldest);
            }
        }
    }

    /// Whether a step of a version declared that it does something.
    pub(crate) async fn declares(
        &self,
        tx: &mut TeamTx,
        version: VersionId,
        step: &str,
        capability: EffectCapability,
    ) -> DomainResult<bool> {
        let steps = if let Some(steps) = self.get(version) {
            steps
        } else {
            let steps = Arc::new(read(tx, version).await?);
            self.insert(version, Arc::clone(&steps));
            steps
        };
        Ok(steps.get(step).is_some_and(|declared| declared.contains(capability)))
    }
}

/// The part of a document that is about this.
#[derive(Deserialize)]
struct DocumentCapabilities {
    steps: BTreeMap<String, StepCapabilities>,
}

#[derive(Deserialize)]
struct StepCapabilities {
    #[serde(default)]
    allow: Allow,
}

async fn read(tx: &mut TeamTx, version: VersionId) -> DomainResult<DeclaredSteps> {
    let team = tx.team();
    let definition: String = sql!(
        &mut **tx,
        fetch_one,
        query_scalar("SELECT definition FROM pipeline_versions WHERE team_id = $1 AND id = $2")
            .bind(team)
            .bind(version)
    )?;
    let document: DocumentCapabilities = serde_json::from_str(&definition)?;
    Ok(document.steps.iter().map(|(name, step)| (name.clone(), DeclaredCapabilities::from(&step.allow))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_forgotten() {
        let versions = DeclarationCache::default();
        let ids: Vec<VersionId> =
            (0..=VERSIONS).map(|n| VersionId::from(uuid::Uuid::from_u128(u128::try_from(n).unwrap()))).collect();
        for id in &ids {
            versions.insert(*id, Arc::default());
            versions.insert(*id, Arc::default());
        }
        assert!(versions.get(ids[0]).is_none());
        assert!(ids[1..].iter().all(|id| versions.get(*id).is_some()));
    }
}
