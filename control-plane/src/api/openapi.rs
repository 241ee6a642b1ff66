//! The OpenAPI document: what is common to all routes.

use restroy_sdk::problem::{MEDIA_TYPE, Problem};
use utoipa::{
    OpenApi,
    openapi::{
        self, ContentBuilder, Ref, RefOr, ResponseBuilder,
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

const BEARER: &str = "bearer";
const PROBLEM: &str = "Problem";

/// What the document starts with.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Restroy",
        description = "Teams, boards, pipelines of Lua scripts, and their runs.",
        license(name = "MIT OR Apache-2.0"),
    ),
    components(schemas(Problem))
)]
struct Base;

pub(super) fn base() -> openapi::OpenApi {
    Base::openapi()
}

/// Adds what every route has: the bearer scheme, unless the route says that it needs none, and
/// problem documents.
pub(super) fn finish(document: &mut openapi::OpenApi) {
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(BEARER, SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    let problem = ResponseBuilder::new()
        .description("What is wrong, as a problem document (RFC 9457)")
        .content(MEDIA_TYPE, ContentBuilder::new().schema(Some(Ref::from_schema_name(PROBLEM))).build())
        .build();
    components.responses.insert(PROBLEM.into(), RefOr::T(problem));
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            if operation.security.is_none() {
                operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, [])]);
            }
            operation
                .responses
                .responses
                .entry("default".into())
                .or_insert_with(|| RefOr::Ref(Ref::new(format!("#/components/responses/{PROBLEM}"))));
        }
    }
}
