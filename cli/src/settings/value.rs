//! What settings are made of: how each kind of value is read, and how it may be shown.

use std::{borrow::Cow, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use restroy_control_plane::secrets::{KeyRing, MasterKey};
use restroy_run_queue::redis::Prefix;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

/// What stands for what must not be seen.
const MASKED: &str = "********";
/// The least that a signing key must have, in bytes (RFC 7518, section 3.2).
const MIN_TOKEN_KEY: usize = 32;

/// A kind of value.
pub(crate) trait Value: Sized {
    /// Must not be seen: no flag takes it, and it is shown masked.
    const SECRET: bool = false;
    /// Its flag alone means yes.
    const SWITCH: bool = false;

    /// Reads it; the error completes "RESTROY_X: …" and never repeats a secret.
    fn read(text: &str) -> Result<Self, String>;

    /// As `restroy config` shows it.
    fn shown(&self) -> toml::Value;
}

impl Value for SocketAddr {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("`{text}` is not an address and port, such as 127.0.0.1:8080"))
    }

    fn shown(&self) -> toml::Value {
        self.to_string().into()
    }
}

impl Value for PathBuf {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("the path is empty".to_owned()) } else { Ok(text.into()) }
    }

    fn shown(&self) -> toml::Value {
        self.display().to_string().into()
    }
}

impl Value for bool {
    const SWITCH: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("`{text}` is neither `true` nor `false`"))
    }

    fn shown(&self) -> toml::Value {
        (*self).into()
    }
}

impl Value for String {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned()) }
    }

    fn shown(&self) -> toml::Value {
        self.as_str().into()
    }
}

/// A number within bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count<const MIN: u32, const MAX: u32>(pub(crate) u32);

impl<const MIN: u32, const MAX: u32> Value for Count<MIN, MAX> {
    fn read(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => Err(format!("it must be a number from {MIN} to {MAX}, not `{text}`")),
        }
    }

    fn shown(&self) -> toml::Value {
        i64::from(self.0).into()
    }
}

/// A span of time, up to an hour: `500ms`, `30s`, `5m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl Value for Span {
    fn read(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a time up to an hour, such as 500ms, 30s or 5m");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let millis = match unit {
            "ms" => number,
            "s" => number.saturating_mul(1_000),
            "m" => number.saturating_mul(60_000),
            _ => return Err(wrong()),
        };
        if millis > 3_600_000 { Err(wrong()) } else { Ok(Self(Duration::from_millis(millis))) }
    }

    fn shown(&self) -> toml::Value {
        let millis = self.0.as_millis();
        let text = if millis.is_multiple_of(1_000) { format!("{}s", millis / 1_000) } else { format!("{millis}ms") };
        text.into()
    }
}

/// An address that people use: `https://restroy.example.com`, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebUrl(pub(crate) String);

impl Value for WebUrl {
    fn read(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an http or https address, such as https://restroy.example.com");
        let url = Url::parse(text).map_err(|_| wrong())?;
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        if !matches!(url.scheme(), "http" | "https") || !plain || url.fragment().is_some() {
            return Err(wrong());
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    fn shown(&self) -> toml::Value {
        self.0.as_str().into()
    }
}

/// Origins, with commas between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origins(pub(crate) Vec<String>);

impl Value for Origins {
    fn read(text: &str) -> Result<Self, String> {
        let origins = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        origins.map(|origin| WebUrl::read(origin).map(|url| url.0)).collect::<Result<_, _>>().map(Self)
    }

    fn shown(&self) -> toml::Value {
        self.0.clone().into()
    }
}

/// An amount of bytes: `448MiB`, `2GiB`, or a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes<const MIN: u64>(pub(crate) u64);

impl<const MIN: u64> Value for Bytes<MIN> {
    fn read(text: &str) -> Result<Self, String> {
        let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
        let (number, unit) =
            units.into_iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit))).unwrap_or((text, 1_u64));
        let bytes = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        match bytes {
            Some(bytes) if bytes >= MIN => Ok(Self(bytes)),
            Some(_) => Err(format!("`{text}` is too little: at least {MIN} bytes")),
            None => Err(format!("`{text}` is not an amount of bytes, such as 448MiB or 2GiB")),
        }
    }

    fn shown(&self) -> toml::Value {
        let text = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
            .into_iter()
            .find_map(|(unit, name)| self.0.is_multiple_of(unit).then(|| format!("{}{name}", self.0 / unit)));
        text.unwrap_or_else(|| self.0.to_string()).into()
    }
}

