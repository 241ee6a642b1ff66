//! What every route shares: extractors whose rejections are problem documents, pages, idempotency
//! keys, and the layers around the router.

mod body;
mod fields;
mod idempotency;
mod layers;
mod page;
mod path;
mod repeat;
mod tags;

pub use body::Body;
pub use fields::Fields;
pub use idempotency::{Begun, Idempotency, Slot};
pub use layers::{Complete, around, fallback, method_not_allowed};
pub use page::{Filling, Paged, Sorted, name_filter, paged, place_by};
pub use path::{Path, Query};
pub use tags::{etag, fits, if_match, numbered};
