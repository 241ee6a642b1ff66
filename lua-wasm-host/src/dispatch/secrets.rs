//! Secrets: their values for scripts that may read them, and what requests have references for.
//!
//! A reference never carries a value into the sandbox. A request names the texts that stand for its references
//! (tokens), and the values take their places here, in the host. Journals and idempotency keys see `secret:KEY` instead.

use std::collections::HashMap;
use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::{Sha256, Sha384, Sha512};

use super::{Answer, Dispatcher, parse};
use crate::{CallError, CallResult};

/// Most tokens of a request.
const MAX_TOKENS: usize = 100;
/// What every token begins with; hexadecimal digits follow.
const TOKEN_PREFIX: &str = "restroy-secret-";
/// The length of a token, in bytes.
const TOKEN_BYTES: usize = TOKEN_PREFIX.len() + 32;

/// A text of a request that stands for a secret.
#[derive(Deserialize)]
pub(super) struct SecretToken {
    token: String,
    key: String,
    form: SecretForm,
}

/// How a value is written where it stands.
#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum SecretForm {
    /// As it is.
    Header,
    /// Percent-encoded, in a query or a form.
    Url,
    /// Escaped, within a string.
    Json,
}

/// What the tokens of a request stand for.
pub(super) struct Substitution(HashMap<String, Replacement>);

struct Replacement {
    value: String,
    shown: String,
}

impl Substitution {
    /// Whether there is nothing to replace.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A text with the values.
    pub(super) fn resolved(&self, text: &str, most: usize) -> Result<String, CallError> {
        self.replaced(text, most, |replacement| &replacement.value)
    }

    /// A text with `secret:KEY` in the places of the values.
    pub(super) fn shown(&self, text: &str, most: usize) -> Result<String, CallError> {
        self.replaced(text, most, |replacement| &replacement.shown)
    }

    /// One pass, however many tokens there are: the text is a tenant's, and as long as a request may be.
    fn replaced(&self, text: &str, most: usize, with: impl Fn(&Replacement) -> &String) -> Result<String, CallError> {
        let mut written = String::with_capacity(text.len().min(most));
        let mut rest = text;
        while let Some(start) = rest.find(TOKEN_PREFIX) {
            let token = rest.get(start..start + TOKEN_BYTES).and_then(|token| self.0.get(token));
            let (end, replacement) = match token {
                Some(replacement) => (start + TOKEN_BYTES, with(replacement).as_str()),
                None => (start + TOKEN_PREFIX.len(), TOKEN_PREFIX),
            };
            written.push_str(&rest[..start]);
            written.push_str(replacement);
            rest = &rest[end..];
            if written.len() > most {
                break;
            }
        }
        if written.len().saturating_add(rest.len()) > most {
            let message = format!("the request is too large with its secrets (limit: {most} bytes)");
            return Err(CallError::new("invalid_argument", message));
        }
        written.push_str(rest);
        Ok(written)
    }
}

