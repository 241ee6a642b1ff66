//! HTTP requests of scripts: from inside our network, on a stranger's behalf.
//!
//! The sandbox's dispatcher has matched the URL with what the step was granted. Here: only addresses
//! within reach (see [`address`]), names resolved by ourselves and connected to at the very address
//! that was checked, literal addresses checked too; no proxy, no cookies, no connection that one
//! request leaves for another; a redirect is followed only when asked for, and each hop is a request
//! of its own, checked again.

pub(crate) mod address;
mod headers;
mod names;
mod resolve;

use std::{net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ipnet::IpNet;
use lua_wasm_host::{CallContext, CallError, CallResult, HttpRequest, HttpResponse};
use reqwest::{Method, StatusCode, header, header::HeaderMap, redirect};
use restroy_run_queue::run_api::{CallKind, HttpAnswer, MAX_HTTP_ANSWER};
use rustls::client::WantsClientCert;
use tokio::sync::Semaphore;
use url::{Host, Url};

use self::{
    address::ReachPolicy,
    resolve::{CheckedResolver, DeniedAddress, Lookup, is_denied},
};
use super::attempt::AttemptContext;
use crate::{client::LeaseLost, mask, memory::TASK_MEMORY_LIMIT, run::seed, tenant_work};

/// No exchange may take longer, whatever the limits say.
const LONGEST: Duration = Duration::from_mins(1);
const CONNECT: Duration = Duration::from_secs(10);
/// No redirects beyond these, whatever the limits say.
const MOST_REDIRECTS: u32 = 3;
/// Exchanges of one task at once.
pub(crate) const AT_ONCE: usize = 6;

/// What scripts' requests may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpPolicy {
    /// Whether scripts may talk to services on this very machine, also by plain http. For
    /// development and tests; never where strangers' scripts run.
    pub allow_loopback: bool,
    /// Networks that scripts may not reach, beside those that are not public at all: the operator's own public
    /// addresses, say. Goes before `allow_loopback`.
    pub denied_networks: Vec<IpNet>,
}

/// A builder of clients that share nothing and believe nothing: TLS by rustls with ring and the
/// system's roots, no proxy, no redirects.
pub(crate) fn client_builder() -> Result<reqwest::ClientBuilder, String> {
    Ok(client_with(system_roots()?.with_no_client_auth()))
}

/// TLS that trusts the system's authorities.
pub(crate) fn system_roots() -> Result<rustls::ConfigBuilder<rustls::ClientConfig, WantsClientCert>, String> {
    let tls = tls()?;
    Ok(match rustls_platform_verifier::Verifier::new(provider()) {
        Ok(verifier) => tls.dangerous().with_custom_certificate_verifier(Arc::new(verifier)),
        Err(error) => {
            tracing::warn!(%error, "no trusted certificates on this system: every https request will fail");
            tls.with_root_certificates(rustls::RootCertStore::empty())
        }
    })
}

/// TLS that trusts these authorities and no others.
pub(crate) fn own_roots(
    roots: rustls::RootCertStore,
) -> Result<rustls::ConfigBuilder<rustls::ClientConfig, WantsClientCert>, String> {
    Ok(tls()?.with_root_certificates(roots))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn tls() -> Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier>, String> {
    rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())
}

/// A builder of clients with TLS set up: no proxy, no redirects, nothing tried again.
pub(crate) fn client_with(tls: rustls::ClientConfig) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT)
}

/// Sends scripts' requests. Cheap to clone.
#[derive(Clone)]
pub struct OutboundHttp {
    allow_loopback: bool,
    denied: Arc<[IpNet]>,
    /// For https.
    secure: reqwest::Client,
    /// For plain http, which reaches this machine only.
    local: reqwest::Client,
}

impl OutboundHttp {
    /// Sends what `policy` lets through. The error says why TLS cannot be set up.
    pub fn new(policy: HttpPolicy) -> Result<Self, String> {
        Self::with_lookup(policy, &names::lookup(names::ResolverFiles::system()))
    }

