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

use super::{Stop, refuse};
use crate::{error::ApiResult, sql, store::TeamTx};

/// Of how many versions it is remembered: at most about 4 MiB.
const VERSIONS: usize = 256;

/// A capability that the control-plane carries out, or records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capability {
    Http,
    Kv,
    Email,
    Files,
}

impl Capability {
    pub(super) fn of(call: &CallKind) -> Self {
        match call {
            CallKind::KvGet { .. }
            | CallKind::KvList { .. }
            | CallKind::KvSet { .. }
            | CallKind::KvDelete { .. }
            | CallKind::KvIncr { .. }
            | CallKind::KvCas { .. } => Self::Kv,
            CallKind::EmailSend { .. } => Self::Email,
            CallKind::HttpAnswered { .. } => Self::Http,
        }
    }

    /// Its name in `allow` of a step.
    fn as_str(self) -> &'static str {
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
struct Declared([bool; 4]);

impl Declared {
    fn contains(self, capability: Capability) -> bool {
        let Self([http, kv, email, files]) = self;
        match capability {
            Capability::Http => http,
            Capability::Kv => kv,
            Capability::Email => email,
            Capability::Files => files,
        }
    }
}

impl From<&Allow> for Declared {
    fn from(allow: &Allow) -> Self {
        Self([!allow.http.is_empty(), allow.kv, allow.email, allow.files])
    }
}

type Steps = BTreeMap<String, Declared>;

/// The newest versions that were asked for. A version never changes.
#[derive(Debug, Default)]
pub(crate) struct Versions(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    steps: HashMap<VersionId, Arc<Steps>>,
    /// The oldest first.
    order: VecDeque<VersionId>,
}

impl Versions {
    fn get(&self, version: VersionId) -> Option<Arc<Steps>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).steps.get(&version).cloned()
    }

    fn insert(&self, version: VersionId, steps: Arc<Steps>) {
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

    /// Refuses what a step of a version did not declare: `not_granted`, as in the sandbox.
    pub(super) async fn check(
        &self,
        tx: &mut TeamTx,
        version: VersionId,
        step: &str,
        capability: Capability,
    ) -> Result<(), Stop> {
        let steps = if let Some(steps) = self.get(version) {
            steps
        } else {
            let steps = Arc::new(read(tx, version).await?);
            self.insert(version, Arc::clone(&steps));
            steps
        };
        if steps.get(step).is_some_and(|declared| declared.contains(capability)) {
            return Ok(());
        }
        let name = capability.as_str();
        Err(refuse("not_granted", format!("this script is not allowed to use {name}: its step has no `allow.{name}`")))
    }
}

/// The part of a document that is about this.
#[derive(Deserialize)]
struct Document {
    steps: BTreeMap<String, Step>,
}

#[derive(Deserialize)]
struct Step {
    #[serde(default)]
    allow: Allow,
}

async fn read(tx: &mut TeamTx, version: VersionId) -> ApiResult<Steps> {
    let team = tx.team();
    let definition: String = sql!(
        &mut **tx,
        fetch_one,
        query_scalar("SELECT definition FROM pipeline_versions WHERE team_id = $1 AND id = $2")
            .bind(team)
            .bind(version)
    )?;
    let document: Document = serde_json::from_str(&definition)?;
    Ok(document.steps.iter().map(|(name, step)| (name.clone(), Declared::from(&step.allow))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_forgotten() {
        let versions = Versions::default();
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
