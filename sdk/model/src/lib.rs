//! What every part of Restroy shares: typed ids ([`ids`]), times, clock and randomness ([`time`]), statuses
//! ([`status`]), events of runs ([`event`]), permissions and built-in roles
//! ([`permission`]), problem codes and problem documents ([`problem`]), and bounds for JSON
//! from strangers ([`json_bounds`]).

pub mod event;
pub mod ids;
pub mod json_bounds;
pub mod permission;
pub mod problem;
pub mod status;
pub mod time;
