//! What every route shares: extractors whose rejections are problem documents, pages, idempotency
//! keys, and the layers around the router.

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
pub mod response_budget;
mod retry;
pub mod rule;

pub(crate) use body::BodySender;
pub use body::{Body, body_limit};
pub use etag::{check_preconditions, etag};
pub use fields::FieldErrors;
pub use idempotency::{Idempotency, Idempotent, ReplaySlot};
pub(crate) use in_flight::CountedRequest;
pub use layers::{CompleteResponse, fallback, in_flight_layers, method_not_allowed, public_api_layers, run_api_layers};
pub use page::{AgePageQuery, PageBuilder, PageQuery, SortedPageQuery, name_filter, paged};
pub use path::{Path, Query};
