// The behavioural suite. Two test binaries are made of it, one for each mode: `it` (embedded) and
// `production`. What a test says does not depend on the mode; where its installation lives does, and
// `support` and `runs_support` see to that.

mod accounts;
mod api_tokens;
mod boards;
mod clock;
mod configuration;
mod database;
mod definitions;
mod exposition;
mod http;
mod idempotency;
mod identity;
mod mail;
mod metrics;
#[cfg(feature = "oidc")]
mod oidc;
mod pages;
mod permissions;
mod races;
mod races_identity;
mod races_runs;
mod runs_calls;
mod runs_lease;
mod runs_property;
mod runs_schedule;
mod runs_start;
mod runs_stream;
mod runs_support;
mod second_factor;
mod session_families;
mod smtp;
mod strangers;
mod support;
mod texts;
mod tickets;
mod tokens;
