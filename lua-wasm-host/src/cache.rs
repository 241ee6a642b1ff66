//! Machine code of the guest, kept between processes.
//!
//! Loading machine code that someone else wrote would run it. So the folder must belong to this user and be writable
//! by nobody else, nor may others rename what leads to it, and each file carries a checksum under a key that only this
//! user can read: what was changed, by whomever or by a failing disk, is compiled anew. Where no folder will do, the
//! guest is compiled at every start, which takes half a second, and a warning says why.

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
    let cache = match Cache::open(folder) {
        Ok(cache) => cache,
        Err(error) => {
            tracing::warn!(
                folder = %folder.display(),
                %error,
                "compiled code is not cached, so each start takes half a second longer: use a directory that only this user can write to"
            );
            return Module::new(engine, wasm).map_err(|error| EngineError::new("compiling the guest", error));
        }
    };
    let name = file_name(engine, id);
    match cache.read(&name) {
        Ok(Some(code)) => {
            // SAFETY: the checksum says that this user's own process wrote these bytes, under this name, which names
            // the guest and the engine's settings; it writes nothing but what `precompile_module` gave.
            match unsafe { Module::deserialize(engine, &code) } {
                Ok(module) => return Ok(module),
                Err(error) => tracing::warn!(file = name, %error, "cached code is unusable: compiling again"),
            }
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(file = name, %error, "cached code is unusable: compiling again"),
    }
    let code = engine.precompile_module(wasm).map_err(|error| EngineError::new("compiling the guest", error))?;
    if let Err(error) = cache.write(&name, &code) {
        tracing::warn!(file = name, %error, "compiled code is not kept");
    }
    // SAFETY: made by this engine a moment ago.
    unsafe { Module::deserialize(engine, &code) }.map_err(|error| EngineError::new("loading the guest", error))
}

/// Names the guest, the version of the engine and its settings.
fn file_name(engine: &wasmtime::Engine, id: &str) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut compatibility = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut compatibility);
    format!("guest-{id}-{:016x}.cwasm", compatibility.finish())
}

#[cfg(unix)]
use unix::Cache;

#[cfg(unix)]
mod unix {
    use std::{
        fs, io,
        io::{Read, Write},
        os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
        path::{Path, PathBuf},
    };

    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;

    /// The largest file that is read: some times what the guest compiles to.
    const MAX_FILE: u64 = 64 * 1024 * 1024;
    /// The length of the checksum at the start of a file, and of the key.
    const CHECKSUM: usize = 32;
    const KEY_FILE: &str = "key";

    /// A folder that is this user's alone, and the key of its checksums.
    pub(super) struct Cache {
        folder: PathBuf,
        key: [u8; CHECKSUM],
    }

    impl Cache {
        /// Makes the folder and the key if they are absent.
        pub(super) fn open(folder: &Path) -> io::Result<Self> {
            if !folder.exists() {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            if !fs::symlink_metadata(folder)?.is_dir() {
                return Err(io::Error::other("it is not a directory"));
            }
            let folder = fs::canonicalize(folder)?;
            check_folder(&folder)?;
            let key = match read_private(&folder.join(KEY_FILE), CHECKSUM as u64)? {
                Some(key) => key,
                None => make_key(&folder)?,
            };
            let key = key.try_into().map_err(|_| io::Error::other("its file `key` is not 32 bytes long: remove it"))?;
            Ok(Self { folder, key })
        }

        /// What was written under this name; none if nothing was.
        pub(super) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
            let Some(mut file) = read_private(&self.folder.join(name), MAX_FILE)? else { return Ok(None) };
            if file.len() < CHECKSUM {
                return Err(io::Error::other("it is too short"));
            }
            let code = file.split_off(CHECKSUM);
            let intact = self.checksum(name, &code).verify_slice(&file).is_ok();
            if intact { Ok(Some(code)) } else { Err(io::Error::other("its checksum is wrong")) }
        }

        /// Writes a file so that it is there whole or not at all.
        pub(super) fn write(&self, name: &str, code: &[u8]) -> io::Result<()> {
            let part = self.folder.join(format!("part-{}", std::process::id()));
            let checksum = self.checksum(name, code).finalize().into_bytes();
            let written =
                write_private(&part, &[&checksum, code]).and_then(|()| fs::rename(&part, self.folder.join(name)));
            if written.is_err() {
                let _ = fs::remove_file(&part);
            }
            written
        }

        fn checksum(&self, name: &str, code: &[u8]) -> Hmac<Sha256> {
            // A key that is shorter than a block is filled up with zeros.
            let mut block = [0; 64];
            block[..CHECKSUM].copy_from_slice(&self.key);
            let mut mac = Hmac::<Sha256>::new(&block.into());
            mac.update(&(name.len() as u64).to_le_bytes());
            mac.update(name.as_bytes());
            mac.update(code);
            mac
        }
    }

    /// Whether nobody but this user and root can change the folder, or put another in its place.
    fn check_folder(folder: &Path) -> io::Result<()> {
        const STICKY: u32 = 0o1000;
        let user = rustix::process::geteuid().as_raw();
        for (depth, path) in folder.ancestors().enumerate() {
            let found = fs::symlink_metadata(path)?;
            let problem = if found.uid() != user && (depth == 0 || found.uid() != 0) {
                "belongs to another user"
            } else if found.mode() & 0o022 != 0 && (depth == 0 || found.mode() & STICKY == 0) {
                "can be written to by other users"
            } else {
                continue;
            };
            return Err(io::Error::other(format!("{} {problem}", path.display())));
        }
        Ok(())
    }

