//! The installation's master keys: the first seals, all of them open.

use restroy_sdk::{
    ids::{Id, TeamId, UserId},
    time::Ambient,
};
use secrecy::{ExposeSecret, SecretBox};
use zeroize::Zeroizing;

use super::{SecretsError, TeamKey, seal};

/// A master key and its id.
pub struct MasterKey {
    id: String,
    key: SecretBox<[u8; 32]>,
}

impl MasterKey {
    /// Reads `id:key`, the key as 64 hex digits.
    pub fn parse(text: &str) -> Result<Self, SecretsError> {
        let (id, key) = text.trim().split_once(':').ok_or(SecretsError::Malformed)?;
        let id_fits = (1..=32).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte));
        if !id_fits {
            return Err(SecretsError::Malformed);
        }
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(key, &mut *bytes).map_err(|_| SecretsError::Malformed)?;
        Ok(Self { id: id.into(), key: SecretBox::new(Box::new(*bytes)) })
    }

    /// A new key, as [`Self::parse`] reads it; for the installation's configuration.
    pub fn generate(ambient: &Ambient, id: &str) -> Zeroizing<String> {
        let bytes = Zeroizing::new(ambient.random::<32>());
        Zeroizing::new(format!("{id}:{}", *Zeroizing::new(hex::encode(*bytes))))
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The master keys, the newest first.
#[derive(Debug)]
pub struct KeyRing(Vec<MasterKey>);

impl KeyRing {
    /// New team keys are sealed with the first of `keys`; the others still open.
    pub fn new(keys: Vec<MasterKey>) -> Result<Self, SecretsError> {
        let twice = keys.iter().enumerate().any(|(n, key)| keys[..n].iter().any(|other| other.id == key.id));
        if keys.is_empty() || twice { Err(SecretsError::BadRing) } else { Ok(Self(keys)) }
    }

    /// The id of the key that seals.
    pub fn newest(&self) -> &str {
        self.0.first().map_or("", |key| &key.id)
    }

    /// The ids of all keys, the newest first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.id.as_str())
    }

    /// A new data key for a team, sealed, and the id of the master key that sealed it.
    pub fn new_team_key(&self, ambient: &Ambient, team: TeamId) -> Result<(Vec<u8>, String), SecretsError> {
        let master = self.0.first().ok_or(SecretsError::BadRing)?;
        let key = Zeroizing::new(ambient.random::<32>());
        Ok((seal::seal(&master.key, ambient, &aad(team, &master.id), &*key)?, master.id.clone()))
    }

    /// Opens a team's data key.
    pub fn open_team_key(&self, team: TeamId, sealed: &[u8], key_id: &str) -> Result<TeamKey, SecretsError> {
        Ok(TeamKey::new(team, self.open(team, sealed, key_id)?))
    }

    /// Seals a team's data key with the newest master key; `None` when it is already.
    pub fn rewrap(
        &self,
        ambient: &Ambient,
        team: TeamId,
        sealed: &[u8],
        key_id: &str,
    ) -> Result<Option<(Vec<u8>, String)>, SecretsError> {
        let master = self.0.first().ok_or(SecretsError::BadRing)?;
        if master.id == key_id {
            return Ok(None);
        }
        let key = self.open(team, sealed, key_id)?;
        let sealed = seal::seal(&master.key, ambient, &aad(team, &master.id), key.expose_secret())?;
        Ok(Some((sealed, master.id.clone())))
    }

    fn open(&self, team: TeamId, sealed: &[u8], key_id: &str) -> Result<SecretBox<[u8; 32]>, SecretsError> {
        let master = self.find(key_id)?;
        let plain = seal::open(&master.key, &aad(team, key_id), sealed)?;
        let mut key = Zeroizing::new([0; 32]);
        if plain.len() != key.len() {
            return Err(SecretsError::Broken);
        }
        key.copy_from_slice(&plain);
        Ok(SecretBox::new(Box::new(*key)))
    }

    /// Seals what belongs to an account, in no team, with the newest master key, whose id comes with it.
    pub fn seal_for_user(
        &self,
        ambient: &Ambient,
        user: UserId,
        plain: &[u8],
    ) -> Result<(Vec<u8>, String), SecretsError> {
        let master = self.0.first().ok_or(SecretsError::BadRing)?;
        Ok((seal::seal(&master.key, ambient, &aad_of_user(user, &master.id), plain)?, master.id.clone()))
    }

    /// Opens what [`Self::seal_for_user`] sealed.
    pub fn open_of_user(&self, user: UserId, sealed: &[u8], key_id: &str) -> Result<Zeroizing<Vec<u8>>, SecretsError> {
        seal::open(&self.find(key_id)?.key, &aad_of_user(user, key_id), sealed)
    }

    fn find(&self, key_id: &str) -> Result<&MasterKey, SecretsError> {
        self.0.iter().find(|key| key.id == key_id).ok_or_else(|| SecretsError::UnknownKey(key_id.into()))
    }
}

fn aad_of_user(user: UserId, key_id: &str) -> Vec<u8> {
    let mut out = b"restroy/1/totp".to_vec();
    out.extend_from_slice(user.uuid().as_bytes());
    out.extend_from_slice(key_id.as_bytes());
    out
}

fn aad(team: TeamId, key_id: &str) -> Vec<u8> {
    let mut out = b"restroy/1/team-key".to_vec();
    out.extend_from_slice(team.uuid().as_bytes());
    out.extend_from_slice(key_id.as_bytes());
    out
}
