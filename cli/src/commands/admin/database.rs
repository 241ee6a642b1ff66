//! Where the database is that operators work on.

use clap::Args;
use restroy_control_plane::store::Db;

use crate::{
    failure::Outcome,
    services::database,
    settings::{GivenFlags, ResolvedSettings, environment, tables},
};

/// Connections to the database: one command needs no more.
const CONNECTIONS: u32 = 2;

/// Where the database is.
#[derive(Debug, Args)]
pub(crate) struct Database {
    #[command(flatten)]
    settings: GivenFlags<tables::Admin>,
}

impl Database {
    pub(super) async fn open(&self) -> Outcome<Db> {
        let settings = ResolvedSettings::resolve(&self.settings, &environment())?.settings;
        database(&settings.database_url, CONNECTIONS).await
    }

    /// Where people reach the API, if that is set.
    pub(super) fn public_url(&self) -> Outcome<Option<String>> {
        let settings = ResolvedSettings::resolve(&self.settings, &environment())?.settings;
        Ok(settings.public_url.map(|url| url.0))
    }
}