    fn with_lookup(policy: HttpPolicy, lookup: &Lookup) -> Result<Self, String> {
        let HttpPolicy { allow_loopback, denied_networks } = policy;
        let denied: Arc<[IpNet]> = denied_networks.into();
        let client = |reach, https_only| {
            let checked = CheckedResolver { reach, denied: Arc::clone(&denied), lookup: Arc::clone(lookup) };
            client_builder()?
                .dns_resolver(Arc::new(checked))
                // Strangers share no connections.
                .pool_max_idle_per_host(0)
                .https_only(https_only)
                .build()
                .map_err(|error| error.to_string())
        };
        let secure = client(Self::reach(allow_loopback, true), true)?;
        let local = client(ReachPolicy::Loopback, false)?;
        Ok(Self { allow_loopback, denied, secure, local })
    }

    fn reach(allow_loopback: bool, https: bool) -> ReachPolicy {
        match (https, allow_loopback) {
            (true, true) => ReachPolicy::GlobalOrLoopback,
            (true, false) => ReachPolicy::Global,
            (false, _) => ReachPolicy::Loopback,
        }
    }

    /// The client for a URL, once the URL itself was checked.
    fn client_for(&self, url: &Url) -> CallResult<&reqwest::Client> {
        let https = match url.scheme() {
            "https" => true,
            "http" if self.allow_loopback => false,
            "http" => {
                return Err(CallError::new("http_insecure", "plain http is not available: use an https address").into());
            }
            _ => return Err(CallError::new("http_bad_url", "the address is neither http nor https").into()),
        };
        // A literal address skips the resolver. However it was spelt (0x7f.1, 2130706433), the URL
        // parser has made it an address.
        let literal = match url.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            Some(Host::Domain(_)) => None,
            None => return Err(CallError::new("http_bad_url", "the address has no host").into()),
        };
        let reach = Self::reach(self.allow_loopback, https);
        if literal.is_some_and(|ip| !reach.allows(ip) || is_denied(&self.denied, ip)) {
            return Err(denied_address(url).into());
        }
        Ok(if https { &self.secure } else { &self.local })
    }

    /// Sends a request and reads its answer, within the request's limits.
    pub async fn send(&self, request: HttpRequest, idempotency_key: &str) -> CallResult<HttpResponse> {
        self.send_metered(request, idempotency_key, &|_| true).await
    }

    /// The same, asking `spend` before anything is sent, for each hop anew, whether so many bytes may go out.
    pub async fn send_metered(
        &self,
        request: HttpRequest,
        idempotency_key: &str,
        spend: &(dyn Fn(u64) -> bool + Send + Sync),
    ) -> CallResult<HttpResponse> {
        let patience = request.timeout.min(LONGEST);
        let exchange = self.follow(request, idempotency_key, spend);
        tokio::time::timeout(patience, exchange).await.unwrap_or_else(|_| {
            let message = format!("no complete answer within {} ms", patience.as_millis());
            Err(CallError::retryable("http_timeout", message).into())
        })
    }

    async fn follow(
        &self,
        request: HttpRequest,
        idempotency_key: &str,
        spend: &(dyn Fn(u64) -> bool + Send + Sync),
    ) -> CallResult<HttpResponse> {
        let mut headers = headers::build(&request.headers, idempotency_key)?;
        let mut method = method(&request.method)?;
        let mut body = request.body;
        let mut url = request.url;
        let mut hops = request.max_redirects.min(MOST_REDIRECTS);
        loop {
            let client = self.client_for(&url)?;
            if !spend(request_bytes(&method, &url, &headers, &body)) {
                let message =
                    "the team's limit `egress_bytes_per_hour` is used up: some becomes available with the next hour";
                return Err(CallError::retryable("quota_exceeded", message).into());
            }
            let sent = client.request(method.clone(), url.clone()).headers(headers.clone()).body(body.clone());
            let response = sent.send().await.map_err(|error| failed(&error, &url))?;
            let Some(target) = redirect_target(&url, &response)? else {
                return read(response, request.max_response_bytes, &url).await;
            };
            if hops == 0 {
                return read(response, request.max_response_bytes, &url).await;
            }
            hops -= 1;
            if !request.grants.allows_url(&target) {
                let message = format!(
                    "{} redirects to {}, which the step's `allow.http` does not list",
                    origin(&url),
                    origin(&target)
                );
                return Err(CallError::new("http_redirect_not_allowed", message).into());
            }
            if url.scheme() == "https" && target.scheme() != "https" {
                let message = format!("{} redirects to an address without https", origin(&url));
                return Err(CallError::new("http_redirect_not_allowed", message).into());
            }
            // RFC 9110, section 15.4: after these a POST continues as a GET, as browsers do it.
            let status = response.status();
            let becomes_get = status == StatusCode::SEE_OTHER && method != Method::HEAD
                || matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND) && method == Method::POST;
            if becomes_get {
                method = Method::GET;
                body.clear();
                headers.remove(header::CONTENT_TYPE);
            }
            if target.origin() != url.origin() {
                headers::strip_credentials(&mut headers);
            }
            url = target;
        }
    }
}

