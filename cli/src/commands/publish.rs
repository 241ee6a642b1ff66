//! `restroy publish`.

use super::grant;
use crate::{args::Publish, context::Context, failure::Outcome, find};

/// Lets runs start with a version from now on.
pub(crate) async fn publish(context: &Context, args: &Publish) -> Outcome {
    let client = context.client()?;
    let pipeline = find::pipeline(&client, &args.pipeline, args.board.as_deref()).await?;
    let wanted = client.version(pipeline.id, args.version).await?;
    let published = grant::published(&client, &pipeline).await?;
    let otherwise = "runs keep using the published version";
    let mut granted = grant::ask(&wanted.definition, published.as_ref(), args.yes, otherwise)?;
    let written = client.publish(pipeline.id, args.version).await?;
    granted.print_once();
    context.show(&written, |written| format!("{}: version {} published", pipeline.name, written.version.number))
}
