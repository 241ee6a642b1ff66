//! `restroy push`.

use restroy_sdk::{
    api::pipeline::{Pipeline, PutDefinition},
    client::{Client, Error},
    problem::{Fault, ProblemCode},
};
use serde_json::value::to_raw_value;

use crate::{
    args::Push,
    context::Context,
    failure::{Failure, Outcome},
    faults, find,
    folder::Folder,
    style::Paint,
};

/// Makes a folder's pipeline the newest version.
pub(crate) async fn push(context: &Context, args: &Push) -> Outcome {
    let folder = Folder::read(&args.folder)?;
    let document = folder.check().map_err(|faults| faulty(&faults, &folder))?;
    let name = folder.name(&document)?;
    let client = context.client()?;
    let board = find::board(&client, args.board.as_deref()).await?;
    let definition = to_raw_value(&document).map_err(|error| Failure::new(format!("cannot write JSON: {error}")))?;
    let put =
        PutDefinition { definition, files: folder.files.clone(), message: args.message.clone(), publish: !args.draft };
    let (pipeline, made) = pipeline(&client, &board, &name).await?;
    let version = match client.put_definition(pipeline.id, &put).await {
        Ok(version) => version,
        Err(error) => {
            if made {
                // Nothing half-created: the pipeline was made for this definition only.
                let _ = client.delete_pipeline(pipeline.id).await;
            }
            return Err(refused(error, &folder));
        }
    };
    context.show(&version, |version| {
        let what = if version.published { "published" } else { "kept as a draft" };
        let mut text = format!("{name}: version {} {what} on board {}", version.number, board.board.name);
        if made {
            text.push_str(" (new pipeline)");
        }
        let params = required(document.params.as_ref());
        let next = format!("restroy run {}{params} --follow", quoted(&name));
        if version.published { format!("{text}\n  {} {next}", context.paint.cyan("next:")) } else { text }
    })
}

/// The board's pipeline of that name, made when it is not there; whether it was made.
async fn pipeline(client: &Client, board: &find::TeamBoard, name: &str) -> Outcome<(Pipeline, bool)> {
    let pipelines = find::all(async |paging| client.pipelines(board.board.id, &paging).await).await?;
    if let Some(pipeline) = pipelines.into_iter().find(|pipeline| pipeline.name == name) {
        return Ok((pipeline, false));
    }
    Ok((client.create_pipeline(board.board.id, name).await?, true))
}

fn faulty(found: &[Fault], folder: &Folder) -> Failure {
    let count = if found.len() == 1 { "1 fault".to_owned() } else { format!("{} faults", found.len()) };
    Failure::new(format!("{count} in {}; nothing was pushed", folder.root.display()))
        .details(faults::show(found, folder, Paint::stderr()) + "\n")
}

/// The server's faults, at their places in the folder.
fn refused(error: Error, folder: &Folder) -> Failure {
    match error.problem() {
        Some(problem) if problem.code == ProblemCode::InvalidDefinition && !problem.errors.is_empty() => {
            faulty(&problem.errors, folder)
        }
        _ => error.into(),
    }
}

/// The parameters that a run cannot do without, as they are typed.
fn required(schema: Option<&serde_json::Value>) -> String {
    let names = schema.and_then(|schema| schema.get("required")?.as_array());
    let names = names.into_iter().flatten().filter_map(serde_json::Value::as_str);
    names.fold(String::new(), |text, name| text + " --param " + &quoted(&format!("{name}=…")))
}

/// A name as a shell takes it.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_.=…".contains(c);
    if name.chars().all(plain) { name.to_owned() } else { format!("'{}'", name.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_quoted_for_the_shell() {
        assert_eq!(super::quoted("Hello"), "Hello");
        assert_eq!(super::quoted("Weather report"), "'Weather report'");
        assert_eq!(super::quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn what_a_run_needs_is_in_the_next_command() {
        let schema = serde_json::json!({"required": ["who", "a b"]});
        assert_eq!(super::required(Some(&schema)), " --param who=… --param 'a b=…'");
        assert_eq!(super::required(None), "");
    }
}
