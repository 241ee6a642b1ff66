//! A team's data key.

use sqlx::query_as;

use super::{StoreError, TeamTx};
use crate::{
    secrets::{KeyRing, TeamKey},
    sql,
};

/// The team's data key, open.
pub async fn key(tx: &mut TeamTx, keys: &KeyRing) -> Result<TeamKey, StoreError> {
    let team = tx.team();
    let (sealed, key_id): (Vec<u8>, String) =
        sql!(&mut **tx, fetch_one, query_as("SELECT data_key, key_id FROM teams WHERE id = $1").bind(team))?;
    Ok(keys.open_team_key(team, &sealed, &key_id)?)
}
