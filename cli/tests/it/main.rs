//! The whole thing from outside: `restroy dev` as a process, spoken to over HTTP and WebSocket and
//! through the command line.

mod examples;
mod hostile;
mod invalid;
mod recovery;
mod server;
mod streams;
mod tenants;
mod world;
