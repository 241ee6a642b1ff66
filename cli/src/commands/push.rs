//! `restroy push`.

use restroy_client::Error;
use restroy_sdk::{
    api::pipeline::PutDefinition,
    problem::{FieldError, ProblemCode},
};
use serde_json::value::to_raw_value;

use super::grant;
use crate::{
    args::Push,
    context::Context,
    diagnostics,
    failure::{Failure, Outcome},
    find,
    folder::Folder,
    style::Paint,
};

/// Makes a folder's pipeline the newest version.
pub(crate) async fn push(context: &Context, args: &Push) -> Outcome {
    let folder = Folder::read(&args.folder)?;
    let document = folder.check().map_err(|faults| invalid_folder(&faults, &folder, NOTHING))?;
    let name = folder.name(&document)?;
    let client = context.client()?;
    let board = find::board(&client, args.board.as_deref()).await?;
    let definition = to_raw_value(&document).map_err(|error| Failure::new(format!("cannot write JSON: {error}")))?;
    let put =
        PutDefinition { definition, files: folder.files.clone(), message: args.message.clone(), publish: !args.draft };
    let found = find::on_board(&client, board.board.id, &name).await?;
    let mut granted = None;
    if !args.draft {
        let published = match &found {
            Some(pipeline) => grant::published(&client, pipeline).await?,
            None => None,
        };
        let otherwise = "pass --draft to save the version without publishing it";
        granted = Some(grant::ask(&document, published.as_ref(), args.yes, otherwise)?);
    }
    let (pipeline, made) = match found {
        Some(pipeline) => (pipeline, false),
        None => (client.create_pipeline(board.board.id, &name).await?, true),
    };
    // What was read here is what was shown and consented to: nothing newer is written over.
    let latest = pipeline.latest_version.unwrap_or(0);
    let version = match client.put_definition(pipeline.id, &put, Some(latest)).await {
        Ok(version) => version,
        Err(error) => {
            if made && error.problem().is_some() {
                // Nothing half-created: the pipeline was made for this definition only. It stays where the answer
                // got lost, or somebody did something with it meanwhile.
                let _ = client.delete_pipeline(pipeline.id, Some(pipeline.revision)).await;
            }
            return Err(push_error(error, &folder, &name));
        }
    };
    if let Some(granted) = &mut granted {
        granted.print_once();
    }
    context.show(&version, |written| {
        let version = &written.version;
        let what = if version.published { "published" } else { "kept as a draft" };
        let mut text = format!("{name}: version {} {what} on board {}", version.number, board.board.name);
        if made {
            text.push_str(" (new pipeline)");
        }
        let params = required(document.params.as_ref());
        let next = format!("restroy run {}{params} --follow", shell_quoted(&name));
        if version.published { context.next(&text, &next) } else { text }
    })
}

/// What a refused push says of itself.
const NOTHING: &str = "nothing was pushed";

/// What is wrong with a folder, at its places; `nothing` says what was not done.
pub(super) fn invalid_folder(found: &[FieldError], folder: &Folder, nothing: &str) -> Failure {
    let count = if found.len() == 1 { "1 fault".to_owned() } else { format!("{} faults", found.len()) };
    Failure::new(format!("{count} in {}; {nothing}", folder.root.display()))
        .details(diagnostics::show(found, folder, Paint::stderr()) + "\n")
}

/// The server's errors, at their places in the folder.
fn push_error(error: Error, folder: &Folder, name: &str) -> Failure {
    match error.problem() {
        Some(problem) if problem.code == ProblemCode::InvalidDefinition && !problem.errors.is_empty() => {
            invalid_folder(&problem.errors, folder, NOTHING)
        }
        Some(problem) if problem.code == ProblemCode::VersionMismatch => {
            Failure::new(format!("somebody else pushed to `{name}` at the same time; {NOTHING}"))
                .help("see what is new with `restroy versions` and `restroy diff`, then push again")
        }
        _ => error.into(),
    }
}

/// The parameters that a run cannot do without, as they are typed.
fn required(schema: Option<&serde_json::Value>) -> String {
    let names = schema.and_then(|schema| schema.get("required")?.as_array());
    let names = names.into_iter().flatten().filter_map(serde_json::Value::as_str);
    names.fold(String::new(), |text, name| text + " --param " + &shell_quoted(&format!("{name}=…")))
}

/// A name as a shell takes it.
fn shell_quoted(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_.=…".contains(c);
    if name.chars().all(plain) { name.to_owned() } else { format!("'{}'", name.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_quoted_for_the_shell() {
        assert_eq!(super::shell_quoted("Hello"), "Hello");
        assert_eq!(super::shell_quoted("Weather report"), "'Weather report'");
        assert_eq!(super::shell_quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn what_a_run_needs_is_in_the_next_command() {
        let schema = serde_json::json!({"required": ["who", "a b"]});
        assert_eq!(super::required(Some(&schema)), " --param who=… --param 'a b=…'");
        assert_eq!(super::required(None), "");
    }
}
