//! The public contract of Restroy: what passes between an installation and those who use it.
//!
//! The types of the REST API are in [`api`]. Ids, times, statuses, events, problem codes, permissions and built-in roles come
//! from `restroy-model`, the pipeline document ([`document`]) and the check of values against JSON Schemas (`schema`, a
//! feature) from `restroy-document`. `restroy-client` is the typed async client. Nothing here knows how the services
//! are built; the services and the command line are built on this.

pub mod api;

pub use restroy_document as document;
#[cfg(feature = "schema")]
pub use restroy_document::schema;
pub use restroy_model::{event, ids, json_bounds, limit, origin, permission, problem, status, time};
