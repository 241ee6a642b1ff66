//! HTTP.

use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use super::{CallContext, CallResult};
use crate::Grants;

/// Sends requests. The dispatcher has matched the URL with the grant; resolving the name, refusing
/// private addresses, and checking each redirect against [`HttpRequest::grants`] is the
/// implementor's.
#[async_trait]
pub trait Http: Send + Sync {
    /// Sends one request and reads its answer, within the request's own limits.
    async fn send(&self, call: &CallContext, request: HttpRequest) -> CallResult<HttpResponse>;
}

/// A request of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Upper case, a token.
    pub method: String,
    /// http or https.
    pub url: Url,
    /// In the script's order (sorted by name), names as written.
    pub headers: Vec<(String, String)>,
    /// Empty when there is none.
    pub body: Vec<u8>,
    /// For the whole exchange, body included.
    pub timeout: Duration,
    /// The answer's body, after decompression; a longer one is the error `http_response_limit`.
    pub max_response_bytes: u64,
    /// 0: the redirect itself is the answer.
    pub max_redirects: u32,
    /// What every hop of a redirect must be allowed by.
    pub grants: Grants,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// As received; a name may repeat.
    pub headers: Vec<(String, String)>,
    /// The body, decompressed.
    pub body: Vec<u8>,
}
