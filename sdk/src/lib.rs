//! The public contract of Restroy: what passes between an installation and those who use it.
//!
//! Here live the API's types ([`api`]), run events ([`event`]), problem codes ([`problem`]), permissions and built-in roles ([`permission`]), the
//! pipeline document ([`document`]), bounds for JSON ([`json_bounds`]), the check of values against JSON Schemas ([`schema`], a feature)
//! and a typed async client ([`client`]). Nothing here knows how
//! the services are built; the services and the command line are built on this.

pub mod api;
pub mod client;
pub mod document;
pub mod event;
pub mod ids;
pub mod json_bounds;
pub mod permission;
pub mod problem;
#[cfg(feature = "schema")]
pub mod schema;
pub mod status;
pub mod time;
