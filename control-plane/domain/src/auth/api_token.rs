//! API tokens: opaque, of a person or a service account, for programs.

use std::{net::IpAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use restroy_sdk::time::{Ambient, Timestamp};
use sha2::{Digest, Sha256};

use super::{AuthMethod, Caller, Permission, Permissions, TokenGrant, caller::unauthorized, token::hash};
use crate::{
    DomainResult,
    state::DomainState,
    store::api_tokens::{self, PresentedToken},
};

/// What every token begins with, so that whoever finds one in a repository or a log knows what it is.
const PREFIX: &str = "rst_";
/// The random bytes of a token.
const RANDOM: usize = 32;
/// The first bytes of SHA-256 of prefix and random bytes: a typing error, or a text that only looks like a token,
/// is recognised without a look into the database, by us and by who scans for leaked secrets.
const CHECK: usize = 4;
/// How often the use of a token is noted at most.
const USE_RECORD_INTERVAL: Duration = Duration::from_mins(1);

/// A new token's text: `rst_` and 48 characters of base64url.
pub fn new(ambient: &Ambient) -> String {
    let random: [u8; RANDOM] = ambient.random();
    let mut bytes = random.to_vec();
    bytes.extend_from_slice(&checksum(&random));
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// Whether a bearer token means to be an API token.
pub fn has_prefix(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// Whether a text is a token, known or not.
pub fn is_well_formed(token: &str) -> bool {
    let bytes = token.strip_prefix(PREFIX).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let Some(bytes) = bytes.filter(|bytes| bytes.len() == RANDOM + CHECK) else { return false };
    let (random, sum) = bytes.split_at(RANDOM);
    checksum(random) == *sum
}

fn checksum(random: &[u8]) -> [u8; CHECK] {
    let digest = Sha256::new().chain_update(PREFIX).chain_update(random).finalize();
    let mut check = [0; CHECK];
    check.copy_from_slice(&digest[..CHECK]);
    check
}

/// Whoever shows a token that is good now. Notes its use, at most once a minute.
pub(super) async fn authenticate(state: &DomainState, token: &str, address: Option<IpAddr>) -> DomainResult<Caller> {
    let refused = || unauthorized("The API token is invalid, expired or revoked. Create another.");
    if !is_well_formed(token) {
        return Err(refused());
    }
    let now = state.ambient.now();
    let shown = api_tokens::find_presented(&mut state.db.system_read().await?, &hash(token), now).await?;
    let shown = shown.ok_or_else(refused)?;
    record_use(state, &shown, now).await;
    let permissions = match &shown.permissions {
        None => Permissions::ALL,
        // A name that this version does not know allows nothing.
        Some(names) => serde_json::from_str::<Vec<String>>(names)?
            .iter()
            .filter_map(|name| name.parse::<Permission>().ok())
            .collect(),
    };
    let grant = TokenGrant {
        id: shown.id,
        permissions,
        team: shown.only_team,
        maker: shown.created_by,
        of_service_account: shown.of_service_account,
    };
    Ok(Caller { user_id: shown.user_id, via: AuthMethod::Token(grant), address })
}

/// That the use cannot be noted is no reason to refuse the request.
async fn record_use(state: &DomainState, shown: &PresentedToken, now: Timestamp) {
    let before = now.before(USE_RECORD_INTERVAL);
    if shown.last_used_at.is_some_and(|used| used > before) {
        return;
    }
    let noted = async {
        let mut tx = state.db.system_write().await?;
        api_tokens::record_use(&mut tx, shown.id, now, before).await?;
        tx.commit().await
    };
    if let Err(error) = noted.await {
        tracing::warn!(%error, "the use of an API token cannot be recorded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_distinguished_from_a_lookalike() {
        let ambient = Ambient::system();
        for _ in 0..100 {
            let token = new(&ambient);
            assert!(token.len() == 52 && has_prefix(&token) && is_well_formed(&token));
            for at in PREFIX.len()..token.len() {
                let mut typed = token.clone().into_bytes();
                typed[at] = if typed[at] == b'A' { b'B' } else { b'A' };
                assert!(!is_well_formed(std::str::from_utf8(&typed).unwrap()), "{at}");
            }
        }
        assert!(!is_well_formed("rst_") && !is_well_formed("") && !is_well_formed("rst_AAAA"));
    }
}
