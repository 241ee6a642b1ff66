//! The master keys of a data folder: a key a line, the newest first.

use std::path::Path;

use restroy_control_plane::{
    secrets::{KeyRing, MasterKey},
    store::Db,
};
use restroy_sdk::time::Ambient;

use super::{DevError, data_folder::DataFolder, database};
use crate::failure::{Failure, Outcome};

const MASTER_KEY: &str = "master.key";

/// The folder's keys; a first one is made when there is none.
pub(super) fn ring(folder: &DataFolder, ambient: &Ambient) -> Result<KeyRing, DevError> {
    read(folder, &text(folder, ambient)?)
}

fn text(folder: &DataFolder, ambient: &Ambient) -> Result<String, DevError> {
    Ok(folder.secret_text(MASTER_KEY, || MasterKey::generate(ambient, "dev").to_string())?)
}

fn read(folder: &DataFolder, text: &str) -> Result<KeyRing, DevError> {
    let keys = text.split_whitespace().map(MasterKey::parse).collect::<Result<Vec<_>, _>>();
    keys.and_then(KeyRing::new).map_err(|error| DevError::Key(folder.path().join(MASTER_KEY), error.to_string()))
}

/// A data folder that no `restroy dev` works on meanwhile.
pub(crate) struct Keys {
    folder: DataFolder,
    pub(crate) db: Db,
    pub(crate) ring: KeyRing,
}

impl Keys {
    /// Opens a folder that is there.
    pub(crate) async fn open(data_dir: &Path, ambient: &Ambient) -> Outcome<Self> {
        if !data_dir.join(MASTER_KEY).exists() {
            return Err(Failure::new(format!("there is no data folder of `restroy dev` at {}", data_dir.display()))
                .help("name one with --data-dir, or a database with RESTROY_DATABASE_URL and RESTROY_MASTER_KEYS"));
        }
        let folder = DataFolder::open(data_dir).map_err(DevError::from)?;
        let ring = ring(&folder, ambient)?;
        let db = database::open(&folder).await?;
        Ok(Self { folder, db, ring })
    }

    /// Makes a new key the newest. The older ones stay: backups are sealed with them.
    pub(crate) fn add(&mut self, ambient: &Ambient) -> Outcome {
        let id = format!("dev-{}", ambient.now().to_jiff().strftime("%Y%m%d-%H%M%S"));
        let old = text(&self.folder, ambient)?;
        let text = format!("{}\n{}\n", *MasterKey::generate(ambient, &id), old.trim());
        // What could not be read again is not written.
        let ring = read(&self.folder, &text)?;
        self.folder.replace_secret(MASTER_KEY, &text).map_err(DevError::from)?;
        self.ring = ring;
        Ok(())
    }
}
