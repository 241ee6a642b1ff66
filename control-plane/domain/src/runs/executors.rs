//! Executors and their credentials: opaque, kept as hashes, revocable.

use restroy_sdk::{
    ids::ExecutorId,
    time::{Ambient, Timestamp},
};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use sqlx::{FromRow, query, query_as, query_scalar};

use crate::{
    DomainError, DomainResult,
    auth::token::OpaqueToken,
    sql,
    state::DomainState,
    store::{Db, audit},
};

/// An executor as operators see it.
#[derive(Debug, Clone, Serialize, FromRow)]
pub struct ExecutorInfo {
    /// The executor's id.
    pub id: ExecutorId,
    /// Its name, for people; not unique.
    pub name: String,
    /// How many tasks it takes at once, by its own word, within `slot_limit`; 0 before its first heartbeat and
    /// while it drains.
    pub slots: i64,
    /// How many tasks its operator lets it hold at once.
    pub slot_limit: i64,
    /// What its sandboxes are; empty before its first heartbeat.
    pub engine_id: String,
    /// The version of the run API that it speaks.
    pub protocol: i64,
    /// When it was heard last.
    pub heartbeat_at: Option<Timestamp>,
    /// Since when it may work.
    pub created_at: Timestamp,
    /// Since when it may not any more.
    pub revoked_at: Option<Timestamp>,
    /// When its credential expires; never, if absent.
    pub expires_at: Option<Timestamp>,
    /// SHA-256 of the client certificate that its credential is bound to.
    #[serde(serialize_with = "as_hex")]
    pub certificate: Option<Vec<u8>>,
}

#[allow(clippy::ref_option, reason = "serde passes a reference")]
fn as_hex<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    bytes.as_ref().map(hex::encode).serialize(serializer)
}

/// The most tasks that an executor can be allowed to hold at once.
pub const MAX_SLOTS: u32 = 256;
/// How many tasks an executor may hold at once unless its operator says otherwise.
pub const DEFAULT_SLOTS: u32 = 4;

/// What an operator lets an executor do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// How many tasks it may hold at once, from 1 to [`MAX_SLOTS`].
    pub slots: u32,
    /// When its credential expires.
    pub expires_at: Option<Timestamp>,
    /// SHA-256 of the client certificate (its DER form) without which the credential is refused.
    pub certificate: Option<[u8; 32]>,
}

impl Default for Terms {
    fn default() -> Self {
        Self { slots: DEFAULT_SLOTS, expires_at: None, certificate: None }
    }
}

impl Terms {
    fn slot_limit(&self) -> i64 {
        i64::from(self.slots.clamp(1, MAX_SLOTS))
    }

    fn audit_details(&self) -> Value {
        json!({
            "slots": self.slot_limit(),
            "expires_at": self.expires_at,
            "certificate": self.certificate.map(hex::encode),
        })
    }
}

/// Makes an executor and its credential, which is shown this once. The name is for people.
pub async fn create(state: &DomainState, name: &str, terms: &Terms) -> DomainResult<(ExecutorId, String)> {
    create_in(&state.db, &state.ambient, name, terms).await
}

/// The same without the rest of a control-plane.
pub async fn create_in(db: &Db, ambient: &Ambient, name: &str, terms: &Terms) -> DomainResult<(ExecutorId, String)> {
    let token = OpaqueToken::new(ambient);
    let id = register(db, ambient, name, &token.hash(), terms).await?;
    // 256 random bits that were there before are not an accident.
    let id = id.ok_or_else(|| DomainError::Internal("a new credential is known already".into()))?;
    Ok((id, token.into_text()))
}

/// Makes known an executor whose credential was made elsewhere, by its [`hash`]; none when that
/// credential is known already, or was and is revoked.
pub async fn register(
    db: &Db,
    ambient: &Ambient,
    name: &str,
    hash: &[u8],
    terms: &Terms,
) -> DomainResult<Option<ExecutorId>> {
    let id: ExecutorId = ambient.id();
    let mut tx = db.system_write().await?;
    let made = sql!(
        &mut tx,
        execute,
        query(
            "INSERT INTO executors (id, name, token_hash, created_at, slot_limit, expires_at, certificate)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (token_hash) DO NOTHING"
        )
        .bind(id)
        .bind(name)
        .bind(hash)
        .bind(ambient.now())
        .bind(terms.slot_limit())
        .bind(terms.expires_at)
        .bind(terms.certificate.as_ref().map(<[u8; 32]>::as_slice))
    )?;
    let made = made.rows_affected() > 0;
    if made {
        let entry = audit::Entry::new("executor.create", "executor", id)
            .after(json!({ "name": name, "terms": terms.audit_details() }));
        audit::record_for_installation(&mut tx, ambient, entry).await?;
    }
    tx.commit().await?;
    Ok(made.then_some(id))
}

