//! `restroy retention`.

use restroy_sdk::api::pipeline::{PipelinePatch, Retention};

use crate::{args, context::Context, failure::Outcome, find};

/// Shows how long a pipeline's runs are kept, or changes it.
pub(crate) async fn retention(context: &Context, args: &args::Retention) -> Outcome {
    let client = context.client()?;
    let mut pipeline = find::pipeline(&client, &args.pipeline, args.board.as_deref()).await?;
    if args.reset || args.days.is_some() || args.runs.is_some() {
        let retention = if args.reset {
            Retention::default()
        } else {
            let before = pipeline.retention;
            Retention { days: args.days.or(before.days), runs: args.runs.or(before.runs) }
        };
        let patch = PipelinePatch { retention: Some(retention), ..PipelinePatch::default() };
        pipeline = client.update_pipeline(pipeline.id, &patch).await?;
    }
    let limits = client.limits(pipeline.team_id).await?.limits;
    let most = |name: &str| limits.iter().find(|limit| limit.name == name).map(|limit| limit.value);
    let said = |own: Option<i64>, name: &str| match (own, most(name)) {
        (Some(own), Some(most)) => own.min(most).to_string(),
        (own, most) => own.or(most).map_or_else(|| "?".to_owned(), |value| value.to_string()),
    };
    context.show(&pipeline.retention, |own| {
        format!(
            "{}: runs are kept for {} days after they ended, at most {} of them",
            pipeline.name,
            said(own.days, "retention_days"),
            said(own.runs, "retention_runs")
        )
    })
}
