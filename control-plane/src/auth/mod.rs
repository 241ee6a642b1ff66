//! What a request says of its caller: credentials, network address, origin, rates; and sign-in by an OpenID provider.
//! Who may do what is the domain's to decide.

pub mod oidc;
pub mod origin;
mod peer;
pub mod rate;

pub use peer::{Networks, PeerAddress};
pub use restroy_domain::auth::*;
