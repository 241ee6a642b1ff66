//! The database. One SQL text serves every backend: a statement is written once with `$1`
//! placeholders and run on whichever transaction it is by [`sql!`](crate::sql). What belongs to a
//! team is reached through a [`scope::TeamTx`], which carries the team into every statement.
//! Accounts, sessions and one-time tokens belong to no team: their modules take a [`Tx`].
//!
//! On Postgres a [`scope::TeamTx`] acts as `restroy_app`, which row-level security confines to the team. These, and
//! nothing else, act as `restroy_system` and see all teams, because they know no team yet or serve all of them;
//! what they find they continue with in a transaction of its team (`domain/` and `store/` are the crates, the others are
//! files of the server):
//!
//! - who asks, and what the caller may do with which thing: `domain/auth/caller.rs`, `domain/auth/scope.rs`,
//!   `domain/auth/ticket.rs`, `domain/auth/api_token.rs`, `domain/runs/executors.rs`, `domain/runs/executor.rs` (also what
//!   an executor says about itself, and which tasks are no more its own), `domain/runs/claim.rs` (the team of a task)
//! - accounts: `api/auth/*`, `api/audit/me.rs`, `api/me/*`, `api/teams/team.rs` (a person's teams, a new
//!   team), `api/my_invitations.rs` (into teams that the person is not in yet),
//!   `store/second_factor.rs` (whose secrets are to be sealed anew), `domain/auth/purge.rs`, `domain/auth/operator.rs`
//!   (what the operator does to one); an invitation with its
//!   e-mail (`api/teams/invitations.rs`), a service account and the tokens that reach a team
//!   (`api/teams/service_accounts.rs`, `api/teams/api_tokens.rs`) and changes of members, which end some
//!   (`api/teams/member.rs`, `api/teams/role.rs`, `api/teams/transfer.rs`), go by `Scope::write_bypassing_rls`: a
//!   transaction of a team that goes by row-level security is made with a reason of `store/bypass.rs`
//! - work for all teams: `domain/runs/dispatch.rs`, `domain/runs/leader.rs`, `domain/runs/reconcile.rs` and
//!   `domain/runs/schedule.rs` (which look for what is due), `domain/runs/purge.rs`, `domain/runs/purge_deleted.rs`,
//!   `domain/runs/purge_teams.rs`, `domain/runs/removed.rs`, `domain/runs/boot.rs`, `domain/mail/sender.rs`,
//!   `domain/runs/effects/email.rs` (what an owner's teams sent together), `store/storage.rs` and
//!   `domain/runs/storage.rs` (the count of what teams store, and who is informed), `domain/runs/retention.rs` (which
//!   teams there are)
//! - the installation: `store/probe.rs`, `domain/metrics/scrape.rs`, `domain/clock.rs`, `store/team_keys/*` (which
//!   teams' keys are to be sealed anew, or replaced)
//!
//! What is serialised by what is written down in `docs/adr/0015-isolation-and-locks.md`.

pub mod api_tokens;
pub mod audit;
pub mod board_members;
pub mod boards;
mod bypass;
pub mod configuration;
pub mod db;
mod error;
pub mod failure;
pub mod idempotency;
pub mod identities;
pub mod invitations;
pub mod kv;
pub mod library;
pub mod members;
pub mod migrate;
pub mod notices;
pub mod one_time;
pub mod order;
pub mod outbox;
pub mod pipelines;
pub mod postgres;
pub mod probe;
pub mod quota;
pub mod roles;
pub mod schedules;
pub mod scope;
pub mod scripts;
pub mod second_factor;
pub mod secrets;
pub mod service_accounts;
pub mod sessions;
pub mod sort;
pub mod sources;
mod sqlite;
pub mod storage;
pub mod stranger_mails;
pub mod team_keys;
pub mod teams;
pub mod token_makers;
pub mod usage;
pub mod users;
pub mod versions;

pub use bypass::Bypass;
pub use db::{Db, Durability, QueryResult, TeamRowPermit, Tx};
pub use error::StoreError;
pub use postgres::PostgresOptions;
pub use scope::TeamTx;
/// What a statement fails with. [`failure`] says what it means.
pub use sqlx::Error as DbError;
