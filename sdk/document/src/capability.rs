//! What a version may use, and whether it is more than another may. What counts is the pipeline, not the single
//! step: whoever may edit it may move a script from one step to another.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{Document, pointer};
use restroy_model::{origin::Origin, problem::FieldError};

/// A capability: something outside the sandbox that a script can use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Capability {
    /// HTTP requests.
    Http {
        /// To this origin, or the subdomains of `https://*.host`.
        origin: String,
    },
    /// A secret.
    Secret {
        /// Of this script.
        script: String,
        /// Its key.
        key: String,
    },
    /// The board's key-value store.
    Kv,
    /// Sending e-mail.
    Email,
    /// The run's scratch folder and artifacts.
    Files,
}

/// A capability of a version and the steps that declare it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CapabilityUse {
    /// The capability.
    #[serde(flatten)]
    pub touch: Capability,
    /// The steps that declare it.
    pub steps: Vec<String>,
}

/// What each step declares, with the place where it does.
fn declared(document: &Document) -> impl Iterator<Item = (&str, String, Capability)> {
    document.steps.iter().flat_map(|(name, step)| {
        let at = pointer::member("/steps", name);
        let allow = pointer::member(&at, "allow");
        let mut found = Vec::new();
        let http = pointer::member(&allow, "http");
        for (index, origin) in step.allow.http.iter().enumerate() {
            found.push((pointer::element(&http, index), Capability::Http { origin: origin.clone() }));
        }
        for (field, has, touch) in [
            ("kv", step.allow.kv, Capability::Kv),
            ("email", step.allow.email, Capability::Email),
            ("files", step.allow.files, Capability::Files),
        ] {
            if has {
                found.push((pointer::member(&allow, field), touch));
            }
        }
        let secrets = pointer::member(&at, "secrets");
        for (index, key) in step.secrets.iter().enumerate() {
            let script = step.kind.script().unwrap_or_default().to_owned();
            found.push((pointer::element(&secrets, index), Capability::Secret { script, key: key.clone() }));
        }
        found.into_iter().map(|(pointer, touch)| (name.as_str(), pointer, touch))
    })
}

/// All that a document's steps may use, each thing once.
pub fn capabilities(document: &Document) -> Vec<CapabilityUse> {
    let mut all: BTreeMap<Capability, Vec<String>> = BTreeMap::new();
    for (step, _, touch) in declared(document) {
        let steps = all.entry(touch).or_default();
        // A step's things come together.
        if steps.last().is_none_or(|last| last != step) {
            steps.push(step.to_owned());
        }
    }
    all.into_iter().map(|(touch, steps)| CapabilityUse { touch, steps }).collect()
}

/// A capability that one version has and another lacks, with the place of its declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    /// The capability.
    pub touch: Capability,
    /// Where, as an answer of the API reports it.
    pub fault: FieldError,
}

/// Every place where `new` may use what `granted` may not. Without a document that was granted that is every place
/// where it touches something.
pub fn escalations(new: &Document, granted: Option<&Document>) -> Vec<Escalation> {
    let place = |(pointer, touch)| Escalation { fault: FieldError::new(pointer, detail(&touch)), touch };
    not_granted(new, granted).map(place).collect()
}

/// What `new` may use and `granted` may not, each thing once.
pub fn escalated_capabilities(new: &Document, granted: Option<&Document>) -> Vec<Capability> {
    let mut touches: Vec<Capability> = not_granted(new, granted).map(|(_, touch)| touch).collect();
    touches.sort_unstable();
    touches.dedup();
    touches
}

fn not_granted(new: &Document, granted: Option<&Document>) -> impl Iterator<Item = (String, Capability)> {
    let granted = GrantedSet::from_document(granted);
    declared(new).filter(move |(.., touch)| !granted.includes(touch)).map(|(_, pointer, touch)| (pointer, touch))
}

