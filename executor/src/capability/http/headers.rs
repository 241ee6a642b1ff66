//! The headers of a script's request: which it may set, and which follow a redirect.

use lua_wasm_host::{CallError, CallResult};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};

/// What frames a message or steers the connection is ours: a script that sets it could smuggle a
/// second request past whoever reads the first.
const REFUSED: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    // Cloud metadata services answer only to requests that carry these.
    "metadata",
    "metadata-flavor",
    "x-aws-ec2-metadata-token",
    "x-aws-ec2-metadata-token-ttl-seconds",
];

/// What may follow a redirect to another origin: nothing that could be a credential.
const HARMLESS: &[&str] = &["accept", "accept-language", "content-type", "user-agent"];

const MOST: usize = 100;
const MOST_BYTES: usize = 16 * 1024;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The headers that are sent, from what the script set and the call's idempotency key.
pub(super) fn build(set: &[(String, String)], idempotency_key: &str) -> CallResult<HeaderMap> {
    let bytes: usize = set.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    if set.len() > MOST || bytes > MOST_BYTES {
        let message = format!("the request has too many headers (limit: {MOST}, {MOST_BYTES} bytes together)");
        return Err(CallError::new("http_bad_header", message).into());
    }
    let mut headers = HeaderMap::with_capacity(set.len() + 2);
    for (name, value) in set {
        let refuse =
            |why: &str| CallError::new("http_bad_header", format!("the header `{}` {why}", name.escape_debug()));
        let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse("is not a header's name"))?;
        if REFUSED.contains(&known.as_str()) {
            return Err(refuse("is set by the platform and cannot be given by a script").into());
        }
        let mut value =
            HeaderValue::from_bytes(value.as_bytes()).map_err(|_| refuse("has a value that cannot be sent"))?;
        value.set_sensitive(true);
        headers.append(known, value);
    }
    if !headers.contains_key(IDEMPOTENCY_KEY)
        && let Ok(value) = HeaderValue::from_str(idempotency_key)
    {
        headers.insert(IDEMPOTENCY_KEY, value);
    }
    if !headers.contains_key(USER_AGENT) {
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("restroy/", env!("CARGO_PKG_VERSION"))));
    }
    Ok(headers)
}

/// Takes away what must not follow a redirect to another origin.
pub(super) fn strip_credentials(headers: &mut HeaderMap) {
    let gone: Vec<HeaderName> = headers.keys().filter(|name| !HARMLESS.contains(&name.as_str())).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> CallResult<HeaderMap> {
        build(&[(name.to_owned(), value.to_owned())], "key")
    }

    #[test]
    fn what_frames_the_message_is_refused() {
        for name in REFUSED {
            assert!(set(name, "x").is_err(), "{name}");
            assert!(set(&name.to_uppercase(), "x").is_err(), "{name}");
        }
        for (name, value) in [("X-A\r\nHost", "x"), ("X-A", "x\r\nHost: y"), ("", "x"), ("Host ", "x"), ("X-A", "\0")] {
            assert!(set(name, value).is_err(), "{name}: {value}");
        }
    }

    #[test]
    fn the_idempotency_key_is_ours_unless_given() {
        assert_eq!(set("Accept", "x").unwrap()[IDEMPOTENCY_KEY], "key");
        assert_eq!(set("Idempotency-Key", "mine").unwrap()[IDEMPOTENCY_KEY], "mine");
        assert_eq!(set("Idempotency-Key", "mine").unwrap().get_all(IDEMPOTENCY_KEY).iter().count(), 1);
    }

    #[test]
    fn no_credential_follows_to_another_origin() {
        let all = [("Accept", "a"), ("Authorization", "b"), ("Cookie", "c"), ("X-Api-Key", "d")];
        let all: Vec<_> = all.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut headers = build(&all, "key").unwrap();
        strip_credentials(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "user-agent"]);
    }

    #[test]
    fn headers_are_bounded() {
        let many: Vec<_> = (0..=MOST).map(|n| (format!("x-{n}"), "v".to_owned())).collect();
        assert!(build(&many, "key").is_err());
        assert!(set("x", &"v".repeat(MOST_BYTES)).is_err());
    }
}
