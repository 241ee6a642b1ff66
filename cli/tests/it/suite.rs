// The behavioural suite. Two test binaries are made of it, one for each mode: `it` (embedded) and
// `production`. What a test says does not depend on the mode; what its server consists of does, and
// `server` sees to that. A test that only one mode can have stands in a module that only its `main.rs`
// names, with the reason.

mod commands;
mod examples;
mod folders;
mod hostile;
mod identity;
mod installation;
mod invalid;
mod neighbours;
mod newcomer;
#[path = "../../../control-plane/tests/it/postgres.rs"]
mod postgres;
mod process;
mod recovery;
mod server;
mod sleeping;
#[path = "../../../control-plane/tests/it/smtp.rs"]
mod smtp;
mod streams;
mod tenants;
mod world;
