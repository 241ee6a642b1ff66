//! What every route shares: extractors whose rejections are problem documents, pages, idempotency
//! keys, and the layers around the router.

mod attempt;
mod bearer;
mod body;
mod caller;
mod etag;
mod host;
mod idempotency;
mod in_flight;
mod layers;
mod page;
mod path;
mod receive;
mod retry;

pub use attempt::SignInAttempt;
pub(crate) use bearer::bearer_token;
pub(crate) use body::BodySender;
pub use body::{Body, body_limit};
pub use etag::{check_preconditions, etag};
pub use idempotency::{Idempotency, Idempotent, ReplaySlot};
pub use layers::{CompleteResponse, fallback, in_flight_layers, method_not_allowed, public_api_layers, run_api_layers};
pub use page::{AgePageQuery, PageBuilder, PageQuery, SortedPageQuery, name_filter, paged};
pub use path::{Path, Query};
pub use restroy_domain::fields::{FieldErrors, rule};
