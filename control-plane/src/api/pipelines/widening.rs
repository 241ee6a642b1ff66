//! Who may let a pipeline do more. What the last published version declares was granted; a version
//! that declares more takes `capability.grant` to publish.

use restroy_sdk::{
    api::pipeline::Pipeline,
    document::{Document, widened},
    problem::{Fault, Problem, ProblemCode},
};

use crate::{
    auth::{Permission, Scope},
    error::ApiResult,
    store::{TeamTx, versions},
};

/// Every place where a document may touch more than the pipeline's published version.
pub(super) async fn against_published(
    tx: &mut TeamTx,
    pipeline: &Pipeline,
    document: &Document,
) -> ApiResult<Vec<Fault>> {
    let published = match pipeline.published_version {
        Some(number) => versions::by_number(tx, pipeline.id, number).await?,
        None => None,
    };
    let published = match published {
        Some(version) => Some(versions::document(tx, version.id).await?),
        None => None,
    };
    Ok(widened(document, published.as_ref()))
}

/// 403 with every such place, unless there is none or the caller may grant.
pub(super) fn check(scope: &Scope, widened: &[Fault]) -> ApiResult<()> {
    if widened.is_empty() || scope.holds(Permission::CapabilityGrant) {
        return Ok(());
    }
    let detail = format!(
        "This version may do more than the published one; to publish it takes the permission `{}`.",
        Permission::CapabilityGrant
    );
    Err(Problem::new(ProblemCode::Forbidden).detail(detail).errors(widened.to_vec()).into())
}
