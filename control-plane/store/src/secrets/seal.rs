//! Sealing itself: a random 24-byte nonce, then ciphertext and tag.

use chacha20poly1305::{
    Key, XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use restroy_sdk::time::Ambient;
use secrecy::{ExposeSecret, SecretBox};
use zeroize::Zeroizing;

use super::SecretsError;

const NONCE: usize = 24;

pub(super) fn seal(
    key: &SecretBox<[u8; 32]>,
    ambient: &Ambient,
    aad: &[u8],
    plain: &[u8],
) -> Result<Vec<u8>, SecretsError> {
    let nonce: [u8; NONCE] = ambient.random();
    let mut sealed = nonce.to_vec();
    let ciphertext =
        cipher(key).encrypt(&XNonce::from(nonce), Payload { msg: plain, aad }).map_err(|_| SecretsError::Broken)?;
    sealed.extend_from_slice(&ciphertext);
    Ok(sealed)
}

pub(super) fn open(key: &SecretBox<[u8; 32]>, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SecretsError> {
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE>().ok_or(SecretsError::Broken)?;
    cipher(key)
        .decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad })
        .map(Zeroizing::new)
        .map_err(|_| SecretsError::Broken)
}

fn cipher(key: &SecretBox<[u8; 32]>) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(*key.expose_secret()))
}
