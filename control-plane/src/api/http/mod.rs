//! What every route shares: extractors whose rejections are problem documents, pages, idempotency
//! keys, and the layers around the router.

pub mod answers;
mod body;
mod etag;
mod fields;
mod host;
mod idempotency;
pub mod in_flight;
mod layers;
mod page;
mod path;
mod receive;
mod repeat;
pub mod rule;

pub(crate) use body::SentBy;
pub use body::{Body, body_limit};
pub use etag::{check_preconditions, etag};
pub use fields::Fields;
pub use idempotency::{Idempotency, Idempotent, Slot};
pub(crate) use in_flight::Flight;
pub use layers::{Complete, around, around_run_api, bounded, fallback, method_not_allowed};
pub use page::{Aged, Filling, Paged, Sorted, name_filter, paged};
pub use path::{Path, Query};
