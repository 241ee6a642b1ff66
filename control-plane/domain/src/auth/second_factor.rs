//! The second factor: time-based codes (RFC 6238: SHA-1, six digits, 30 seconds, which is what authenticators
//! know), and recovery codes for the day on which the authenticator is lost.

use std::time::Duration;

use restroy_sdk::{
    ids::UserId,
    time::{Ambient, Timestamp},
};
use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

use super::token::hash;
use crate::{
    DomainError, DomainResult,
    state::DomainState,
    store::{Tx, second_factor},
};

/// Bytes of a secret: as many as the MAC gives (RFC 4226, section 4).
const SECRET: usize = 20;
/// Codes of the step before and after are taken too: clocks differ, and typing takes time.
const SKEW: u16 = 1;
/// How many recovery codes there are.
const RECOVERY_CODES: usize = 10;
/// Bytes of a recovery code: too many to be found by trying, also for who has the hashes.
const RECOVERY: usize = 10;
/// Wrong codes that an account takes within [`FAILURE_WINDOW`]. Three codes of a million are right at any
/// moment: who has the password finds one in years.
const MAX_FAILURES: i64 = 10;
const FAILURE_WINDOW: Duration = Duration::from_hours(1);
/// The letters of recovery codes (RFC 4648, section 6), without `=`.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A new secret, as it is typed and as an `otpauth:` URI, and sealed for the account, with the id of the key.
pub struct NewTotpSecret {
    /// Base32.
    pub text: String,
    /// The URI.
    pub uri: String,
    /// The sealed secret.
    pub sealed: Vec<u8>,
    /// The master key that sealed it.
    pub key_id: String,
}

/// Makes one for the account of an address.
pub fn new_secret(state: &DomainState, user: UserId, email: &str) -> DomainResult<NewTotpSecret> {
    let secret = Zeroizing::new(state.ambient.random::<SECRET>());
    let (sealed, key_id) = state.keys.seal_for_user(&state.ambient, user, &*secret)?;
    let totp = builder(&*secret)
        // Neither may have a colon in it.
        .with_account_name(email.replace(':', "_"))
        .with_issuer(Some("Restroy"))
        .build()
        .map_err(|error| internal(&error))?;
    let uri = totp.to_url().map_err(|error| internal(&error))?;
    Ok(NewTotpSecret { text: totp.secret().to_base32(), uri, sealed, key_id })
}

fn builder(secret: &[u8]) -> Builder {
    Builder::new().with_secret(Secret::new(secret.into())).with_skew(SKEW)
}

fn internal(error: &dyn std::fmt::Display) -> DomainError {
    DomainError::Internal(format!("a second factor cannot be processed: {error}").into())
}

/// New recovery codes, `abcd-efgh-ijkl-mnop`, and their hashes.
pub fn new_recovery_codes(ambient: &Ambient) -> (Vec<String>, Vec<Vec<u8>>) {
    let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| recovery_code(ambient.random())).collect();
    let hashes = codes.iter().map(|code| hash(&normalized(code))).collect();
    (codes, hashes)
}

fn recovery_code(random: [u8; RECOVERY]) -> String {
    let bits = random.iter().fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
    let mut code = String::with_capacity(19);
    for n in 0..16u32 {
        if n > 0 && n % 4 == 0 {
            code.push('-');
        }
        let letter = usize::try_from(bits >> (5 * (15 - n)) & 31).unwrap_or(0);
        code.push(char::from(BASE32[letter]));
    }
    code
}

/// A code as it is compared: how it is written makes no difference.
fn normalized(code: &str) -> String {
    code.chars().filter(|c| !c.is_whitespace() && *c != '-').flat_map(char::to_lowercase).collect()
}

/// What came of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeCheck {
    /// It is right, of the authenticator, and no longer valid.
    Code,
    /// It is a recovery code, and no longer valid.
    RecoveryCode,
    /// It is not, or no longer; that is counted, and to be committed.
    Wrong,
}

/// Takes a code of an account: of its authenticator or, where `recovery` is allowed, a recovery code. 429 when
/// there were too many wrong ones. The account's row must be held.
pub async fn check_code(
    state: &DomainState,
    tx: &mut Tx,
    user: UserId,
    code: &str,
    recovery: bool,
    now: Timestamp,
) -> DomainResult<CodeCheck> {
    let Some(row) = second_factor::get(tx, user).await? else { return Ok(CodeCheck::Wrong) };
    let counted = now.since(row.failures_since) < FAILURE_WINDOW;
    let failures = if counted { row.failures } else { 0 };
    if failures >= MAX_FAILURES {
        return Err(DomainError::TooManyAttempts {
            detail: format!("{MAX_FAILURES} codes in an hour were wrong; wait until the hour is over.").into(),
            wait: None,
        });
    }
    let code = normalized(code);
    let (right, shown) = if code.len() == 6 {
        let secret = state.keys.open_of_user(user, &row.sealed, &row.key_id)?;
        let totp: Totp = builder(&secret).build().map_err(|error| internal(&error))?;
        let seconds = u64::try_from(now.micros() / 1_000_000).unwrap_or(0);
        // A code is good once, and with it every earlier one.
        let right = match totp.check(&code, seconds).and_then(|step| i64::try_from(step).ok()) {
            Some(step) => second_factor::take_step(tx, user, step).await?,
            None => false,
        };
        (right, CodeCheck::Code)
    } else {
        let right = recovery && second_factor::spend_recovery_code(tx, user, &hash(&code), now).await?;
        (right, CodeCheck::RecoveryCode)
    };
    if right {
        return Ok(shown);
    }
    let since = if counted { row.failures_since } else { now };
    second_factor::count_failure(tx, user, failures + 1, since).await?;
    Ok(CodeCheck::Wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_rfc() {
        // RFC 6238, appendix B, cut to six digits.
        let totp = builder(b"12345678901234567890").build().unwrap();
        for (time, code) in [(59, "287082"), (1_111_111_109, "081804"), (2_000_000_000, "279037")] {
            assert_eq!(totp.check(code, time), Some(time / 30));
            assert_eq!(totp.check(code, time + 90), None);
        }
    }

    #[test]
    fn recovery_codes_are_written_in_any_way() {
        assert_eq!(recovery_code([0; RECOVERY]), "aaaa-aaaa-aaaa-aaaa");
        assert_eq!(recovery_code([0xFF; RECOVERY]), "7777-7777-7777-7777");
        let (codes, hashes) = new_recovery_codes(&Ambient::system());
        assert_eq!((codes.len(), hashes.len()), (10, 10));
        assert_eq!(hash(&normalized(&codes[0].to_uppercase().replace('-', " "))), hashes[0]);
    }
}
