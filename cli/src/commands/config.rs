//! `restroy secrets set | list | remove`, `restroy config set | list | unset`: what scripts are configured
//! with, their own and that of boards and teams.

use restroy_client::{Client, ConfigurationOwner};
use restroy_sdk::{
    api::script::{ConfigurationEntry, PutConfiguration},
    problem::ProblemCode,
};
use serde::Serialize;

use crate::{
    args::{Configure, OwnerArgs, Secrets},
    context::Context,
    failure::{Failure, Outcome},
    find,
    find::team,
    output, prompt,
};

/// Sets, lists and removes secrets.
pub(crate) async fn secrets(context: &Context, action: &Secrets) -> Outcome {
    let client = context.client()?;
    match action {
        Secrets::Set { names, whose, usable_only } => {
            let (names, [key]) = split(names)?;
            // Before anything is typed that would be typed in vain.
            let place = ConfigTarget::find(&client, whose, names).await?;
            let value = if prompt::is_interactive() {
                prompt::secret(&format!("Value of {key}"), "")?
            } else {
                prompt::stdin()?
            };
            set(context, &client, &place, key, PutConfiguration { value, secret: true, usable_only: *usable_only })
                .await
        }
        Secrets::List { names, whose } => list(context, &client, whose, names, true).await,
        Secrets::Remove { names, whose } => {
            let (names, [key]) = split(names)?;
            unset(context, &client, &ConfigTarget::find(&client, whose, names).await?, key).await
        }
    }
}

/// Changes or lists the configuration of scripts, boards and teams.
pub(crate) async fn configure(context: &Context, action: &Configure) -> Outcome {
    let client = context.client()?;
    match action {
        // Those are about services, and ask no server.
        Configure::ControlPlane(_) | Configure::Executor(_) => Ok(()),
        Configure::Set { names, whose } => {
            let (names, [key, value]) = split(names)?;
            let place = ConfigTarget::find(&client, whose, names).await?;
            set(
                context,
                &client,
                &place,
                key,
                PutConfiguration { value: value.clone(), secret: false, usable_only: false },
            )
            .await
        }
        Configure::List { names, whose } => list(context, &client, whose, names, false).await,
        Configure::Unset { names, whose } => {
            let (names, [key]) = split(names)?;
            unset(context, &client, &ConfigTarget::find(&client, whose, names).await?, key).await
        }
    }
}

/// The last names apart from those before them.
fn split<const N: usize>(names: &[String]) -> Outcome<(&[String], &[String; N])> {
    names.split_last_chunk().ok_or_else(|| Failure::usage("a name is missing"))
}

/// Whose configuration it is.
struct ConfigTarget {
    of: ConfigurationOwner,
    /// What it is called.
    name: String,
    /// The secrets that the published version of a script's pipeline declares for it.
    declared: Vec<String>,
}

impl ConfigTarget {
    /// A script by `[pipeline, script]`, or what the flags name.
    async fn find(client: &Client, whose: &OwnerArgs, names: &[String]) -> Outcome<Self> {
        let shared = |of, name| Self { of, name, declared: Vec::new() };
        match (&whose.board, &whose.team, names) {
            (Some(board), None, []) => {
                let board = find::board(client, Some(board)).await?.board;
                Ok(shared(board.id.into(), format!("board {}", board.name)))
            }
            (None, Some(wanted), []) => {
                let team = team(client, Some(wanted)).await?;
                Ok(shared(team.id.into(), format!("team {}", team.name)))
            }
            (None, None, [pipeline, script]) => {
                let pipeline = find::pipeline(client, pipeline, None).await?;
                let script = find::script(client, &pipeline, script).await?;
                let mut declared = Vec::new();
                if let Some(number) = pipeline.published_version {
                    let steps = client.version(pipeline.id, number).await?.definition.steps.into_values();
                    declared = steps
                        .filter(|step| step.kind.script() == Some(script.path.as_str()))
                        .flat_map(|step| step.secrets)
                        .collect();
                }
                Ok(Self { of: script.id.into(), name: script.path, declared })
            }
            _ => Err(Failure::usage("no script, board or team given")
                .help("name a pipeline and one of its scripts, or --board NAME, or --team NAME")),
        }
    }
}

async fn set(context: &Context, client: &Client, place: &ConfigTarget, key: &str, value: PutConfiguration) -> Outcome {
    if key.is_empty() {
        return Err(Failure::usage("the key is empty").help("a key has letters, digits and `_`, such as API_KEY"));
    }
    if !value.secret && place.declared.iter().any(|secret| secret == key) {
        return Err(Failure::usage(format!("`{key}` is declared as a secret; a plain value would be shown to others"))
            .help("set it with `restroy secrets set`, which takes the value from standard input"));
    }
    let entry = client.put_configuration(place.of, key, &value).await?;
    context.show(&entry, |entry| {
        let what = if entry.secret { "secret" } else { "value" };
        format!("{what} {key} of {} set (revision {}); new runs will use it", place.name, entry.revision)
    })
}

async fn unset(context: &Context, client: &Client, place: &ConfigTarget, key: &str) -> Outcome {
    client.delete_configuration(place.of, key).await.map_err(|error| match error.problem() {
        Some(problem) if problem.code == ProblemCode::NotFound => {
            Failure::new(format!("`{key}` of {} is not set", place.name)).help("`restroy config list` lists what is")
        }
        _ => error.into(),
    })?;
    let unset = serde_json::json!({ "of": place.name, "key": key });
    context.show(&unset, |_| format!("{key} of {} is no longer set", place.name))
}

/// What is set somewhere.
#[derive(Serialize)]
struct ListedEntry {
    of: String,
    #[serde(flatten)]
    entry: ConfigurationEntry,
}

async fn list(context: &Context, client: &Client, whose: &OwnerArgs, names: &[String], secrets: bool) -> Outcome {
    let places: Vec<(String, ConfigurationOwner)> = match names {
        [pipeline] if whose.board.is_none() && whose.team.is_none() => {
            let pipeline = find::pipeline(client, pipeline, None).await?;
            let scripts = find::all(async |paging| client.scripts(pipeline.id, &paging).await).await?;
            scripts.into_iter().map(|script| (script.path, script.id.into())).collect()
        }
        names => {
            let place = ConfigTarget::find(client, whose, names).await?;
            vec![(place.name, place.of)]
        }
    };
    let mut entries = Vec::new();
    for (name, of) in places {
        let found = find::all(async |paging| client.configuration(of, &paging).await).await?;
        let found = found.into_iter().filter(|entry| entry.secret || !secrets);
        entries.extend(found.map(|entry| ListedEntry { of: name.clone(), entry }));
    }
    if context.json {
        return context.show(&entries, |_| String::new());
    }
    if entries.is_empty() {
        output::print(if secrets { "no secrets are set" } else { "nothing is set; the document's defaults hold" });
        return Ok(());
    }
    let rows = entries.into_iter().map(|ListedEntry { of, entry }| {
        let hidden = if entry.usable_only { "(secret, usable only)" } else { "(secret)" };
        let value = entry.value.unwrap_or_else(|| hidden.to_owned());
        [of, entry.key, value, entry.revision.to_string(), output::moment(entry.updated_at)]
    });
    output::print(&output::table(["OF", "KEY", "VALUE", "REVISION", "CHANGED"], rows));
    Ok(())
}
