//! The OpenAPI document as a promise: every problem that any test meets must stand in it.

use std::sync::LazyLock;

use reqwest::Method;
use restroy_control_plane::api;
use serde_json::Value;

use crate::support::Reply;

/// The document.
pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(api::document);

/// Fails the test when a problem came that the document does not name for the route.
#[track_caller]
pub(crate) fn check(method: &Method, path: &str, reply: &Reply) {
    let Some(code) = reply.body["code"].as_str().filter(|_| !reply.status.is_success()) else { return };
    let path = path.split('?').next().unwrap();
    let Some((route, item)) = route(path) else { return };
    let operation = &item[method.as_str().to_lowercase()];
    if operation.is_null() {
        assert_eq!(code, "method_not_allowed", "{method} {path} is not in the document");
        return;
    }
    let response = &operation["responses"][reply.status.as_str()];
    assert!(
        response["content"]["application/problem+json"]["examples"][code].is_object(),
        "{method} {route} answered {code}, which its OpenAPI does not say: add it to BEYOND in api/openapi/problems.rs"
    );
}

/// The path of the document that a path fits; the plainest when there are several.
fn route(path: &str) -> Option<(&'static String, &'static Value)> {
    let fits = |template: &str| {
        let (mut parts, mut given) = (template.split('/'), path.split('/'));
        loop {
            match (parts.next(), given.next()) {
                (None, None) => return true,
                (Some(part), Some(given)) if part == given || part.starts_with('{') => {}
                _ => return false,
            }
        }
    };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    paths.iter().filter(|(template, _)| fits(template)).min_by_key(|(template, _)| template.matches('{').count())
}
