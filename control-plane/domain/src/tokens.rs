//! Access tokens: JWTs (RFC 7519, RFC 8725), signed with HMAC-SHA-256 and nothing else.

use std::{collections::HashSet, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use restroy_sdk::{
    ids::{Id, SessionId, UserId},
    time::{Ambient, Timestamp},
};
use secrecy::{ExposeSecret, SecretBox};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Who the tokens are for.
const AUDIENCE: &str = "restroy-api";
/// RFC 9068: what kind of token it is, so that no other kind passes for it.
const TYPE: &str = "at+jwt";
/// The least a signing key must have, in bytes (RFC 7518, section 3.2).
const MIN_KEY: usize = 32;
/// Session, generation, randomness, MAC.
const REFRESH_LENGTH: usize = 16 + 8 + 32 + 32;

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: UserId,
    sid: SessionId,
    aud: String,
    iat: i64,
    exp: i64,
}

/// Signs and checks access tokens.
pub struct TokenKeys {
    encode: EncodingKey,
    decode: DecodingKey,
    validation: Validation,
    refresh: Hmac<Sha256>,
}

impl std::fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKeys")
    }
}

/// The signing key is too short to be one.
#[derive(Debug, thiserror::Error)]
#[error("the key that signs access tokens must have at least {MIN_KEY} bytes")]
pub struct KeyTooShort;

/// What went wrong while a token was made.
#[derive(Debug, thiserror::Error)]
#[error("an access token cannot be signed: {0}")]
pub struct SignError(#[from] jsonwebtoken::errors::Error);

impl TokenKeys {
    /// From the installation's signing key.
    pub fn new(key: &SecretBox<[u8]>) -> Result<Self, KeyTooShort> {
        let key = key.expose_secret();
        if key.len() < MIN_KEY {
            return Err(KeyTooShort);
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.required_spec_claims =
            ["exp", "aud", "sub"].into_iter().map(str::to_owned).collect::<HashSet<String>>();
        validation.set_audience(&[AUDIENCE]);
        // The clock is passed in: the end is checked in `verify`, to the second.
        validation.validate_exp = false;
        // A key of its own for each kind of token.
        let refresh = mac(key, b"restroy/1/refresh-token")?.finalize().into_bytes();
        Ok(Self {
            encode: EncodingKey::from_secret(key),
            decode: DecodingKey::from_secret(key),
            validation,
            refresh: mac(&refresh, b"")?,
        })
    }

    /// Signs a token for a session.
    pub fn sign(
        &self,
        ambient: &Ambient,
        user: UserId,
        session: SessionId,
        life: Duration,
    ) -> Result<String, SignError> {
        let now = ambient.now();
        let claims =
            Claims { sub: user, sid: session, aud: AUDIENCE.into(), iat: seconds(now), exp: seconds(now.after(life)) };
        let header = Header { typ: Some(TYPE.into()), ..Header::new(Algorithm::HS256) };
        Ok(jsonwebtoken::encode(&header, &claims, &self.encode)?)
    }

    /// Whom a token names; `None` when it is not a token of ours, in force now.
    pub fn verify(&self, ambient: &Ambient, token: &str) -> Option<(UserId, SessionId)> {
        let data = jsonwebtoken::decode::<Claims>(token, &self.decode, &self.validation).ok()?;
        let typed = data.header.typ.as_deref() == Some(TYPE);
        (typed && data.claims.exp > seconds(ambient.now())).then_some((data.claims.sub, data.claims.sid))
    }
}

impl TokenKeys {
    /// The refresh token of a session's generation: the session, the generation, randomness, and a MAC over them. The
    /// MAC distinguishes a token that was used before, which ends the session, from one that somebody made up, which
    /// does not.
    pub fn refresh_token(&self, ambient: &Ambient, session: SessionId, generation: i64) -> OpaqueToken {
        let mut token = Vec::with_capacity(REFRESH_LENGTH);
        token.extend_from_slice(session.uuid().as_bytes());
        token.extend_from_slice(&generation.to_be_bytes());
        token.extend_from_slice(&ambient.random::<32>());
        let tag = self.refresh.clone().chain_update(&token).finalize().into_bytes();
        token.extend_from_slice(&tag);
        OpaqueToken(URL_SAFE_NO_PAD.encode(token))
    }

    /// The session and generation that a refresh token of ours names; whether it is the newest the
    /// store knows.
    pub fn parse_refresh_token(&self, token: &str) -> Option<(SessionId, i64)> {
        let token: [u8; REFRESH_LENGTH] = URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()?;
        let (named, tag) = token.split_at(REFRESH_LENGTH - 32);
        self.refresh.clone().chain_update(named).verify_slice(tag).ok()?;
        let (session, rest) = named.split_first_chunk::<16>()?;
        let (generation, _) = rest.split_first_chunk::<8>()?;
        Some((uuid::Uuid::from_bytes(*session).into(), i64::from_be_bytes(*generation)))
    }
}

fn mac(key: &[u8], label: &[u8]) -> Result<Hmac<Sha256>, KeyTooShort> {
    Ok(Hmac::<Sha256>::new_from_slice(key).map_err(|_| KeyTooShort)?.chain_update(label))
}

fn seconds(moment: Timestamp) -> i64 {
    moment.micros().div_euclid(1_000_000)
}

/// An opaque token: 32 random bytes, kept by us only as a hash. Its randomness makes a slow hash
/// needless.
pub struct OpaqueToken(String);

impl OpaqueToken {
    /// A new one.
    pub fn new(ambient: &Ambient) -> Self {
        Self(URL_SAFE_NO_PAD.encode(ambient.random::<32>()))
    }

    /// What is stored of it.
    pub fn hash(&self) -> Vec<u8> {
        hash(&self.0)
    }

    /// What its owner gets, once.
    pub fn into_text(self) -> String {
        self.0
    }
}

/// What is stored of an opaque token: its SHA-256.
pub fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}
