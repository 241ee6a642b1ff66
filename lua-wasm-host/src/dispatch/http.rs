//! HTTP: the request is checked here and sent by the embedder.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::{Position, Url};

use super::secrets::SecretToken;
use super::{Answer, CallTime, Dispatcher, parse, require_service};
use crate::{CallError, CallKind, CallResult, ErrorCode, HttpRequest, StepError};

/// Most headers of a request.
const MAX_HEADERS: usize = 100;
/// Longest name and value of a header together, bytes.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// The shortest timeout of a request: whoever wants to give up sooner costs more than the request does.
const MIN_TIMEOUT: Duration = Duration::from_millis(100);

/// Headers that frame the message: the host's to say.
const OURS: [&str; 7] = ["host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"];

#[derive(Deserialize)]
struct HttpCall {
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    timeout: Option<f64>,
    idempotency_key: Option<String>,
    /// What stands for secrets in the query, the headers and the body.
    #[serde(default)]
    secrets: Vec<SecretToken>,
}

#[derive(Serialize)]
struct HttpCallAnswer {
    status: u16,
    headers: Vec<(String, String)>,
}

impl Dispatcher {
    pub(super) async fn http(&mut self, head: &[u8], body: Vec<u8>) -> CallResult<Answer> {
        let mut request: HttpCall = parse(head)?;
        let tokens = std::mem::take(&mut request.secrets);
        let Resolved { request, body, shown_url, shown_body } = self.resolve(request, body, tokens)?;
        let url =
            Url::parse(&request.url).map_err(|error| invalid(format!("\"{shown_url}\" is not a URL: {error}")))?;
        // A secret in the place of a host, or in a path, which logs and redirects show, is a mistake.
        let same = |shown: Url| shown[..Position::AfterPath] == url[..Position::AfterPath];
        if !Url::parse(&shown_url).is_ok_and(same) {
            return Err(invalid("a reference to a secret has its place in a query, a header or a body").into());
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid(format!("\"{shown_url}\" is neither http nor https")).into());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("a URL must not carry a user name or password").into());
        }
        check_method(&request.method)?;
        check_headers(&request.headers)?;
        if !self.host_context.grants.allows_url(&url) {
            let origin = url.origin().ascii_serialization();
            return Err(CallError::new("not_granted", format!("this script is not allowed to reach {origin}")).into());
        }
        let service = require_service(true, "http", self.host_context.http.as_deref())?;
        if self.http_requests >= self.limits.http_requests {
            return Err(StepError::limit(ErrorCode::HttpRequestLimit, &self.limits).into());
        }
        let timeout = match request.timeout {
            Some(seconds) => Duration::try_from_secs_f64(seconds)
                .map_err(|_| invalid("timeout takes a number of seconds, 0 or more"))?
                .max(MIN_TIMEOUT)
                .min(self.limits.http_timeout),
            None => self.limits.http_timeout,
        };
        check_key(request.idempotency_key.as_deref())?;
        let call = self.context(
            CallKind::Http,
            format!("{} {shown_url}", request.method),
            &[request.method.as_bytes(), shown_url.as_bytes(), shown_body.as_deref().unwrap_or(&body)],
            request.idempotency_key,
        );
        let size = body.len() + head.len();
        let request = HttpRequest {
            method: request.method,
            url,
            headers: request.headers.into_iter().collect(),
            body,
            timeout,
            max_response_bytes: self.limits.http_response_bytes,
            max_redirects: self.limits.http_redirects,
            grants: self.host_context.grants.clone(),
        };
        let act = async {
            // The implementor keeps the timeout; this is for one that does not.
            tokio::time::timeout(timeout, service.send(&call, request)).await.unwrap_or_else(|_| {
                Err(CallError::retryable("http_timeout", format!("no answer within {timeout:?}")).into())
            })
        };
        let done = self
            .perform(&call, CallTime::Counts, size, act, |response| (response.body.len(), Some(response.status)))
            .await;
        self.http_requests += 1;
        let response = done?;
        if response.body.len() as u64 > self.limits.http_response_bytes {
            let limit = crate::outcome::bytes(self.limits.http_response_bytes);
            return Err(
                CallError::new("http_response_limit", format!("the answer is too large (limit: {limit})")).into()
            );
        }
        Ok(Answer::with_body(&HttpCallAnswer { status: response.status, headers: response.headers }, response.body)?)
    }
}

/// A request with the values of its secrets, and what of it may be shown.
struct Resolved {
    request: HttpCall,
    body: Vec<u8>,
    shown_url: String,
    /// None: as the body is.
    shown_body: Option<Vec<u8>>,
}

impl Dispatcher {
    fn resolve(&self, mut request: HttpCall, body: Vec<u8>, tokens: Vec<SecretToken>) -> Result<Resolved, CallError> {
        let secrets = self.substitution(tokens)?;
        if secrets.is_empty() {
            let shown_url = Url::parse(&request.url).map_or_else(|_| request.url.clone(), String::from);
            return Ok(Resolved { request, body, shown_url, shown_body: None });
        }
        let most = usize::try_from(self.limits.host_call_bytes).unwrap_or(usize::MAX);
        let text = String::from_utf8(body).map_err(|_| invalid("a body with references to secrets is UTF-8"))?;
        let shown_url = secrets.shown(&request.url, most)?;
        let shown_body = Some(secrets.shown(&text, most)?.into_bytes());
        let body = secrets.resolved(&text, most)?.into_bytes();
        request.url = secrets.resolved(&request.url, most)?;
        for value in request.headers.values_mut() {
            *value = secrets.resolved(value, MAX_HEADER_BYTES)?;
        }
        let shown_url = Url::parse(&shown_url).map_or(shown_url, String::from);
        Ok(Resolved { request, body, shown_url, shown_body })
    }
}

fn invalid(message: impl Into<String>) -> CallError {
    CallError::new("invalid_argument", message)
}

/// A token of RFC 9110, in upper case; CONNECT and TRACE are not a script's.
fn check_method(method: &str) -> Result<(), CallError> {
    let token = !method.is_empty()
        && method.len() <= 20
        && method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    if !token || matches!(method, "CONNECT" | "TRACE") {
        return Err(invalid(format!("\"{method}\" is not a method")));
    }
    Ok(())
}

fn check_headers(headers: &BTreeMap<String, String>) -> Result<(), CallError> {
    if headers.len() > MAX_HEADERS {
        return Err(invalid(format!("too many headers (limit: {MAX_HEADERS})")));
    }
    for (name, value) in headers {
        if name.len() + value.len() > MAX_HEADER_BYTES {
            return Err(invalid(format!("the header \"{name}\" is too long")));
        }
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(invalid(format!("\"{name}\" is not the name of a header")));
        }
        if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(invalid(format!("the value of the header \"{name}\" has control characters")));
        }
        if OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
            return Err(invalid(format!("the header \"{name}\" cannot be set")));
        }
    }
    Ok(())
}

/// An idempotency key becomes a header: visible ASCII, at most 255 bytes.
pub(super) fn check_key(key: Option<&str>) -> Result<(), CallError> {
    match key {
        Some(key) if key.is_empty() || key.len() > 255 || !key.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err(invalid("idempotency_key takes 1 to 255 visible ASCII characters"))
        }
        _ => Ok(()),
    }
}
