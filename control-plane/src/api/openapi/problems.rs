//! Which problems a route can answer. Most follow from its form: a body can be too large, a thing of
//! another team is not found. The rest stands in [`EXTRA_PROBLEMS`]; the behavioural tests hold every problem
//! that they meet against the document.

use std::collections::{BTreeMap, BTreeSet};

use restroy_sdk::problem::{
    FieldError, LimitHit, MEDIA_TYPE, Problem,
    ProblemCode::{
        self, BadRequest, Conflict, Forbidden, IdempotencyInFlight, IdempotencyMismatch, InsufficientStorage, Internal,
        Invalid, InvalidCredentials, InvalidDefinition, InvalidParams, NameTaken, NotFound, QuotaExceeded, RateLimited,
        SecondFactorRequired, TooLarge, TooManyConcurrentRequests, Unauthorized, Unavailable, UnsupportedMediaType,
        VersionMismatch,
    },
};
use serde_json::{Value, json};

/// What routes answer beyond what follows from their form.
const EXTRA_PROBLEMS: &[(&str, &str, &[ProblemCode])] = &[
    ("POST", "/v1/auth/login", &[InvalidCredentials, SecondFactorRequired]),
    ("POST", "/v1/auth/login/second-factor", &[InvalidCredentials]),
    ("POST", "/v1/auth/logout", &[Forbidden]),
    ("POST", "/v1/auth/oidc", &[NotFound]),
    ("POST", "/v1/auth/oidc/finish", &[NotFound, InvalidCredentials, Forbidden, SecondFactorRequired]),
    ("POST", "/v1/auth/refresh", &[Unauthorized]),
    ("PATCH", "/v1/me", &[Forbidden]),
    ("DELETE", "/v1/me", &[Forbidden, Conflict]),
    ("POST", "/v1/me/password", &[Forbidden, Conflict]),
    ("POST", "/v1/me/email", &[Forbidden]),
    ("POST", "/v1/me/email/confirm", &[Conflict]),
    ("GET", "/v1/me/sessions", &[Forbidden]),
    ("DELETE", "/v1/me/sessions", &[Forbidden]),
    ("POST", "/v1/me/totp", &[Forbidden, Conflict]),
    ("POST", "/v1/me/totp/confirm", &[Forbidden, Conflict]),
    ("POST", "/v1/me/totp/recovery-codes", &[Forbidden, Conflict]),
    ("DELETE", "/v1/me/totp", &[Forbidden, Conflict]),
    ("GET", "/v1/me/api-tokens", &[Forbidden]),
    ("POST", "/v1/me/api-tokens", &[Forbidden, QuotaExceeded]),
    ("GET", "/v1/me/audit", &[Forbidden]),
    ("GET", "/v1/me/invitations", &[Forbidden]),
    ("POST", "/v1/stream-tickets", &[Forbidden]),
    ("POST", "/v1/me/invitations/accept", &[Forbidden, NotFound, Conflict, QuotaExceeded]),
    ("POST", "/v1/me/invitations/{id}/accept", &[QuotaExceeded]),
    ("POST", "/v1/teams", &[Forbidden, QuotaExceeded]),
    ("POST", "/v1/teams/{id}/roles", &[NameTaken, QuotaExceeded]),
    ("PATCH", "/v1/teams/{id}/roles/{role}", &[NameTaken]),
    ("POST", "/v1/teams/{id}/invitations", &[QuotaExceeded]),
    ("PUT", "/v1/teams/{id}/configuration/{key}", &[QuotaExceeded]),
    ("POST", "/v1/teams/{id}/library", &[NameTaken, QuotaExceeded]),
    ("PUT", "/v1/teams/{id}/library/{name}", &[QuotaExceeded]),
    ("POST", "/v1/teams/{id}/service-accounts", &[NameTaken, QuotaExceeded]),
    ("POST", "/v1/teams/{id}/service-accounts/{account_id}/api-tokens", &[QuotaExceeded]),
    ("POST", "/v1/teams/{id}/boards", &[NameTaken, QuotaExceeded]),
    ("PATCH", "/v1/boards/{id}", &[NameTaken]),
    ("POST", "/v1/boards/{id}/restore", &[NameTaken]),
    ("POST", "/v1/boards/{id}/pipelines", &[NameTaken, QuotaExceeded]),
    ("PUT", "/v1/boards/{id}/kv/{key}", &[QuotaExceeded]),
    ("PUT", "/v1/boards/{id}/configuration/{key}", &[QuotaExceeded]),
    ("PUT", "/v1/pipelines/{id}/definition", &[InvalidDefinition, QuotaExceeded]),
    ("PATCH", "/v1/pipelines/{id}", &[NameTaken]),
    ("POST", "/v1/pipelines/{id}/move", &[NameTaken, QuotaExceeded]),
    ("POST", "/v1/pipelines/{id}/restore", &[NameTaken, QuotaExceeded]),
    ("POST", "/v1/pipelines/{id}/versions/{number}/restore", &[InvalidDefinition, QuotaExceeded]),
    ("POST", "/v1/pipelines/{id}/versions/{number}/publish", &[QuotaExceeded]),
    ("POST", "/v1/pipelines/{id}/runs", &[InvalidParams, QuotaExceeded]),
    ("PUT", "/v1/scripts/{id}/configuration/{key}", &[QuotaExceeded]),
];

