//! Who may let a pipeline do more. What the last published version declares was granted; a version that declares
//! more takes `capability.grant` to publish, and a pipeline that may use something takes it to be put on another
//! board.

use std::collections::BTreeSet;

use restroy_sdk::{
    api::pipeline::Pipeline,
    document::{Capability, Document, Escalation, escalations},
    problem::{FieldError, Problem, ProblemCode},
};

use crate::{
    auth::{Permission, Scope},
    error::ApiResult,
    store::{
        TeamTx,
        configuration::{self, ConfigOwner},
        versions,
    },
};

/// Every place where a document may use more than what was granted.
pub(super) struct Escalations(Vec<Escalation>);

/// The document of the pipeline's published version.
pub(super) async fn published(tx: &mut TeamTx, pipeline: &Pipeline) -> ApiResult<Option<Document>> {
    let Some(number) = pipeline.published_version else { return Ok(None) };
    Ok(match versions::by_number(tx, pipeline.id, number).await? {
        Some(version) => Some(versions::document(tx, version.id).await?),
        None => None,
    })
}

impl Escalations {
    /// Against the pipeline's published version.
    pub(super) async fn against_published(
        tx: &mut TeamTx,
        pipeline: &Pipeline,
        document: &Document,
    ) -> ApiResult<Self> {
        Ok(Self(escalations(document, published(tx, pipeline).await?.as_ref())))
    }

    /// Against nothing: all that the document may use.
    pub(super) fn all_of(document: &Document) -> Self {
        Self(escalations(document, None))
    }

    /// The places.
    pub(super) fn field_errors(self) -> Vec<FieldError> {
        self.0.into_iter().map(|place| place.fault).collect()
    }

    /// 403 with every place that the caller cannot grant. A secret of the whole team takes the permission by
    /// the role in the team: who grants on one board does not thereby give away what lies beyond it.
    pub(super) async fn check(&self, scope: &Scope, tx: &mut TeamTx, what: &str) -> ApiResult<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        if !scope.has_permission(Permission::CapabilityGrant) {
            let detail = format!("{what} requires the permission `{}`.", Permission::CapabilityGrant);
            return Err(forbidden(detail, self.0.iter()));
        }
        if scope.has_team_permission(Permission::CapabilityGrant) {
            return Ok(());
        }
        let mut beyond = BTreeSet::new();
        for place in &self.0 {
            if let Capability::Secret { key, .. } = &place.touch
                && !beyond.contains(key)
                && configuration::get(tx, ConfigOwner::Team(scope.team()), key).await?.is_some_and(|entry| entry.secret)
            {
                beyond.insert(key.clone());
            }
        }
        if beyond.is_empty() {
            return Ok(());
        }
        let detail = format!(
            "{what} requires the permission `{}` through the team role, not only on this board: it names secrets of \
            the whole team.",
            Permission::CapabilityGrant
        );
        let named =
            |place: &&Escalation| matches!(&place.touch, Capability::Secret { key, .. } if beyond.contains(key));
        Err(forbidden(detail, self.0.iter().filter(named)))
    }
}

fn forbidden<'a>(detail: String, places: impl Iterator<Item = &'a Escalation>) -> crate::error::ApiError {
    let faults = places.map(|place| place.fault.clone()).collect();
    Problem::new(ProblemCode::Forbidden).detail(detail).errors(faults).into()
}