impl Value for Prefix {
    fn read(text: &str) -> Result<Self, String> {
        Self::new(text).map_err(|error| format!("`{text}`: {error}"))
    }

    fn shown(&self) -> toml::Value {
        self.as_str().into()
    }
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// An object a line, for programs.
    Json,
    /// For people.
    Text,
}

impl Value for LogFormat {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(format!("`{text}` is neither `json` nor `text`")),
        }
    }

    fn shown(&self) -> toml::Value {
        match self {
            Self::Json => "json".into(),
            Self::Text => "text".into(),
        }
    }
}

/// Where scripts run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IsolationMode {
    /// On threads of the service.
    Thread,
    /// In worker processes.
    Process,
}

impl Value for IsolationMode {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "thread" => Ok(Self::Thread),
            "process" if cfg!(target_os = "linux") => Ok(Self::Process),
            "process" => Err("worker processes take Linux: set it to `thread`".to_owned()),
            _ => Err(format!("`{text}` is neither `process` nor `thread`")),
        }
    }

    fn shown(&self) -> toml::Value {
        match self {
            Self::Thread => "thread".into(),
            Self::Process => "process".into(),
        }
    }
}

/// A text that must not be seen.
#[derive(Clone)]
pub(crate) struct SecretText(SecretString);

impl SecretText {
    /// The text itself.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASKED)
    }
}

impl Value for SecretText {
    const SECRET: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        // A token goes into a header: what cannot is not a token.
        if text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.is_empty() {
            Ok(Self(text.into()))
        } else {
            Err("it is empty, or has spaces or other characters that do not belong there".to_owned())
        }
    }

    fn shown(&self) -> toml::Value {
        MASKED.into()
    }
}

/// The address of a service, with the password for it.
#[derive(Clone)]
pub(crate) struct SecretUrl(SecretString);

impl SecretUrl {
    /// The address, password and all.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    fn masked(&self) -> String {
        let Ok(mut url) = Url::parse(self.expose()) else { return MASKED.to_owned() };
        if url.password().is_some() {
            // Refused for addresses without a host only, which have no password either.
            let _ = url.set_password(Some(MASKED));
        }
        // A password may also be in a parameter.
        let harmless = |(name, _): &(Cow<'_, str>, Cow<'_, str>)| {
            ["pass", "secret", "key"].iter().all(|word| !name.to_ascii_lowercase().contains(word))
        };
        if !url.query_pairs().all(|pair| harmless(&pair)) {
            url.set_query(Some(MASKED));
        }
        url.to_string()
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Value for SecretUrl {
    const SECRET: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        match Url::parse(text) {
            Ok(_) => Ok(Self(text.into())),
            Err(error) => Err(format!(
                "it is not a URL ({error}); `/`, `@` and `:` in a password are written as %2F, %40 and %3A"
            )),
        }
    }

    fn shown(&self) -> toml::Value {
        self.masked().into()
    }
}

/// The master keys, the newest first.
#[derive(Clone)]
pub(crate) struct MasterKeys(SecretString);

impl MasterKeys {
    /// The ring they make.
    pub(crate) fn ring(&self) -> Result<KeyRing, String> {
        let keys = self.0.expose_secret().split(|c: char| c == ',' || c.is_whitespace()).filter(|key| !key.is_empty());
        let keys = keys.map(MasterKey::parse).collect::<Result<Vec<_>, _>>();
        keys.and_then(KeyRing::new).map_err(|error| {
            format!("{error}; write `id:key`, the key as 64 hex digits, the newest first, with commas between several")
        })
    }
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASKED)
    }
}

impl Value for MasterKeys {
    const SECRET: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        let keys = Self(text.into());
        keys.ring().map(|_| keys)
    }

    fn shown(&self) -> toml::Value {
        MASKED.into()
    }
}

/// The key that signs access tokens.
#[derive(Clone)]
pub(crate) struct TokenKey(SecretString);

impl TokenKey {
    /// Its bytes.
    pub(crate) fn expose(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASKED)
    }
}

impl Value for TokenKey {
    const SECRET: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        if text.len() < MIN_TOKEN_KEY {
            return Err(format!("it has {} bytes, and must have at least {MIN_TOKEN_KEY}", text.len()));
        }
        Ok(Self(text.into()))
    }

    fn shown(&self) -> toml::Value {
        MASKED.into()
    }
}
