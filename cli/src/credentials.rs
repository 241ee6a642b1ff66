//! The sessions of this person, in a file that nobody else can read.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use futures_util::future::BoxFuture;
use restroy_client::TokenStore;
use restroy_sdk::api::auth::Tokens;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Outcome};

/// The folder of a person's settings: `RESTROY_CONFIG_DIR`, or `restroy` in the XDG base directory
/// for configuration.
pub(crate) fn folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Outcome<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    if let Some(folder) = variable("RESTROY_CONFIG_DIR") {
        return Ok(folder);
    }
    // The specification says to ignore relative paths.
    if let Some(folder) = variable("XDG_CONFIG_HOME").filter(absolute) {
        return Ok(folder.join("restroy"));
    }
    if let Some(home) = variable("HOME").filter(absolute) {
        return Ok(home.join(".config/restroy"));
    }
    Err(Failure::new("cannot store credentials: neither HOME nor XDG_CONFIG_HOME is set")
        .help("name a folder with RESTROY_CONFIG_DIR"))
}

/// What the file holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct CredentialsFile {
    /// The server that was signed in to last: the default of the other commands.
    #[serde(default)]
    current: Option<String>,
    /// The sessions by server.
    #[serde(default)]
    sessions: BTreeMap<String, Tokens>,
    /// API tokens by server; in place of a session.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    api_tokens: BTreeMap<String, String>,
}

/// The sessions of this person. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    folder: PathBuf,
}

impl Credentials {
    /// Those in this folder, which need not be there yet.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The server that was signed in to last.
    pub(crate) fn current(&self) -> io::Result<Option<String>> {
        Ok(self.read()?.current)
    }

    /// Makes a server the default of the other commands.
    pub(crate) fn set_current(&self, server: &str) -> io::Result<()> {
        let mut contents = self.read()?;
        contents.current = Some(server.to_owned());
        self.write(&contents)
    }

    /// The API token for a server, if that is how the person signed in there.
    pub(crate) fn api_token(&self, server: &str) -> io::Result<Option<String>> {
        Ok(self.read()?.api_tokens.remove(server))
    }

    /// Keeps an API token for a server, or none; what was kept for the server goes. Whoever calls holds the lock.
    pub(crate) fn set_api_token(&self, server: &str, token: Option<String>) -> io::Result<()> {
        let mut contents = self.read()?;
        match token {
            Some(token) => {
                contents.sessions.remove(server);
                contents.api_tokens.insert(server.to_owned(), token);
            }
            None => drop(contents.api_tokens.remove(server)),
        }
        self.write(&contents)
    }

    /// The session on one server.
    pub(crate) fn on(&self, server: &str) -> Session {
        Session { credentials: self.clone(), server: server.to_owned() }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("credentials.json")
    }

    fn read(&self) -> io::Result<CredentialsFile> {
        let text = match fs::read(self.file()) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(CredentialsFile::default()),
            Err(error) => return Err(at(&self.file(), &error)),
        };
        serde_json::from_slice(&text).map_err(|error| at(&self.file(), &io::Error::other(error)))
    }

    /// Writes a new file and moves it over the old one: a crash leaves one of the two whole.
    fn write(&self, contents: &CredentialsFile) -> io::Result<()> {
        self.make_folder()?;
        let fresh = self.folder.join(format!("credentials.{}.new", std::process::id()));
        let failed = |error: io::Error| at(&fresh, &error);
        let json = serde_json::to_vec_pretty(contents)?;
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).map_err(failed)?;
        file.write_all(&json).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&fresh, self.file()).map_err(|error| at(&self.file(), &error))
    }

    fn make_folder(&self) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(|error| at(&self.folder, &error))
    }

    /// Waits until no other process changes the file; gone when dropped.
    fn lock(&self) -> io::Result<File> {
        self.make_folder()?;
        let path = self.folder.join("credentials.lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| at(&path, &error))?;
        file.lock().map_err(|error| at(&path, &error))?;
        Ok(file)
    }
}

/// The error with the file it is about.
fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The session on one server.
#[derive(Debug)]
pub(crate) struct Session {
    credentials: Credentials,
    server: String,
}

impl TokenStore for Session {
    fn load(&self) -> io::Result<Option<Tokens>> {
        Ok(self.credentials.read()?.sessions.remove(&self.server))
    }

    fn save(&self, tokens: Option<&Tokens>) -> io::Result<()> {
        let mut contents = self.credentials.read()?;
        match tokens {
            Some(tokens) => {
                contents.api_tokens.remove(&self.server);
                contents.sessions.insert(self.server.clone(), tokens.clone());
            }
            None => drop(contents.sessions.remove(&self.server)),
        }
        self.credentials.write(&contents)
    }

    fn lock(&self) -> BoxFuture<'_, io::Result<Box<dyn Send>>> {
        let credentials = self.credentials.clone();
        Box::pin(async move {
            let lock = tokio::task::spawn_blocking(move || credentials.lock()).await.map_err(io::Error::other)??;
            Ok(Box::new(lock) as Box<dyn Send>)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use restroy_sdk::ids::SessionId;

    use super::*;

    fn tokens(access: &str) -> Tokens {
        Tokens {
            access_token: access.into(),
            token_type: "Bearer".into(),
            expires_in: 900,
            refresh_token: "r".into(),
            session_id: "00000000-0000-0000-0000-000000000000".parse::<SessionId>().unwrap(),
        }
    }

    #[test]
    fn sessions_are_kept_by_server_and_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = Credentials::new(folder.path().join("a/b"));
        let (one, two) = (credentials.on("http://one/"), credentials.on("http://two/"));
        assert!(one.load().unwrap().is_none());
        one.save(Some(&tokens("1"))).unwrap();
        two.save(Some(&tokens("2"))).unwrap();
        credentials.set_current("http://two/").unwrap();
        assert_eq!(one.load().unwrap().unwrap().access_token, "1");
        one.save(None).unwrap();
        assert!(one.load().unwrap().is_none());
        assert_eq!(two.load().unwrap().unwrap().access_token, "2");
        assert_eq!(credentials.current().unwrap().as_deref(), Some("http://two/"));
        credentials.set_api_token("http://two/", Some("rst_x".into())).unwrap();
        assert_eq!(credentials.api_token("http://two/").unwrap().as_deref(), Some("rst_x"));
        assert!(two.load().unwrap().is_none(), "one or the other");
        two.save(Some(&tokens("3"))).unwrap();
        assert!(credentials.api_token("http://two/").unwrap().is_none());
        let mode = fs::metadata(credentials.file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = Credentials::new(folder.path().to_owned());
        fs::write(credentials.file(), "{").unwrap();
        assert!(credentials.current().unwrap_err().to_string().contains("credentials.json"));
    }

    #[test]
    fn the_folder_is_the_persons() {
        let of = |set: &[(&str, &str)]| {
            let set: BTreeMap<_, _> =
                set.iter().map(|(name, value)| ((*name).to_owned(), PathBuf::from(value))).collect();
            folder(|name| set.get(name).cloned()).ok()
        };
        assert_eq!(of(&[("RESTROY_CONFIG_DIR", "x"), ("HOME", "/h")]), Some("x".into()));
        assert_eq!(of(&[("XDG_CONFIG_HOME", "/c"), ("HOME", "/h")]), Some("/c/restroy".into()));
        assert_eq!(of(&[("XDG_CONFIG_HOME", "c"), ("HOME", "/h")]), Some("/h/.config/restroy".into()));
        assert_eq!(of(&[]), None);
    }
}
