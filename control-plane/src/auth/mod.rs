//! Who asks, and what they may do.
//!
//! A [`Caller`] is made from a request's bearer token (or, for a browser's WebSocket, a
//! [`ticket`]); asking it for a team, board, pipeline, script or run gives a [`Scope`], the only
//! way to a transaction on the team's rows. What the caller may not see looks like what is not
//! there.

pub mod api_token;
mod attempt;
mod caller;
mod gcra;
pub mod grant;
pub mod limit;
pub mod oidc;
pub mod operator;
pub mod origin;
pub mod password;
mod peer;
pub mod purge;
pub mod rate;
mod registration;
mod scope;
pub mod second_factor;
pub mod ticket;
pub mod token;

pub use attempt::SignInAttempt;
pub use caller::{AuthMethod, Caller, TokenGrant};
pub(crate) use limit::network;
pub use peer::{Networks, PeerAddress};
pub use registration::Registration;
pub use restroy_sdk::permission::{Permission, Permissions, Role};
pub use scope::Scope;
