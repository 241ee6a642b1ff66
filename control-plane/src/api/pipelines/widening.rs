//! Who may let a pipeline do more. What the last published version declares was granted; a version
//! that declares more takes `capability.grant` to publish.
//!
//! What counts is the pipeline, not the single step: whoever may edit it may move a script from one
//! step to another.
//!
//! A script's own secret was set for it. One that the board or the team shares is within reach of whoever
//! names it, so naming it is widening too.

use restroy_sdk::{
    document::{Allow, Document},
    problem::{Fault, Problem, ProblemCode},
};

use crate::{
    auth::{Permission, Scope},
    error::ApiResult,
};

/// 403 with every place where `new` declares what `published` does not, unless the caller may
/// grant. `shared` names the secrets of the board and the team.
pub(super) fn check(scope: &Scope, new: &Document, published: Option<&Document>, shared: &[String]) -> ApiResult<()> {
    if scope.holds(Permission::CapabilityGrant) {
        return Ok(());
    }
    let mut faults = widened(new, &granted(published));
    faults.extend(secrets(new, published, shared));
    if faults.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "This version may do more than the published one; to publish it takes the permission `{}`.",
        Permission::CapabilityGrant
    );
    Err(Problem::new(ProblemCode::Forbidden).detail(detail).errors(faults).into())
}

/// All that a version declares.
fn granted(document: Option<&Document>) -> Allow {
    let mut all = Allow::default();
    for step in document.iter().flat_map(|document| document.steps.values()) {
        all.http.extend(step.allow.http.iter().cloned());
        all.kv |= step.allow.kv;
        all.email |= step.allow.email;
        all.files |= step.allow.files;
    }
    all
}

fn widened(new: &Document, granted: &Allow) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, step) in &new.steps {
        let at = format!("/steps/{}/allow", name.replace('~', "~0").replace('/', "~1"));
        for (index, origin) in step.allow.http.iter().enumerate() {
            if !granted.http.iter().any(|granted| covers(granted, origin)) {
                faults.push(Fault::new(format!("{at}/http/{index}"), format!("`{origin}` was not granted")));
            }
        }
        for (field, wants, has) in [
            ("kv", step.allow.kv, granted.kv),
            ("email", step.allow.email, granted.email),
            ("files", step.allow.files, granted.files),
        ] {
            if wants && !has {
                faults.push(Fault::new(format!("{at}/{field}"), "was not granted"));
            }
        }
    }
    faults
}

/// The shared secrets that `new` names and `published` does not.
fn secrets(new: &Document, published: Option<&Document>, shared: &[String]) -> Vec<Fault> {
    let named = |secret: &String| {
        published.iter().flat_map(|document| document.steps.values()).any(|step| step.secrets.contains(secret))
    };
    let mut faults = Vec::new();
    for (name, step) in &new.steps {
        for (index, secret) in step.secrets.iter().enumerate() {
            if shared.contains(secret) && !named(secret) {
                let at = name.replace('~', "~0").replace('/', "~1");
                let detail = format!("the secret `{secret}` of the board or the team was not granted");
                faults.push(Fault::new(format!("/steps/{at}/secrets/{index}"), detail));
            }
        }
    }
    faults
}

/// Whether what was granted takes the wanted in: the same origin, or a subdomain of a wildcard.
fn covers(granted: &str, wanted: &str) -> bool {
    if granted.eq_ignore_ascii_case(wanted) {
        return true;
    }
    let parts = |origin: &str| {
        let origin = origin.to_ascii_lowercase();
        origin.split_once("://").map(|(scheme, host)| (scheme.to_owned(), host.to_owned()))
    };
    let (Some((scheme, host)), Some((wanted_scheme, wanted_host))) = (parts(granted), parts(wanted)) else {
        return false;
    };
    let Some(parent) = host.strip_prefix('*') else { return false };
    scheme == wanted_scheme
        && parent.starts_with('.')
        && wanted_host.ends_with(parent)
        && wanted_host.len() > parent.len()
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_wildcard_covers_its_subdomains_only() {
        assert!(covers("https://a.example", "https://A.example"));
        assert!(covers("https://*.example", "https://a.example"));
        assert!(covers("https://*.example", "https://*.a.example"));
        assert!(covers("https://*.example:8443", "https://a.example:8443"));
        for (granted, wanted) in [
            ("https://*.example", "https://example"),
            ("https://*.example", "http://a.example"),
            ("https://*.example", "https://a.example:8443"),
            ("https://*.example", "https://evilexample"),
            ("https://a.example", "https://*.example"),
            ("https://a.example", "https://b.example"),
        ] {
            assert!(!covers(granted, wanted), "{granted} {wanted}");
        }
    }
}
