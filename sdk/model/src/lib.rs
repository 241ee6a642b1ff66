//! What every part of Restroy shares: typed ids ([`ids`]), times, clock and randomness ([`time`]), statuses
//! ([`status`]), kinds of triggers ([`trigger`]), events of runs ([`event`]), permissions and built-in roles
//! ([`permission`]), problem codes and problem documents ([`problem`]), bounds for JSON from strangers
//! ([`json_bounds`]), origins of HTTP requests ([`origin`]), and the table of limits ([`limit`]).

pub mod event;
pub mod ids;
pub mod json_bounds;
pub mod limit;
pub mod origin;
pub mod permission;
pub mod problem;
pub mod status;
pub mod time;
pub mod trigger;
