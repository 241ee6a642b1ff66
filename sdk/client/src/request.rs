//! One request and its answer: credentials, refresh, retries, problems.

use std::time::Duration;

use reqwest::{
    Method, RequestBuilder, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderValue, IF_MATCH},
};
use serde::{Serialize, de::DeserializeOwned};
use url::Url;

use super::{
    Client,
    error::{Error, Result},
};
use restroy_sdk::{
    api::{
        Page,
        auth::{Refresh, Tokens},
    },
    problem::{MEDIA_TYPE, Problem},
};

/// The longest answer that is read, in bytes. The largest are definitions with their files.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
const TIMEOUT: Duration = Duration::from_mins(1);
/// Times a request is sent when its connection breaks.
const ATTEMPTS: u32 = 3;

/// Which page of a list.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Paging {
    /// How many items (1–100, default 50).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl Paging {
    /// The first page, as long as pages get.
    pub fn longest() -> Self {
        Self { limit: Some(100), cursor: None }
    }

    /// The page after `page`, of the same length; none after the last.
    pub fn after<T>(&self, page: &Page<T>) -> Option<Self> {
        page.next_cursor.clone().map(|cursor| Self { limit: self.limit, cursor: Some(cursor) })
    }
}

/// A request that is about to be sent.
pub(super) struct Request<'a> {
    client: &'a Client,
    method: Method,
    url: Url,
    body: Option<Vec<u8>>,
    key: Option<String>,
    if_match: Option<String>,
    anonymous: bool,
}

impl Client {
    /// A request to the route whose path has these segments.
    pub(super) fn request(&self, method: Method, segments: &[&str]) -> Request<'_> {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        Request { client: self, method, url, body: None, key: None, if_match: None, anonymous: false }
    }

    pub(super) fn get(&self, segments: &[&str]) -> Request<'_> {
        self.request(Method::GET, segments)
    }

    pub(super) fn post(&self, segments: &[&str]) -> Request<'_> {
        self.request(Method::POST, segments)
    }

    /// The token to send; none when nobody is signed in.
    pub(super) fn access_token(&self) -> Result<String> {
        if let Some(token) = &self.api_token {
            return Ok(token.to_string());
        }
        let tokens = self.tokens.load()?;
        tokens.map(|tokens| tokens.access_token).ok_or_else(|| self.signed_out())
    }

    pub(super) fn signed_out(&self) -> Error {
        Error::SignedOut { address: self.base.to_string() }
    }

    /// An access token other than `stale`, which was refused.
    pub(super) async fn refreshed(&self, stale: &str) -> Result<String> {
        if self.api_token.is_some() {
            return Err(Error::ApiToken { address: self.base.to_string() });
        }
        let _refreshing = self.tokens.lock().await?;
        let tokens = self.tokens.load()?.ok_or_else(|| self.signed_out())?;
        if tokens.access_token != stale {
            // Somebody else was quicker.
            return Ok(tokens.access_token);
        }
        let body = Refresh { refresh_token: tokens.refresh_token };
        // Sent once: the server may have taken the token although the answer was lost.
        let request = self.post(&["v1", "auth", "refresh"]).anonymous().json(&body)?;
        match request.once(None).await?.decode::<Tokens>().await {
            Ok(tokens) => {
                self.tokens.save(Some(&tokens))?;
                Ok(tokens.access_token)
            }
            Err(Error::Problem(problem)) if matches!(problem.status, 401 | 403) => {
                self.tokens.save(None)?;
                Err(self.signed_out())
            }
            Err(error) => Err(error),
        }
    }

    /// Waits before the `attempt`th try of something: a quarter of a second at first, five seconds
    /// at most, scattered so that many clients do not return at the same moment.
    pub(super) async fn back_off(&self, attempt: u32) {
        let ceiling = (250u64 << attempt.min(5)).min(5_000);
        let scatter = u64::from(u16::from_le_bytes(self.ambient.random())) * (ceiling / 2) / 65_536;
        tokio::time::sleep(Duration::from_millis(ceiling / 2 + scatter)).await;
    }
}