fn method(name: &str) -> CallResult<Method> {
    let refused = || CallError::new("http_bad_method", format!("the method `{}` cannot be sent", name.escape_debug()));
    let method = Method::from_bytes(name.as_bytes()).map_err(|_| refused())?;
    if matches!(method, Method::CONNECT | Method::TRACE) { Err(refused().into()) } else { Ok(method) }
}

/// Where an answer redirects to, if it does.
fn redirect_target(url: &Url, response: &reqwest::Response) -> CallResult<Option<Url>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(header::LOCATION) else { return Ok(None) };
    let target = location.to_str().ok().and_then(|location| url.join(location).ok());
    let bad =
        || CallError::new("http_bad_redirect", format!("{} redirects to something that is not a URL", origin(url)));
    Ok(Some(target.ok_or_else(bad)?))
}

async fn read(mut response: reqwest::Response, limit: u64, url: &Url) -> CallResult<HttpResponse> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let too_long = || {
        CallError::new(
            "http_response_limit",
            format!("{} answers with too long a body (limit: {limit} bytes)", origin(url)),
        )
    };
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(too_long().into());
    }
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error, url))? {
        if body.len() + chunk.len() > limit {
            return Err(too_long().into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(HttpResponse { status, headers, body })
}

/// The error of a request that got no answer. The URL's path and query stay out of the message.
fn failed(error: &reqwest::Error, url: &Url) -> CallError {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    let mut innermost = None;
    while let Some(error) = cause {
        if error.is::<DeniedAddress>() {
            return denied_address(url);
        }
        innermost = Some(error);
        cause = error.source();
    }
    let reason = innermost.map_or_else(String::new, ToString::to_string);
    if error.is_timeout() {
        return CallError::retryable("http_timeout", format!("{} does not answer: {reason}", origin(url)));
    }
    if error.is_connect() {
        return CallError::retryable("http_connect", format!("cannot connect to {}: {reason}", origin(url)));
    }
    CallError::retryable("http_failed", format!("the exchange with {} broke off: {reason}", origin(url)))
}

fn denied_address(url: &Url) -> CallError {
    let message = format!("{} is not a public address, or the operator keeps scripts out of its network", origin(url));
    CallError::new("http_address_not_allowed", message)
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// The HTTP capability of one attempt.
pub(crate) struct AttemptHttp {
    pub(crate) attempt: Arc<AttemptContext>,
    pub(crate) outbound: OutboundHttp,
    pub(crate) at_once: Arc<Semaphore>,
}

#[async_trait]
impl lua_wasm_host::Http for AttemptHttp {
    async fn send(&self, call: &CallContext, request: HttpRequest) -> CallResult<HttpResponse> {
        // The semaphore is never closed.
        let _turn = self.at_once.acquire().await;
        let key = call.idempotency_key.clone().unwrap_or_else(|| self.attempt.key(call));
        // The run may have been ended meanwhile, by somebody whose word does not arrive.
        self.attempt.task.ensure_held().await.map_err(|LeaseLost| super::attempt::lease_lost())?;
        // The answer is there twice while it is read: as it came, and decompressed.
        let held = request.body.len() + 2 * usize::try_from(request.max_response_bytes).unwrap_or(usize::MAX / 4);
        let _held = self
            .attempt
            .task
            .memory
            .guard(held)
            .map_err(|error| CallError::retryable(TASK_MEMORY_LIMIT, error.to_string()))?;
        let digest = seed::request_digest(call);
        if self.attempt.repeats
            && let Some(stored) = self.recall(call, &digest).await?
        {
            // A secret may have been set as usable only since.
            return self.without_unreadable_secrets(stored).await;
        }
        let egress = |bytes| self.attempt.task.api.egress.spend(bytes);
        let exchange = self.outbound.send_metered(request, &key, &egress);
        let answer = self.attempt.task.api.lost.run_until_cancelled(exchange).await;
        let answer = self.without_unreadable_secrets(answer.ok_or_else(super::attempt::lease_lost)??).await?;
        let recorded = CallKind::HttpAnswered { request: digest, answer: storable(&answer) };
        self.attempt.call::<serde_json::Value>(call, recorded).await?;
        Ok(answer)
    }
}

impl AttemptHttp {
    /// An answer with the secrets masked that scripts must not read: a server may send back what it was sent.
    async fn without_unreadable_secrets(&self, answer: HttpResponse) -> CallResult<HttpResponse> {
        let task = &self.attempt.task;
        if task.usable_only_masker.is_empty() {
            return Ok(answer);
        }
        self.attempt.ensure_masking_budget()?;
        let (masker, budget) = (task.usable_only_masker.clone(), Arc::clone(&self.attempt.masking));
        let headers: usize = answer.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let large = headers + answer.body.len() > mask::LARGE;
        let search = move || HttpResponse {
            status: answer.status,
            headers: answer
                .headers
                .into_iter()
                .map(|(name, value)| (masker.mask_counting(&name, &budget), masker.mask_counting(&value, &budget)))
                .collect(),
            body: masker.mask_bytes(answer.body, &budget),
        };
        if !large {
            return Ok(search());
        }
        Ok(task.in_turn(search).await.map_err(|error| {
            let (code, message) = tenant_work::describe(error, "the search for secrets");
            CallError::retryable(code, message)
        })?)
    }

    /// The answer that an earlier execution of the attempt got to the same request, if it is stored.
    async fn recall(&self, call: &CallContext, digest: &str) -> CallResult<Option<HttpResponse>> {
        let asked = CallKind::HttpRecall { request: digest.to_owned() };
        let Some(stored) = self.attempt.call::<Option<HttpAnswer>>(call, asked).await? else { return Ok(None) };
        let body = BASE64.decode(&stored.body).map_err(|error| {
            CallError::new("internal", format!("the stored answer to this request cannot be read: {error}"))
        })?;
        Ok(Some(HttpResponse { status: stored.status, headers: stored.headers, body }))
    }
}

/// An answer as it is stored, unless it is too long.
fn storable(answer: &HttpResponse) -> Option<HttpAnswer> {
    if answer.body.len() > MAX_HTTP_ANSWER {
        return None;
    }
    let (status, headers) = (answer.status, answer.headers.clone());
    Some(HttpAnswer { status, headers, body: BASE64.encode(&answer.body) }).filter(HttpAnswer::fits)
}

/// What a request weighs, in bytes: its address, headers and body.
fn request_bytes(method: &Method, url: &Url, headers: &HeaderMap, body: &[u8]) -> u64 {
    let headers: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    (method.as_str().len() + url.as_str().len() + headers + body.len()) as u64
}

#[cfg(test)]
mod tests;
