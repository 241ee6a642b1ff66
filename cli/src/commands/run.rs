//! `restroy run`.

use restroy_client::Client;
use restroy_sdk::{api::run::NewRun, ids::RunId, status::RunStatus};

use crate::{
    args::Run,
    context::Context,
    failure::{Failure, Outcome, code},
    find, follow, params,
};

/// Starts a run, and follows it when that is asked for.
pub(crate) async fn run(context: &Context, args: &Run) -> Outcome {
    let client = context.client()?;
    let pipeline = find::pipeline(&client, &args.pipeline, args.board.as_deref()).await?;
    let Some(version) = pipeline.published_version else {
        return Err(Failure::new(format!("`{}` has no published version", pipeline.name))
            .help("push it without --draft: restroy push DIR"));
    };
    // Only the command line's texts need the schema; without any, the server checks alone.
    let schema =
        if args.params.is_empty() { None } else { client.version(pipeline.id, version).await?.definition.params };
    let params = params::collect(&args.params, args.params_file.as_deref(), schema.as_ref())?;
    let run = client.start_run(pipeline.id, &NewRun { params }).await?;
    if args.follow {
        return watch(context, &client, run.id, 0).await;
    }
    context.show(&run, |run| {
        let status = crate::output::status(run.status, context.paint);
        let text = format!("{} version {}: run {} {status}", run.pipeline_name, run.version, run.id);
        context.next(&text, &format!("restroy logs {} --follow", run.id))
    })
}

/// Follows a run; fails when the run does.
pub(super) async fn watch(context: &Context, client: &Client, run: RunId, after: i64) -> Outcome {
    let style = if context.json { follow::Style::Json } else { follow::Style::detect() };
    match follow::run(client, run, after, style).await? {
        follow::FollowEnd::Finished(RunStatus::Succeeded) => Ok(()),
        follow::FollowEnd::Finished(_) => Err(Failure::silent(code::FAILED)),
        follow::FollowEnd::Left => Err(Failure::silent(code::INTERRUPTED)),
    }
}
