//! The database of a data folder.

use restroy_control_plane::store::Db;

use super::{DevError, data_folder::DataFolder};

/// Opens the folder's database with the newest schema.
pub(super) async fn open(folder: &DataFolder) -> Result<Db, DevError> {
    let path = folder.database();
    let failed = |error: String| DevError::Database(path.clone(), error);
    let db = Db::open_sqlite(&path).await.map_err(|error| failed(error.to_string()))?;
    db.migrate().await.map_err(|error| failed(error.to_string()))?;
    Ok(db)
}
