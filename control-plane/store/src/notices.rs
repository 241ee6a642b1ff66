//! How often people were informed what others did about them: those e-mails are bounded.

use restroy_sdk::time::Timestamp;
use sqlx::query_scalar;

use super::{StoreError, Tx, audit::first_id};
use crate::sql;

/// How many e-mails of the installation itself with this subject an address got since a moment.
pub async fn count_sent_since(tx: &mut Tx, to: &str, subject: &str, since: Timestamp) -> Result<i64, StoreError> {
    let recipients = serde_json::to_string(&[to])?;
    let count = sql!(
        tx,
        fetch_one,
        query_scalar(
            "SELECT count(*) FROM outbox
             WHERE team_id IS NULL AND id > $3 AND recipients = $1 AND subject = $2 AND created_at > $4"
        )
        .bind(recipients)
        .bind(subject)
        // Ids tell the time to within a minute or two, which is enough to find the place.
        .bind(first_id(since.before(std::time::Duration::from_mins(3))))
        .bind(since)
    )?;
    Ok(count)
}