/// Takes an executor's credential away. What it has leased it keeps until the lease ends. 404 when
/// there is no such executor, or it is revoked.
pub async fn revoke(state: &DomainState, id: ExecutorId) -> DomainResult<()> {
    revoke_in(&state.db, &state.ambient, id).await
}

/// The same without the rest of a control-plane.
pub async fn revoke_in(db: &Db, ambient: &Ambient, id: ExecutorId) -> DomainResult<()> {
    let mut tx = db.system_write().await?;
    let name: Option<String> = sql!(
        &mut tx,
        fetch_optional,
        query_scalar("UPDATE executors SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING name")
            .bind(id)
            .bind(ambient.now())
    )?;
    let name = name.ok_or(DomainError::NotFound)?;
    let entry = audit::Entry::new("executor.revoke", "executor", id).before(json!({ "name": name }));
    audit::record_for_installation(&mut tx, ambient, entry).await?;
    Ok(tx.commit().await?)
}

/// Changes of an executor's terms; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct TermsPatch {
    /// How many tasks it may hold at once. What it holds beyond that it keeps.
    pub slots: Option<u32>,
    /// When its credential expires; `Some(None)`: never.
    pub expires_at: Option<Option<Timestamp>>,
    /// The client certificate that its credential is bound to; `Some(None)`: none.
    pub certificate: Option<Option<[u8; 32]>>,
}

/// Changes the terms of an executor whose credential was not revoked; 404 for others. Gives the terms in force.
pub async fn update_terms(db: &Db, ambient: &Ambient, id: ExecutorId, new: &TermsPatch) -> DomainResult<Terms> {
    let mut tx = db.system_write().await?;
    let select = "SELECT slot_limit, expires_at, certificate FROM executors WHERE id = $1 AND revoked_at IS NULL";
    let found: Option<(i64, Option<Timestamp>, Option<Vec<u8>>)> =
        sql!(&mut tx, fetch_optional, query_as(select).bind(id))?;
    let (slots, expires_at, certificate) = found.ok_or(DomainError::NotFound)?;
    let before = Terms {
        slots: u32::try_from(slots).unwrap_or(MAX_SLOTS),
        expires_at,
        certificate: certificate.and_then(|certificate| certificate.try_into().ok()),
    };
    let after = Terms {
        slots: new.slots.unwrap_or(before.slots),
        expires_at: new.expires_at.unwrap_or(before.expires_at),
        certificate: new.certificate.unwrap_or(before.certificate),
    };
    sql!(
        &mut tx,
        execute,
        query("UPDATE executors SET slot_limit = $2, expires_at = $3, certificate = $4 WHERE id = $1")
            .bind(id)
            .bind(after.slot_limit())
            .bind(after.expires_at)
            .bind(after.certificate.as_ref().map(<[u8; 32]>::as_slice))
    )?;
    let entry = audit::Entry::new("executor.change", "executor", id)
        .before(before.audit_details())
        .after(after.audit_details());
    audit::record_for_installation(&mut tx, ambient, entry).await?;
    tx.commit().await?;
    Ok(after)
}

/// The executors, the oldest first; at most `limit`.
pub async fn list(db: &Db, limit: u32) -> DomainResult<Vec<ExecutorInfo>> {
    let mut tx = db.system_read().await?;
    Ok(sql!(
        &mut tx,
        fetch_all,
        query_as(
            "SELECT id, name, slots, slot_limit, engine_id, protocol, heartbeat_at, created_at, revoked_at, expires_at,
                    certificate
             FROM executors ORDER BY created_at, id LIMIT $1"
        )
        .bind(i64::from(limit))
    )?)
}
