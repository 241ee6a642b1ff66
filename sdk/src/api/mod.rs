//! The bodies of the API's requests and answers, one module an area.

pub mod account;
pub mod audit;
pub mod auth;
pub mod board;
pub mod invitation;
pub mod library;
pub mod pipeline;
pub mod role;
pub mod run;
pub mod script;
pub mod team;
pub mod token;
pub mod trigger;
pub mod usage;

use serde::{Deserialize, Serialize};

/// A page of a list. Pass `next_cursor` as `?cursor=` to get the next one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Where the next page starts; null on the last.
    pub next_cursor: Option<String>,
}
