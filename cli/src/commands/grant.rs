//! What a version may use beyond the published one: shown, and asked about, before it is published.

use std::io::Write as _;

use restroy_client::Client;
use restroy_sdk::{
    api::pipeline::Pipeline,
    document::{Capability, Document, escalated_capabilities},
};

use crate::{
    failure::{Failure, Outcome},
    prompt,
    style::{Paint, clean},
};

/// The document that the pipeline's runs start with.
pub(super) async fn published(client: &Client, pipeline: &Pipeline) -> Outcome<Option<Document>> {
    match pipeline.published_version {
        Some(number) => Ok(Some(client.version(pipeline.id, number).await?.definition)),
        None => Ok(None),
    }
}

/// What publishing `new` grants that `published` did not have. Where somebody is there to answer, and was not told
/// to be left alone, it is shown, and nothing continues without their consent; `otherwise` says what else there is.
pub(super) fn ask(new: &Document, published: Option<&Document>, yes: bool, otherwise: &str) -> Outcome<GrantPrompt> {
    let mut granted =
        GrantPrompt { touches: escalated_capabilities(new, published), first: published.is_none(), told: false };
    if granted.touches.is_empty() || yes || !prompt::is_interactive() {
        return Ok(granted);
    }
    granted.print_once();
    if prompt::confirm("publish it", "say --yes")? {
        return Ok(granted);
    }
    Err(Failure::new("nothing was published").help(otherwise))
}

/// What a version may use beyond the one before.
pub(super) struct GrantPrompt {
    touches: Vec<Capability>,
    /// There was none before.
    first: bool,
    told: bool,
}

impl GrantPrompt {
    /// Shows it, once: at the latest when it was granted.
    pub(super) fn print_once(&mut self) {
        if self.touches.is_empty() || std::mem::replace(&mut self.told, true) {
            return;
        }
        let head = if self.first {
            "runs of this pipeline are allowed to:"
        } else {
            "this version is allowed to do more than the published one:"
        };
        let mut err = std::io::stderr().lock();
        let _ = writeln!(err, "{}", Paint::stderr().yellow(head));
        for touch in &self.touches {
            let _ = writeln!(err, "  {}", describe(touch));
        }
    }
}

/// A thing that may be touched, for people.
pub(super) fn describe(touch: &Capability) -> String {
    match touch {
        Capability::Http { origin } => format!("send HTTP requests to {}", clean(origin)),
        Capability::Secret { script, key } => format!("read the secret {} of {}", clean(key), clean(script)),
        Capability::Kv => "the board's key-value store".to_owned(),
        Capability::Email => "e-mail, sent".to_owned(),
        Capability::Files => "use files of the run and keep artifacts".to_owned(),
    }
}