impl Dispatcher {
    /// What the tokens of a request stand for: secrets of the script, and no others.
    pub(super) fn substitution(&self, tokens: Vec<SecretToken>) -> Result<Substitution, CallError> {
        if tokens.len() > MAX_TOKENS {
            let message = format!("too many references to secrets (limit: {MAX_TOKENS})");
            return Err(CallError::new("invalid_argument", message));
        }
        let replacement = |SecretToken { token, key, form }: SecretToken| {
            let digits = token.strip_prefix(TOKEN_PREFIX).unwrap_or_default();
            if token.len() != TOKEN_BYTES || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(CallError::new("invalid_argument", "a malformed reference to a secret"));
            }
            let value = self.host_context.secrets.value(&key).ok_or_else(|| not_declared(&key))?;
            Ok((token, Replacement { value: form.written(value), shown: form.written(&format!("secret:{key}")) }))
        };
        Ok(Substitution(tokens.into_iter().map(replacement).collect::<Result<_, _>>()?))
    }

    /// A secret's value, or that there is one.
    pub(super) fn secret(&self, head: &[u8]) -> CallResult<Answer> {
        #[derive(Deserialize)]
        struct SecretRequest {
            key: String,
            #[serde(default)]
            reference: bool,
        }
        let SecretRequest { key, reference } = parse(head)?;
        let secrets = &self.host_context.secrets;
        let value = secrets.value(&key).ok_or_else(|| not_declared(&key))?;
        if reference {
            return Ok(Answer::empty());
        }
        if secrets.is_usable_only(&key) {
            let message = format!(
                "the secret `{key}` can be used by reference only: give `secrets.ref(\"{key}\")` to a header, a query, a \
                 field of a form or of JSON, or to `crypto.hmac`"
            );
            return Err(CallError::new("secret_usable_only", message).into());
        }
        Ok(Answer::body(value.as_bytes().to_vec()))
    }

    /// A message authentication code with a secret as its key.
    pub(super) fn secret_hmac(&self, head: &[u8], body: &[u8]) -> CallResult<Answer> {
        #[derive(Deserialize)]
        struct HmacRequest {
            key: String,
            algorithm: String,
        }
        let HmacRequest { key, algorithm } = parse(head)?;
        let secret = self.host_context.secrets.value(&key).ok_or_else(|| not_declared(&key))?.as_bytes();
        let code = match algorithm.as_str() {
            "sha256" => authenticate::<Hmac<Sha256>>(secret, body),
            "sha384" => authenticate::<Hmac<Sha384>>(secret, body),
            "sha512" => authenticate::<Hmac<Sha512>>(secret, body),
            _ => None,
        };
        let code = code.ok_or_else(|| {
            let message = "crypto.hmac with a reference to a secret takes sha256, sha384 or sha512";
            CallError::new("invalid_argument", message)
        })?;
        Ok(Answer::body(code))
    }
}

fn authenticate<M: Mac + KeyInit>(key: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    let mut mac = <M as KeyInit>::new_from_slice(key).ok()?;
    mac.update(bytes);
    Some(mac.finalize().into_bytes().to_vec())
}

fn not_declared(key: &str) -> CallError {
    let shown: String = key.chars().filter(|c| !c.is_control()).take(64).collect();
    CallError::new("not_granted", format!("this script has no secret `{shown}`: name it in the step's `secrets`"))
}

impl SecretForm {
    fn written(self, value: &str) -> String {
        match self {
            Self::Header => value.to_owned(),
            Self::Url => {
                let mut written = String::with_capacity(value.len());
                for byte in value.bytes() {
                    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                        written.push(char::from(byte));
                    } else {
                        let _ = write!(written, "%{byte:02X}");
                    }
                }
                written
            }
            Self::Json => {
                let quoted = serde_json::Value::from(value).to_string();
                quoted[1..quoted.len() - 1].to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_their_places_need_them() {
        assert_eq!(SecretForm::Header.written("a\"b c"), "a\"b c");
        assert_eq!(SecretForm::Url.written("a&b=c d/ü~"), "a%26b%3Dc%20d%2F%C3%BC~");
        assert_eq!(SecretForm::Json.written("a\"b\\\n"), "a\\\"b\\\\\\n");
    }
    #[test]
    fn a_text_is_replaced_in_one_pass_and_within_its_limit() {
        let token = |digit: &str| format!("{TOKEN_PREFIX}{}", digit.repeat(32));
        let replacement = |value: &str| Replacement { value: value.into(), shown: "secret:KEY".into() };
        // A value that looks like a token is not replaced again.
        let map = HashMap::from([(token("a"), replacement("first")), (token("b"), replacement(&token("a")))]);
        let secrets = Substitution(map);
        let text = format!("{TOKEN_PREFIX}{} ü {} {}é", token("a"), token("b"), token("c"));
        let expected = format!("{TOKEN_PREFIX}first ü {} {}é", token("a"), token("c"));
        assert_eq!(secrets.resolved(&text, expected.len()).unwrap(), expected);
        assert_eq!(secrets.resolved(&text, expected.len() - 1).unwrap_err().code, "invalid_argument");
        assert_eq!(secrets.shown(&token("b"), 10).unwrap(), "secret:KEY");
        assert_eq!(secrets.shown(TOKEN_PREFIX, 100).unwrap(), TOKEN_PREFIX);
    }
}