/// Adds to an operation what it can answer when it does not do what it was asked.
pub(super) fn add(method: &str, path: &str, operation: &mut Value) {
    let mut by_status: BTreeMap<u16, Vec<ProblemCode>> = BTreeMap::new();
    for code in codes(method, path, operation) {
        by_status.entry(code.status()).or_default().push(code);
    }
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for (status, codes) in by_status {
        responses.entry(status.to_string()).or_insert_with(|| response_description(status, &codes));
    }
    responses.entry("default").or_insert_with(|| json!({ "$ref": "#/components/responses/Problem" }));
}

/// The response of whatever is not documented separately.
pub(super) fn response() -> Value {
    json!({
        "description": "The error, as a problem document (RFC 9457)",
        "content": { MEDIA_TYPE: { "schema": schema(), "example": example(Internal) } },
    })
}

fn codes(method: &str, path: &str, operation: &Value) -> Vec<ProblemCode> {
    let mut codes = vec![RateLimited, TooManyConcurrentRequests, Internal, Unavailable];
    let parameters = operation["parameters"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    let named = |name: &str| parameters.iter().any(|parameter| parameter["name"] == name);
    let within = |place: &str| parameters.iter().any(|parameter| parameter["in"] == place);
    let open =
        operation["security"].as_array().is_some_and(|schemes| schemes.iter().any(|scheme| *scheme == json!({})));
    if !open {
        codes.push(Unauthorized);
    }
    if method != "GET" {
        codes.push(InsufficientStorage);
    }
    if within("path") {
        codes.push(NotFound);
        if !open {
            codes.push(Forbidden);
        }
        // What an archived board does not take, or a run that has ended, or a team without another owner.
        if method != "GET" {
            codes.push(Conflict);
        }
    }
    if within("query") {
        codes.push(BadRequest);
    }
    if operation["requestBody"].is_object() {
        codes.extend([BadRequest, TooLarge, UnsupportedMediaType, Invalid]);
    }
    if named("Idempotency-Key") {
        codes.extend([BadRequest, IdempotencyInFlight, IdempotencyMismatch]);
    }
    if named("If-Match") {
        codes.push(VersionMismatch);
    }
    let beyond = EXTRA_PROBLEMS.iter().filter(|(of, at, _)| (*of, *at) == (method, path));
    codes.extend(beyond.flat_map(|(.., beyond)| *beyond));
    // In the order in which they are declared.
    let present: BTreeSet<&str> = codes.iter().map(|code| code.as_str()).collect();
    ProblemCode::ALL.iter().copied().filter(|code| present.contains(code.as_str())).collect()
}

fn response_description(status: u16, codes: &[ProblemCode]) -> Value {
    let description: Vec<String> = codes.iter().map(|code| format!("`{code}`: {}", code.title())).collect();
    let examples: serde_json::Map<String, Value> = codes
        .iter()
        .map(|code| (code.to_string(), json!({ "summary": code.title(), "value": example(*code) })))
        .collect();
    let mut response = json!({
        "description": description.join("; "),
        "content": { MEDIA_TYPE: { "schema": schema(), "examples": examples } },
    });
    if matches!(status, 429 | 503) {
        response["headers"] = json!({
            "Retry-After": { "description": "Seconds to wait before retrying", "schema": { "type": "integer", "minimum": 0 } },
        });
    }
    response
}

fn schema() -> Value {
    json!({ "$ref": "#/components/schemas/Problem" })
}

fn example(code: ProblemCode) -> Value {
    let mut problem = Problem::new(code);
    problem.request_id = Some("0197a4e0-7c1b-7d3e-9a54-2f6b8c1d0e11".into());
    problem.errors = match code {
        Invalid | NameTaken => vec![FieldError::new("/name", "1 to 64 characters")],
        InvalidDefinition => {
            vec![FieldError::new("/steps/send/needs/0", "unknown step `fetsh`; did you mean `fetch`?")]
        }
        InvalidParams => vec![FieldError::new("/issue", "7 is not of type \"string\"")],
        _ => Vec::new(),
    };
    if code == QuotaExceeded {
        let free_at = "2026-01-31T08:00:00Z".parse::<jiff::Timestamp>().ok().map(Into::into);
        problem.limit = Some(LimitHit { name: "fuel_per_day".into(), value: 10_000_000_000_000, free_at });
    }
    serde_json::to_value(problem).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_there() {
        let document = crate::api::document();
        for (method, path, codes) in EXTRA_PROBLEMS {
            let operation = &document["paths"][path][method.to_lowercase()];
            assert!(operation.is_object(), "{method} {path} is no route");
            for code in *codes {
                let response = &operation["responses"][code.status().to_string()];
                assert!(
                    response["content"][MEDIA_TYPE]["examples"][code.as_str()].is_object(),
                    "{method} {path} {code}"
                );
            }
        }
    }
}
