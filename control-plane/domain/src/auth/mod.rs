//! Who asks, and what they may do.
//!
//! A [`Caller`] is made from a bearer token (or, for a browser's WebSocket, a
//! [`ticket`]); asking it for a team, board, pipeline, script or run gives a [`Scope`], the only
//! way to a transaction on the team's rows. What the caller may not see looks like what is not
//! there.

pub mod api_token;
mod caller;
pub mod gcra;
pub mod grant;
pub mod limit;
pub mod operator;
pub mod password;
pub mod purge;
mod registration;
mod scope;
pub mod second_factor;
pub mod ticket;

pub use crate::tokens as token;
pub use caller::{AuthMethod, Caller, TokenGrant};
pub use registration::Registration;
pub use restroy_sdk::permission::{Permission, Permissions, Role};
pub use scope::Scope;
