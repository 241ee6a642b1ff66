//! `restroy runs`.

use restroy_client::Paging;
use restroy_sdk::api::{
    run::Run,
    trigger::{CallerKind, Trigger},
};

use crate::{
    args::{Runs, RunsAction},
    context::Context,
    failure::Outcome,
    find,
    output::{moment, print, table, took},
};

/// Lists runs, newest first, or does something with some.
pub(crate) async fn runs(context: &Context, args: &Runs) -> Outcome {
    let client = context.client()?;
    match &args.action {
        Some(RunsAction::Keep { run, undo }) => {
            let id = super::run_id(run)?;
            let run = if *undo { client.unkeep_run(id).await? } else { client.keep_run(id).await? };
            return context.show(&run, |run| {
                let word = if run.kept_at.is_some() { "is kept" } else { "is no longer kept" };
                format!("run {} {word}", run.id)
            });
        }
        Some(RunsAction::Delete { runs }) => {
            for run in runs {
                let id = super::run_id(run)?;
                client.delete_run(id).await?;
                print(&format!("run {id} deleted"));
            }
            return Ok(());
        }
        None => {}
    }
    let paging = Paging { limit: Some(args.limit), cursor: None };
    let mut runs: Vec<Run> = Vec::new();
    if let Some(pipeline) = &args.pipeline {
        let pipeline = find::pipeline(&client, pipeline, None).await?;
        runs = client.runs(pipeline.id, &paging).await?.items;
    } else {
        for team in find::all(async |paging| client.teams(&paging).await).await? {
            runs.extend(client.team_runs(team.id, &paging).await?.items);
        }
        runs.sort_by_key(|run| std::cmp::Reverse(run.created_at));
        runs.truncate(args.limit as usize);
    }
    if context.json {
        return context.show(&runs, |_| String::new());
    }
    if runs.is_empty() {
        print("no runs yet");
        return Ok(());
    }
    let rows = runs.into_iter().map(|run| {
        [
            run.id.to_string(),
            run.pipeline_name.clone(),
            run.version.to_string(),
            status(&run),
            trigger(&run.trigger),
            moment(run.created_at),
            took(run.started_at, run.finished_at),
        ]
    });
    print(&table(["RUN", "PIPELINE", "VERSION", "STATUS", "TRIGGER", "CREATED", "TOOK"], rows));
    Ok(())
}

/// A run's status, and what it waits for.
fn status(run: &Run) -> String {
    let status = crate::follow::status_words(run.status.as_str());
    match &run.waiting {
        Some(waiting) => format!("{status} until {} ({})", moment(waiting.until), waiting.step),
        None => status,
    }
}

/// What started a run.
fn trigger(trigger: &Trigger) -> String {
    match trigger {
        Trigger::Manual { by: CallerKind::User, .. } => "manual".to_owned(),
        Trigger::Manual { by: CallerKind::ApiToken, .. } => "manual (API token)".to_owned(),
        Trigger::Manual { by: CallerKind::ServiceAccount, .. } => "manual (service account)".to_owned(),
        Trigger::Schedule { name, .. } => format!("schedule {name}"),
        Trigger::Unknown => "unknown".to_owned(),
    }
}
