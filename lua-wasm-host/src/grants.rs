//! What a script may do outside its sandbox.

use restroy_model::origin::Origin;
use url::Url;

/// Capabilities granted to one run. The default grants nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Where HTTP requests may go. `*` is any http and https address that the implementor of [`Http`](crate::Http)
    /// will connect to.
    pub http: Vec<Origin>,
    /// `kv.*`.
    pub kv: bool,
    /// `email.send`.
    pub email: bool,
    /// `files.*` and `io` on the scratch folder.
    pub files: bool,
}

impl Grants {
    /// Whether a request may go to `url`.
    pub fn allows_url(&self, url: &Url) -> bool {
        self.http.iter().any(|origin| origin.matches(url))
    }
}
