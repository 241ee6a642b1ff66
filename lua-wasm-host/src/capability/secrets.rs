//! Secrets.

use std::{collections::BTreeMap, fmt};

/// The secrets that a script may use, by key.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, SecretValue>);

#[derive(Clone, PartialEq, Eq)]
struct SecretValue {
    value: String,
    usable_only: bool,
}

impl Secrets {
    /// Adds a secret that the script may read.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), SecretValue { value: value.into(), usable_only: false });
    }

    /// Adds a secret that the script may use by reference only.
    pub fn insert_usable_only(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), SecretValue { value: value.into(), usable_only: true });
    }

    /// The value of a secret; none if the script has no such secret.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|secret| secret.value.as_str())
    }

    /// Whether the script may use a secret by reference only.
    pub(crate) fn is_usable_only(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|secret| secret.usable_only)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
