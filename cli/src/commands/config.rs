//! `restroy secret set`, `restroy config set | list | unset`.

use restroy_sdk::{
    api::script::{ConfigurationEntry, PutConfiguration},
    client::Client,
    problem::ProblemCode,
};
use serde::Serialize;

use crate::{
    args::{Configure, Secret},
    context::Context,
    failure::{Failure, Outcome},
    find, output, prompt,
};

/// Sets a secret.
pub(crate) async fn secret(context: &Context, secret: &Secret) -> Outcome {
    let Secret::Set { pipeline, script, key } = secret;
    let value = if prompt::is_attended() { prompt::secret(&format!("Value of {key}"), "")? } else { prompt::stdin()? };
    set(context, &context.client()?, [pipeline, script, key], PutConfiguration { value, secret: true }).await
}

/// Changes or lists the configuration of scripts.
pub(crate) async fn configure(context: &Context, action: &Configure) -> Outcome {
    let client = context.client()?;
    match action {
        // Those are about services, and ask no server.
        Configure::ControlPlane(_) | Configure::Executor(_) => Ok(()),
        Configure::Set { pipeline, script, key, value } => {
            let value = PutConfiguration { value: value.clone(), secret: false };
            set(context, &client, [pipeline, script, key], value).await
        }
        Configure::List { pipeline, script } => list(context, &client, pipeline, script.as_deref()).await,
        Configure::Unset { pipeline, script, key } => {
            let pipeline = find::pipeline(&client, pipeline, None).await?;
            let script = find::script(&client, &pipeline, script).await?;
            client.delete_configuration(script.id, key).await.map_err(|error| match error.problem() {
                Some(problem) if problem.code == ProblemCode::NotFound => {
                    Failure::new(format!("`{key}` of {} is not set", script.path))
                        .help("`restroy config list PIPELINE` lists what is")
                }
                _ => error.into(),
            })?;
            let unset = serde_json::json!({ "script": script.path, "key": key });
            context.show(&unset, |_| format!("{key} of {} is not set any more", script.path))
        }
    }
}

async fn set(
    context: &Context,
    client: &Client,
    [pipeline, script, key]: [&str; 3],
    value: PutConfiguration,
) -> Outcome {
    if key.is_empty() {
        return Err(Failure::usage("the key is empty").help("a key has letters, digits and `_`, such as API_KEY"));
    }
    let pipeline = find::pipeline(client, pipeline, None).await?;
    let script = find::script(client, &pipeline, script).await?;
    if let Some(number) = pipeline.published_version.filter(|_| !value.secret) {
        let steps = client.version(pipeline.id, number).await?.definition.steps;
        let mut declared = steps
            .values()
            .filter(|step| step.script.as_deref() == Some(script.path.as_str()))
            .flat_map(|step| &step.secrets);
        if declared.any(|secret| secret == key) {
            return Err(Failure::usage(format!(
                "`{key}` is declared as a secret; a plain value would be shown to others"
            ))
            .help("set it with `restroy secret set`, which takes the value from standard input"));
        }
    }
    let entry = client.put_configuration(script.id, key, &value).await?;
    context.show(&entry, |entry| {
        let what = if entry.secret { "secret" } else { "value" };
        format!("{what} {key} of {} set (revision {}); runs that start from now on see it", script.path, entry.revision)
    })
}

/// What is set for a script.
#[derive(Serialize)]
struct Entry {
    script: String,
    #[serde(flatten)]
    entry: ConfigurationEntry,
}

async fn list(context: &Context, client: &Client, pipeline: &str, script: Option<&str>) -> Outcome {
    let pipeline = find::pipeline(client, pipeline, None).await?;
    let scripts = match script {
        Some(script) => vec![find::script(client, &pipeline, script).await?],
        None => find::all(async |paging| client.scripts(pipeline.id, &paging).await).await?,
    };
    let mut entries = Vec::new();
    for script in scripts {
        let of_script = find::all(async |paging| client.configuration(script.id, &paging).await).await?;
        entries.extend(of_script.into_iter().map(|entry| Entry { script: script.path.clone(), entry }));
    }
    if context.json {
        return context.show(&entries, |_| String::new());
    }
    if entries.is_empty() {
        output::print("nothing is set; the document's defaults hold");
        return Ok(());
    }
    let rows = entries.into_iter().map(|Entry { script, entry }| {
        let value = entry.value.unwrap_or_else(|| "(secret)".to_owned());
        [script, entry.key, value, entry.revision.to_string(), output::moment(entry.updated_at)]
    });
    output::print(&output::table(["SCRIPT", "KEY", "VALUE", "REVISION", "CHANGED"], rows));
    Ok(())
}
