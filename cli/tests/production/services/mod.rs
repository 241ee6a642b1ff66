//! What services of production owe one another and their users, shown from outside: real processes of
//! control-plane and executor, two of each, on one Postgres and one Redis, and what happens to them in
//! the life of an installation. Only production is composed of services.
//!
//! Most clusters use the servers that `./with-services` started, each with a database and a prefix of its
//! own. What stops or empties a server has one of its own (`servers`).

mod cluster;
mod load;
mod member;
mod proxy;
pub mod servers;
mod service;
mod watch;

mod crash;
mod drain;
mod far;
mod outage;
mod readiness;
mod replicas;
mod schedules;
mod trust;
mod upgrade;
