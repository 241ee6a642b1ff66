//! Machine code of the guest, kept between processes.
//!
//! Loading machine code that someone else wrote would run it. So the folder must belong to this user
//! and be writable by nobody else, which is checked each time; what does not pass is an error, not a
//! reason to compile anew, because a writable folder is a mistake that must be seen.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::Path;

use wasmtime::Module;

use crate::EngineError;

/// Loads the module, or compiles it and keeps it.
pub(crate) fn load_or_compile(
    engine: &wasmtime::Engine,
    wasm: &[u8],
    id: &str,
    folder: &Path,
) -> Result<Module, EngineError> {
    let context = "the folder for compiled code";
    make_private(folder).map_err(|error| EngineError::new(context, format!("{}: {error}", folder.display())))?;
    let mut compatibility = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut compatibility);
    let path = folder.join(format!("guest-{id}-{:016x}.cwasm", compatibility.finish()));
    if path.exists() {
        // SAFETY: only this user can have written the file (checked above), and this module is the
        // only thing of his that writes such files here; they appear by rename, so are whole.
        match unsafe { Module::deserialize_file(engine, &path) } {
            Ok(module) => return Ok(module),
            Err(error) => tracing::warn!(path = %path.display(), %error, "compiled code is unusable; compiling anew"),
        }
    }
    let code = engine.precompile_module(wasm).map_err(|error| EngineError::new("compiling the guest", error))?;
    if let Err(error) = keep(folder, &path, &code) {
        tracing::warn!(path = %path.display(), %error, "compiled code could not be kept");
    }
    // SAFETY: made by this engine a moment ago.
    unsafe { Module::deserialize(engine, &code) }.map_err(|error| EngineError::new("loading the guest", error))
}

/// Writes a file so that it is there whole or not at all.
fn keep(folder: &Path, path: &Path, code: &[u8]) -> std::io::Result<()> {
    let part = folder.join(format!("part-{}", std::process::id()));
    let mut file = fs::File::create(&part)?;
    file.write_all(code)?;
    fs::rename(&part, path)
}

#[cfg(unix)]
fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};

    if !folder.exists() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let found = fs::symlink_metadata(folder)?;
    let problem = if !found.is_dir() {
        "is not a folder"
    } else if found.uid() != rustix::process::geteuid().as_raw() {
        "belongs to another user"
    } else if found.mode() & 0o022 != 0 {
        "can be written to by other users"
    } else {
        return Ok(());
    };
    Err(std::io::Error::other(problem))
}

#[cfg(not(unix))]
fn make_private(_: &Path) -> std::io::Result<()> {
    Err(std::io::Error::other("compiled code can only be kept on unix"))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_a_private_folder_will_do() {
        let folder = std::env::temp_dir().join(format!("lua-wasm-host-cache-{}", std::process::id()));
        make_private(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o770)).unwrap();
        assert!(make_private(&folder).unwrap_err().to_string().contains("other users"));
        fs::remove_dir(&folder).unwrap();
        fs::write(&folder, "").unwrap();
        assert!(make_private(&folder).is_err());
        fs::remove_file(&folder).unwrap();
    }
}
