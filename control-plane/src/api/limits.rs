//! How much of everything there may be: what the domain says of it, and the sizes of bodies.

pub(crate) use restroy_domain::quotas::*;

/// The body of a definition, in bytes: 16 MiB of document and sources, and what JSON adds by
/// escaping them.
pub(super) const DEFINITION_BODY: usize = 24 * 1024 * 1024;
/// The body of a request to sign in or the like, in bytes.
pub(super) const AUTH_BODY: usize = 16 * 1024;
