//! The provider, spoken with: the authorization code flow (OpenID Connect Core 1.0, section 3.1) with PKCE
//! (RFC 7636), state and nonce.

use std::{collections::HashSet, time::Duration};

use openidconnect::{
    AccessTokenHash, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, HttpResponse, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, TokenResponse as _,
    core::{
        CoreAuthenticationFlow, CoreClient, CoreIdToken, CoreIdTokenClaims, CoreJwsSigningAlgorithm as Alg,
        CoreProviderMetadata, CoreTokenResponse,
    },
};
use restroy_sdk::{
    problem::ProblemCode,
    time::{Ambient, Timestamp},
};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::{Identity, OidcSettings};
use crate::{
    auth::token::OpaqueToken,
    error::{ApiError, ApiResult},
};

/// How long the provider's own description is good.
const CACHE_TTL: Duration = Duration::from_hours(1);
/// An unknown key is reason to ask again after so long: providers change their keys.
const STALE: Duration = Duration::from_mins(1);
/// How long the provider may take for an answer, and how long that may be.
const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 1024 * 1024;

/// Who asked in vain knows for so long that it is in vain: the others do not wait one after the other.
const UNAVAILABLE_TTL: Duration = Duration::from_secs(5);

/// The provider, as far as one is set, and what is remembered of it.
#[derive(Debug)]
pub struct Provider {
    settings: Option<OidcSettings>,
    /// Where people come back to.
    redirect: String,
    ambient: Ambient,
    known: Mutex<ProviderCache>,
}

#[derive(Debug, Default)]
struct ProviderCache {
    metadata: Option<(Timestamp, CoreProviderMetadata)>,
    /// When it was asked in vain, since it was asked with success.
    away: Option<Timestamp>,
}

/// What a flow begins with; kept until it comes back.
#[derive(Debug, Serialize, Deserialize)]
pub struct Flow {
    state: String,
    nonce: String,
    verifier: String,
}

/// Why a flow does not continue.
#[derive(Debug, thiserror::Error)]
enum FlowError {
    #[error("the provider cannot be asked: {0}")]
    Unreachable(String),
    #[error("the settings are not right: {0}")]
    Settings(String),
    #[error("the provider's answer is refused: {0}")]
    Answer(String),
}

impl From<FlowError> for ApiError {
    fn from(failed: FlowError) -> Self {
        match failed {
            FlowError::Unreachable(_) => {
                tracing::warn!(error = %failed, "sign-in by the OpenID provider");
                Self::with(ProblemCode::Unavailable, "The OpenID provider's response was unexpected. Try again.")
            }
            FlowError::Settings(_) => {
                tracing::error!(error = %failed, "sign-in by the OpenID provider");
                Self::new(ProblemCode::Internal)
            }
            FlowError::Answer(_) => {
                tracing::warn!(error = %failed, "sign-in by the OpenID provider");
                Self::with(ProblemCode::InvalidCredentials, "The OpenID provider's response is invalid. Start again.")
            }
        }
    }
}

/// The client of the provider that `metadata` describes. Its type says which endpoints there are, at a length
/// that nobody wants to write.
macro_rules! client {
    ($provider:expr, $metadata:expr) => {{
        let settings = $provider.settings()?;
        let redirect =
            RedirectUrl::new($provider.redirect.clone()).map_err(|error| FlowError::Settings(error.to_string()))?;
        let secret = ClientSecret::new(settings.client_secret.expose_secret().to_owned());
        CoreClient::from_provider_metadata($metadata.clone(), ClientId::new(settings.client_id.clone()), Some(secret))
            .set_redirect_uri(redirect)
    }};
}

impl Provider {
    /// Over the settings, of an installation that people reach at `public_url`. Asks nobody yet.
    pub fn new(settings: Option<OidcSettings>, public_url: &str, ambient: &Ambient) -> Self {
        let redirect = format!("{public_url}/oidc/callback");
        Self { settings, redirect, ambient: ambient.clone(), known: Mutex::default() }
    }

    /// The settings; 404 on an installation without a provider.
    pub fn settings(&self) -> ApiResult<&OidcSettings> {
        self.settings.as_ref().ok_or_else(ApiError::not_found)
    }

    /// Begins a flow: where the person is to go, and what is kept until they come back.
    pub async fn begin(&self) -> ApiResult<(String, Flow)> {
        let metadata = self.metadata(CACHE_TTL).await?;
        let opaque = || OpaqueToken::new(&self.ambient).into_text();
        let flow = Flow { state: opaque(), nonce: opaque(), verifier: opaque() };
        let verifier = PkceCodeVerifier::new(flow.verifier.clone());
        let (csrf, nonce) = (CsrfToken::new(flow.state.clone()), Nonce::new(flow.nonce.clone()));
        let (url, ..) = client!(self, metadata)
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, move || csrf, move || nonce)
            .add_scope(Scope::new("email".into()))
            .add_scope(Scope::new("profile".into()))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .url();
        Ok((url.into(), flow))
    }

    /// The provider's description of itself and its keys, no older than `at_most`.
    async fn metadata(&self, at_most: Duration) -> ApiResult<CoreProviderMetadata> {
        let settings = self.settings()?;
        let mut known = self.known.lock().await;
        let now = self.ambient.now();
        if let Some((since, metadata)) = &known.metadata
            && now.since(*since) < at_most
        {
            return Ok(metadata.clone());
        }
        if known.away.is_some_and(|since| now.since(since) < UNAVAILABLE_TTL) {
            return Err(FlowError::Unreachable("it was not there a moment ago".into()).into());
        }
        let issuer = IssuerUrl::new(settings.issuer.clone()).map_err(|error| FlowError::Settings(error.to_string()))?;
        let http = http(settings)?;
        let send = |request| send(http.clone(), request);
        match CoreProviderMetadata::discover_async(issuer, &send).await {
            Ok(found) => {
                *known = ProviderCache { metadata: Some((now, found.clone())), away: None };
                Ok(found)
            }
            Err(error) => {
                known.away = Some(self.ambient.now());
                Err(FlowError::Unreachable(format!("{error}: {error:?}")).into())
            }
        }
    }
}

