//! What a query on the store fails with, beside what SQL says.

use crate::secrets::SecretsError;

/// Why the store cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refuses or is not there.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// A stored document cannot be read.
    #[error("a stored document cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A sealed value cannot be opened.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
}
