// The behavioural suite. Two test binaries are made of it, one for each mode: `it` (embedded) and
// `production`. What a test says does not depend on the mode; where its installation lives does, and
// `support` and `runs_support` see to that.

mod access_property;
mod accounts;
mod audit;
mod board_members;
mod boards;
mod clock;
mod configuration;
mod contract;
mod configuration_levels;
mod configuration_property;
mod database;
mod definitions;
mod documented;
mod exposition;
mod http;
mod idempotency;
mod invitations;
mod kv;
mod mail;
mod members;
mod metrics;
mod pages;
mod permissions;
mod quotas;
mod races;
mod races_runs;
mod rates;
mod removed_teams;
mod roles;
mod runs_calls;
mod runs_lease;
mod runs_property;
mod runs_schedule;
mod runs_start;
mod runs_stream;
mod runs_support;
mod smtp;
mod strangers;
mod support;
mod texts;
mod tickets;
mod tokens;