impl Flow {
    /// Whether a person came back from the very request that this flow began with.
    pub fn matches_state(&self, state: &str) -> bool {
        use subtle::ConstantTimeEq as _;
        self.state.as_bytes().ct_eq(state.as_bytes()).into()
    }

    /// Exchanges the code for the provider's word about who it is, and checks that.
    pub async fn finish(self, provider: &Provider, code: String) -> ApiResult<Identity> {
        let metadata = provider.metadata(CACHE_TTL).await?;
        let http = http(provider.settings()?)?;
        let send = |request| send(http.clone(), request);
        let answer: CoreTokenResponse = client!(provider, metadata)
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|error| FlowError::Settings(error.to_string()))?
            .set_pkce_verifier(PkceCodeVerifier::new(self.verifier))
            .request_async(&send)
            .await
            // Only what it says of itself: all of it may have tokens in it.
            .map_err(|error| FlowError::Answer(error.to_string()))?;
        let nonce = Nonce::new(self.nonce);
        match check(provider, &metadata, &answer, &nonce) {
            Ok(identity) => Ok(identity),
            Err(first) => {
                // The provider may have got other keys since it was asked for them.
                let again = provider.metadata(STALE).await?;
                if again.jwks() == metadata.jwks() {
                    return Err(first);
                }
                check(provider, &again, &answer, &nonce)
            }
        }
    }
}

/// Checks signature, issuer, audience, times and nonce of the ID token, and that the access token is its.
fn check(
    provider: &Provider,
    metadata: &CoreProviderMetadata,
    answer: &CoreTokenResponse,
    nonce: &Nonce,
) -> ApiResult<Identity> {
    let refused = FlowError::Answer;
    let client = client!(provider, metadata);
    let seconds = provider.ambient.now().micros().div_euclid(1_000_000);
    let now = chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    let verifier = client
        .id_token_verifier()
        // Signed by the provider alone: neither unsigned nor by the secret that it shares with us.
        .set_allowed_algs(HashSet::from([
            Alg::RsaSsaPkcs1V15Sha256,
            Alg::RsaSsaPkcs1V15Sha384,
            Alg::RsaSsaPkcs1V15Sha512,
            Alg::RsaSsaPssSha256,
            Alg::RsaSsaPssSha384,
            Alg::RsaSsaPssSha512,
            Alg::EcdsaP256Sha256,
            Alg::EcdsaP384Sha384,
            Alg::EdDsa,
        ]))
        .set_time_fn(move || now);
    let token: &CoreIdToken = answer.id_token().ok_or_else(|| refused("the response has no ID token".into()))?;
    let claims: &CoreIdTokenClaims =
        token.claims(&verifier, nonce).map_err(|error| refused(format!("{error}: {error:?}")))?;
    if let Some(expected) = claims.access_token_hash() {
        let algorithm = token.signing_alg().map_err(|error| refused(error.to_string()))?;
        let key = token.signing_key(&verifier).map_err(|error| refused(error.to_string()))?;
        let hash = AccessTokenHash::from_token(answer.access_token(), algorithm, key)
            .map_err(|error| refused(error.to_string()))?;
        if hash != *expected {
            return Err(refused("the access token is another's".into()).into());
        }
    }
    let email = claims.email().filter(|_| claims.email_verified() == Some(true));
    Ok(Identity {
        issuer: claims.issuer().as_str().to_owned(),
        subject: claims.subject().as_str().to_owned(),
        email: email.map(|email| email.as_str().to_owned()),
        name: claims.name().and_then(|names| names.get(None)).map(|name| name.as_str().to_owned()),
    })
}

fn http(settings: &OidcSettings) -> ApiResult<reqwest::Client> {
    let scheme = settings.issuer.split(':').next().unwrap_or_default();
    let tls = restroy_client::tls_config(scheme).map_err(|error| FlowError::Settings(error.to_string()))?;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| FlowError::Settings(error.to_string()))?;
    Ok(client)
}

/// Sends a request to the provider; of the answer a bounded part is read.
async fn send(client: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, std::io::Error> {
    let (parts, body) = request.into_parts();
    let failed = |error: reqwest::Error| std::io::Error::other(error);
    let mut response = client
        .request(parts.method, parts.uri.to_string())
        .headers(parts.headers)
        .body(body)
        .send()
        .await
        .map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(std::io::Error::other(format!("more than {MAX_ANSWER} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    let mut answer = HttpResponse::new(body);
    *answer.status_mut() = response.status();
    *answer.headers_mut() = response.headers().clone();
    Ok(answer)
}
