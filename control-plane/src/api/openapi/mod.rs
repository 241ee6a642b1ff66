//! The OpenAPI document: what is common to all routes. Each handler has its own part beside it; what
//! follows from a route's form (who may call it, which errors it can answer, what its bodies look
//! like) is added here, so that no route can lack it.

mod examples;
mod parameters;
mod problems;

use restroy_sdk::problem::Problem;
use serde_json::{Value, json};
use utoipa::{
    OpenApi,
    openapi::{
        self,
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

const BEARER: &str = "bearer";

/// What the document starts with.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Restroy",
        description = "Teams, boards, pipelines of Lua scripts, and their runs.\n\n\
            Errors are problem documents (RFC 9457) with a stable `code`. Lists come in pages: pass `next_cursor` as \
            `?cursor=`. Every answer has an `X-Request-Id`, and says in `RateLimit` and `RateLimit-Policy` how many \
            requests are left; a request too many is answered with 429 and `Retry-After`.",
        license(name = "MIT OR Apache-2.0"),
    ),
    components(schemas(Problem))
)]
struct Base;

pub(super) fn base() -> openapi::OpenApi {
    Base::openapi()
}

/// The whole document: with the bearer scheme, unless the route says that it needs none, with the
/// problems that each route can answer, and with an example of every body.
pub(super) fn finish(mut document: openapi::OpenApi) -> Value {
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(BEARER, SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            if operation.security.is_none() {
                operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, [])]);
            }
        }
    }
    let mut document = serde_json::to_value(&document).unwrap_or_default();
    // The versions of the crates are not those of the API.
    document["info"]["version"] = json!("1");
    document["components"]["responses"] = json!({ "Problem": problems::response() });
    parameters::fields(&mut document["components"]["schemas"]);
    let schemas = document["components"]["schemas"].clone();
    for (path, method, operation) in operations(&mut document) {
        parameters::describe_parameters(&path, operation);
        problems::add(&method, &path, operation);
        examples::add(operation, &schemas);
    }
    document
}

/// Every operation with its path and, in capitals, its method.
fn operations(document: &mut Value) -> impl Iterator<Item = (String, String, &mut Value)> {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let operations = item.as_object_mut().into_iter().flatten();
        operations
            .filter(|(method, _)| matches!(method.as_str(), "get" | "put" | "post" | "delete" | "patch"))
            .map(move |(method, operation)| (path.clone(), method.to_uppercase(), operation))
    })
}