fn detail(touch: &Capability) -> String {
    match touch {
        Capability::Http { origin } => format!("`{origin}` was not granted"),
        Capability::Secret { script, key } => format!("the secret `{key}` of `{script}` was not granted"),
        Capability::Kv | Capability::Email | Capability::Files => "was not granted".to_owned(),
    }
}

/// What was granted, so that it is quickly found.
#[derive(Default)]
struct GrantedSet {
    things: HashSet<Capability>,
    /// The origins of more than one host.
    patterns: Vec<Origin>,
}

impl GrantedSet {
    fn from_document(document: Option<&Document>) -> Self {
        let mut granted = Self::default();
        for (.., touch) in document.into_iter().flat_map(declared) {
            let (touch, origin) = normalized(touch);
            granted.patterns.extend(origin.filter(Origin::is_pattern));
            granted.things.insert(touch);
        }
        granted
    }

    /// Whether it takes the wanted in: the very thing, or an origin within a pattern.
    fn includes(&self, wanted: &Capability) -> bool {
        let (wanted, origin) = normalized(wanted.clone());
        self.things.contains(&wanted)
            || origin.is_some_and(|origin| self.patterns.iter().any(|pattern| pattern.covers(&origin)))
    }
}

/// The same thing as it is compared: of an origin the one text that all of its spellings have.
fn normalized(touch: Capability) -> (Capability, Option<Origin>) {
    let Capability::Http { origin } = &touch else { return (touch, None) };
    match origin.parse::<Origin>() {
        Ok(origin) => (Capability::Http { origin: origin.to_string() }, Some(origin)),
        // Nothing but itself.
        Err(_) => (touch, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_json;

    fn document(steps: &serde_json::Value) -> Document {
        read_json(&serde_json::json!({ "restroy": 1, "steps": steps }).to_string()).unwrap()
    }

    fn covers_origin(granted: &str, wanted: &str) -> bool {
        let allowing =
            |origin: &str| document(&serde_json::json!({ "a": { "script": "a.lua", "allow": { "http": [origin] } } }));
        escalations(&allowing(wanted), Some(&allowing(granted))).is_empty()
    }

    #[test]
    fn a_wildcard_covers_its_subdomains_only() {
        assert!(covers_origin("https://a.example", "https://A.example"));
        assert!(covers_origin("https://*.example", "https://a.example"));
        assert!(covers_origin("https://a.example:443", "https://a.example"));
        assert!(covers_origin("https://*.example", "https://*.a.example"));
        assert!(covers_origin("https://*.example:8443", "https://a.example:8443"));
        for (granted, wanted) in [
            ("https://*.example", "https://example"),
            ("https://*.example", "http://a.example"),
            ("https://*.example", "https://a.example:8443"),
            ("https://*.example", "https://evilexample"),
            ("https://a.example", "https://*.example"),
            ("https://a.example", "https://b.example"),
        ] {
            assert!(!covers_origin(granted, wanted), "{granted} {wanted}");
        }
    }

    #[test]
    fn capabilities_are_listed_once_and_compared_as_a_whole() {
        let old = document(&serde_json::json!({
            "a": { "script": "a.lua", "allow": { "kv": true, "http": ["https://x.example"] }, "secrets": ["KEY"] },
        }));
        let new = document(&serde_json::json!({
            "b": { "script": "b.lua", "allow": { "kv": true, "email": true }, "secrets": ["KEY"] },
            "a": { "script": "a.lua", "allow": { "kv": true }, "secrets": ["KEY", "OTHER"] },
        }));
        let kv = capabilities(&new).into_iter().find(|capability| capability.touch == Capability::Kv).unwrap();
        assert_eq!(kv.steps, ["b", "a"]);
        let pointers: Vec<_> = escalations(&new, Some(&old)).into_iter().map(|place| place.fault.pointer).collect();
        assert_eq!(pointers, ["/steps/b/allow/email", "/steps/b/secrets/0", "/steps/a/secrets/1"]);
        assert_eq!(escalations(&old, None).len(), 3);
        assert!(escalations(&old, Some(&old)).is_empty());
    }
}