impl Request<'_> {
    /// Without credentials.
    pub(super) fn anonymous(mut self) -> Self {
        self.anonymous = true;
        self
    }

    /// With a JSON body.
    pub(super) fn json(mut self, body: &impl Serialize) -> Result<Self> {
        let json = serde_json::to_vec(body).map_err(|error| Error::answer(&self.client.base, error.to_string()))?;
        self.body = Some(json);
        Ok(self)
    }

    /// With a query.
    pub(super) fn query(mut self, name: &str, value: &impl ToString) -> Self {
        self.url.query_pairs_mut().append_pair(name, &value.to_string());
        self
    }

    /// With the page that is wanted.
    pub(super) fn page(mut self, paging: &Paging) -> Self {
        if let Some(limit) = paging.limit {
            self = self.query("limit", &limit);
        }
        if let Some(cursor) = &paging.cursor {
            self = self.query("cursor", cursor);
        }
        self
    }

    /// Creates something: an idempotency key makes sure that it is created once.
    pub(super) fn creates(mut self) -> Self {
        self.key = Some(self.client.ambient.uuid().to_string());
        self
    }

    /// For the thing as it was at that revision: 412 when it is another now.
    pub(super) fn at_revision(mut self, revision: Option<i64>) -> Self {
        self.if_match = revision.map(|revision| format!("\"{revision}\""));
        self
    }

    /// Sends it and reads the answer's JSON.
    pub(super) async fn fetch<T: DeserializeOwned>(self) -> Result<T> {
        self.send().await?.decode().await
    }

    /// Sends it; of the answer only its success matters.
    pub(super) async fn done(self) -> Result<()> {
        self.send().await?.success().await.map(drop)
    }

    /// Sends it and reads the answer's bytes.
    pub(super) async fn bytes(self) -> Result<Vec<u8>> {
        self.send().await?.success().await?.read().await
    }

    /// Sends it, again when the connection broke and it is safe, and once more with a fresh token
    /// when the token was refused.
    async fn send(self) -> Result<Answer> {
        if self.anonymous {
            return self.until_sent(None).await;
        }
        let token = self.client.access_token()?;
        let answer = self.until_sent(Some(&token)).await?;
        if answer.response.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let token = self.client.refreshed(&token).await?;
        self.until_sent(Some(&token)).await
    }

    async fn until_sent(&self, token: Option<&str>) -> Result<Answer> {
        let repeatable = self.method != Method::POST || self.key.is_some();
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.once(token).await {
                // What cannot be connected to is reported at once: a person waits.
                Err(Error::Unreachable { sent: true, .. }) if repeatable && attempt < ATTEMPTS => {
                    self.client.back_off(attempt - 1).await;
                }
                result => return result,
            }
        }
    }

    async fn once(&self, token: Option<&str>) -> Result<Answer> {
        let base = self.client.base.clone();
        let response =
            self.build(token).timeout(TIMEOUT).send().await.map_err(|error| Error::unreachable(&base, &error))?;
        Ok(Answer { base, response })
    }

    fn build(&self, token: Option<&str>) -> RequestBuilder {
        let mut request = self.client.http.request(self.method.clone(), self.url.clone());
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(key) = &self.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(tag) = &self.if_match {
            request = request.header(IF_MATCH, tag);
        }
        if let Some(body) = &self.body {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body.clone());
        }
        request
    }
}

/// An answer whose body was not read yet.
pub(super) struct Answer {
    pub(super) base: Url,
    pub(super) response: Response,
}

impl Answer {
    async fn decode<T: DeserializeOwned>(self) -> Result<T> {
        let answer = self.success().await?;
        let base = answer.base.clone();
        let body = answer.read().await?;
        serde_json::from_slice(&body).map_err(|error| Error::answer(&base, error.to_string()))
    }

    async fn success(self) -> Result<Self> {
        if self.response.status().is_success() { Ok(self) } else { Err(self.problem().await) }
    }

    /// What an answer that is not a success says.
    pub(super) async fn problem(self) -> Error {
        let status = self.response.status();
        let is_problem = self
            .response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with(MEDIA_TYPE));
        let base = self.base.clone();
        if !is_problem {
            return Error::answer(&base, format!("HTTP status {status}"));
        }
        match self.read().await {
            Ok(body) => match serde_json::from_slice::<Problem>(&body) {
                Ok(problem) => Error::Problem(Box::new(problem)),
                Err(error) => Error::answer(&base, format!("HTTP status {status}, unreadable: {error}")),
            },
            Err(error) => error,
        }
    }

    async fn read(mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = self.response.chunk().await.map_err(|error| Error::unreachable(&self.base, &error))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(Error::answer(&self.base, format!("more than {MAX_ANSWER} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}
