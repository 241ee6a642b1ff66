//! `restroy migrate`.

use clap::Args as ClapArgs;
use restroy_control_plane::store::migrate;
use serde_json::json;

use crate::{
    dev,
    failure::{Failure, Outcome},
    output,
    settings::{GivenFlags, ResolvedSettings, environment, tables},
};

/// Apply database migrations and exit
///
/// Postgres, when RESTROY_DATABASE_OWNER_URL and RESTROY_DATABASE_URL are set: as the first, the owner
/// of the schema, it migrates, and makes the role that the second names, with its password and no
/// rights but those a control-plane needs. Else the data folder of `restroy dev`. Safe to repeat.
#[derive(Debug, ClapArgs)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    settings: GivenFlags<tables::Migrate>,
}

/// Brings the schema up to date.
pub(crate) async fn migrate(args: MigrateArgs, as_json: bool) -> Outcome {
    let settings = ResolvedSettings::resolve(&args.settings, &environment())?.settings;
    let database = match (&settings.database_owner_url, &settings.database_url) {
        (Some(owner), Some(service)) => {
            migrate::postgres(owner.expose(), service.expose()).await.map_err(|error| {
                Failure::new(format!("cannot migrate {owner:?}: {error}")).help(
                    "check that RESTROY_DATABASE_OWNER_URL names a role that owns the database and may create \
                        roles",
                )
            })?;
            format!("{owner:?}")
        }
        _ => dev::migrate(&settings.data_dir).await?.display().to_string(),
    };
    if as_json {
        output::print(&json!({ "database": database }).to_string());
    } else {
        output::print(&format!("{database} is up to date"));
    }
    Ok(())
}