    /// The bytes of a file that is this user's alone; none if there is none.
    fn read_private(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match fs::OpenOptions::new().read(true).custom_flags(no_follow()).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = file.metadata()?;
        let private =
            found.is_file() && found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o022 == 0;
        if !private || found.len() > most {
            return Err(io::Error::other(format!(
                "{} is not a file of this user alone, or is too large: remove it",
                path.display()
            )));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default());
        file.take(most).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn write_private(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let _ = fs::remove_file(path);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        parts.iter().try_for_each(|part| file.write_all(part))
    }

    /// Makes the key, unless another process is quicker; gives the one that is there then.
    fn make_key(folder: &Path) -> io::Result<Vec<u8>> {
        let mut key = [0; CHECKSUM];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        let (part, path) = (folder.join(format!("key-{}", std::process::id())), folder.join(KEY_FILE));
        write_private(&part, &[&key])?;
        let linked = fs::hard_link(&part, &path);
        let _ = fs::remove_file(&part);
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => read_private(&path, CHECKSUM as u64)?.ok_or_else(|| io::Error::other("its key is gone")),
        }
    }

    fn no_follow() -> i32 {
        rustix::fs::OFlags::NOFOLLOW.bits().cast_signed()
    }
}

/// Nothing is cached where ownership cannot be checked.
#[cfg(not(unix))]
struct Cache;

#[cfg(not(unix))]
impl Cache {
    fn open(_: &Path) -> std::io::Result<Self> {
        Err(std::io::Error::other("compiled code can only be kept on unix"))
    }

    fn read(&self, _: &str) -> std::io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn write(&self, _: &str, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
        path::PathBuf,
    };

    use super::*;

    /// A folder of this test's own, removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("lua-wasm-host-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir(&folder).unwrap();
            Self(folder)
        }

        fn mode(&self, name: &str, mode: u32) {
            fs::set_permissions(self.0.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_was_written_is_read_and_what_was_changed_is_not() {
        let folder = Folder::new("changed");
        let cache = Cache::open(&folder.0.join("a/b")).unwrap();
        assert_eq!(cache.read("x").unwrap(), None);
        cache.write("x", b"machine code").unwrap();
        assert_eq!(Cache::open(&folder.0.join("a/b")).unwrap().read("x").unwrap().unwrap(), b"machine code");
        let path = folder.0.join("a/b/x");
        let whole = fs::read(&path).unwrap();
        for at in [0, 31, 32, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&path, changed).unwrap();
            assert!(cache.read("x").unwrap_err().to_string().contains("checksum"), "{at}");
        }
        for length in [0, 31, 32, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(cache.read("x").is_err(), "{length}");
        }
        // The same bytes under another name are other bytes, and under another key too.
        fs::write(folder.0.join("a/b/y"), &whole).unwrap();
        assert!(cache.read("y").is_err());
        fs::remove_file(folder.0.join("a/b/key")).unwrap();
        fs::write(&path, &whole).unwrap();
        assert!(Cache::open(&folder.0.join("a/b")).unwrap().read("x").is_err());
    }

    #[test]
    fn only_what_is_this_users_alone_will_do() {
        let folder = Folder::new("private");
        let inner = folder.0.join("parent/cache");
        let cache = Cache::open(&inner).unwrap();
        cache.write("x", b"machine code").unwrap();
        for name in ["parent/cache", "parent/cache/key", "parent/cache/x"] {
            assert_eq!(fs::metadata(folder.0.join(name)).unwrap().permissions().mode() & 0o077, 0, "{name}");
        }
        folder.mode("parent/cache/x", 0o620);
        assert!(cache.read("x").is_err());
        folder.mode("parent/cache/x", 0o600);
        symlink(inner.join("x"), inner.join("link")).unwrap();
        assert!(cache.read("link").is_err());
        for (name, mode) in [("parent/cache", 0o770), ("parent", 0o777), ("parent/cache/key", 0o620)] {
            let before = fs::metadata(folder.0.join(name)).unwrap().permissions().mode();
            folder.mode(name, mode);
            assert!(Cache::open(&inner).is_err(), "{name}");
            folder.mode(name, before);
        }
        // As /tmp is: others may write there, and not replace what is ours.
        folder.mode("parent", 0o1777);
        assert!(Cache::open(&inner).is_ok());
        assert!(Cache::open(&inner.join("x")).is_err());
    }

    #[test]
    fn an_unusable_folder_or_file_means_compiling_and_no_error() {
        let folder = Folder::new("unusable");
        let engine = wasmtime::Engine::default();
        let wasm = b"\0asm\x01\0\0\0";
        fs::write(folder.0.join("file"), "").unwrap();
        for unusable in ["file", "file/below"] {
            assert!(load_or_compile(&engine, wasm, "id", &folder.0.join(unusable)).is_ok(), "{unusable}");
        }
        let usable = folder.0.join("cache");
        assert!(load_or_compile(&engine, wasm, "id", &usable).is_ok());
        let path = usable.join(file_name(&engine, "id"));
        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        changed[whole.len() / 2] ^= 0xff;
        fs::write(&path, changed).unwrap();
        assert!(load_or_compile(&engine, wasm, "id", &usable).is_ok());
        assert_eq!(fs::read(&path).unwrap(), whole, "it was compiled and kept again");
    }
}
