//! What operators do to an account that its person cannot get into, on the database itself.

use restroy_sdk::{
    ids::UserId,
    time::{Ambient, Timestamp},
};
use serde_json::json;

use crate::{
    error::{ApiError, ApiResult},
    store::{
        Db,
        audit::{self, Actor, Entry},
        one_time::{self, Purpose},
        second_factor, sessions, users,
    },
};

/// An account, as an operator is asked about it.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its id.
    pub id: UserId,
    /// Its address.
    pub email: String,
    /// How others see the person.
    pub name: String,
    /// The newest login.
    pub last_login_at: Option<Timestamp>,
    /// Whether logins ask for a code.
    pub second_factor: bool,
}

/// The account of an address or of an id; 404 when there is none.
pub async fn find(db: &Db, who: &str) -> ApiResult<Found> {
    let mut tx = db.system_read().await?;
    let user = match who.parse() {
        Ok(id) => users::by_id(&mut tx, id).await?,
        Err(_) => users::by_email(&mut tx, who).await?,
    };
    let user = user.filter(|user| user.kind == users::PERSON).ok_or_else(ApiError::not_found)?;
    let second_factor = second_factor::is_on(&mut tx, user.id).await?;
    Ok(Found { id: user.id, email: user.email, name: user.name, last_login_at: user.last_login_at, second_factor })
}

/// Takes the second factor of an account away, with its recovery codes, and ends its sessions and half-done logins:
/// whoever asked for it signs in with the password. Gives how many sessions went on; 404 when there was no second
/// factor.
pub async fn remove_second_factor(db: &Db, ambient: &Ambient, id: UserId) -> ApiResult<u64> {
    let now = ambient.now();
    let mut tx = db.system_write().await?;
    users::lock(&mut tx, id).await?;
    if users::by_id(&mut tx, id).await?.is_none() || !second_factor::remove(&mut tx, id).await? {
        return Err(ApiError::not_found());
    }
    one_time::spend_all(&mut tx, Purpose::SecondFactor, id, now).await?;
    let ended = sessions::revoke_others(&mut tx, id, None, now).await?;
    let entry = Entry::new("user.totp_off", "user", id).details(json!({ "by": "operator", "sessions_ended": ended }));
    audit::of_user(&mut tx, ambient, Actor::user(id, None), entry).await?;
    tx.commit().await?;
    Ok(ended)
}
