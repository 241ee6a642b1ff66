//! The audit log.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ids::{ApiTokenId, AuditId, UserId},
    time::Timestamp,
};

/// What somebody did. Never holds a secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// Its id; later entries have greater ones.
    pub id: AuditId,
    /// What was done, such as `board.create`: the kind of thing, a dot, a verb.
    pub action: String,
    /// Kind and id of what it was done to, such as `board 0198…`.
    pub subject: String,
    /// Who did it, or on whose behalf; null for what nobody did, such as a scheduled run.
    pub user_id: Option<UserId>,
    /// The person's name, as it is now.
    pub user_name: Option<String>,
    /// The API token that was shown, if it was one.
    pub token_id: Option<ApiTokenId>,
    /// The network address that the request came from, as far as that is known.
    pub address: Option<String>,
    /// What was there before; null when nothing was, or nothing of it changes.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub before: Option<Value>,
    /// What is there since; null when nothing is, or nothing of it changes.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub after: Option<Value>,
    /// More about it.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub details: Value,
    /// When it was created.
    pub created_at: Timestamp,
}

/// Filters entries of the audit log (default: all).
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Whose action begins so: `board.` is all that was done to boards.
    pub action: Option<String>,
    /// What this person did.
    pub user: Option<UserId>,
    /// What was done to this thing: kind and id, as entries have it.
    pub subject: Option<String>,
    /// From this moment on.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
}
