//! `restroy versions`.

use restroy_client::Paging;

use crate::{
    args::Versions,
    context::Context,
    failure::Outcome,
    find,
    output::{moment, print, table},
};

/// Lists the versions of a pipeline, newest first.
pub(crate) async fn versions(context: &Context, args: &Versions) -> Outcome {
    let client = context.client()?;
    let pipeline = find::pipeline(&client, &args.pipeline, args.board.as_deref()).await?;
    let paging = Paging { limit: Some(args.limit), cursor: None };
    let versions = client.versions(pipeline.id, &paging).await?.items;
    if context.json {
        return context.show(&versions, |_| String::new());
    }
    if versions.is_empty() {
        print("no versions yet");
        return Ok(());
    }
    let rows = versions.into_iter().map(|version| {
        let note = if version.published { "published" } else { "" };
        [version.number.to_string(), note.to_owned(), moment(version.created_at), version.message]
    });
    print(&table(["VERSION", "", "CREATED", "MESSAGE"], rows));
    Ok(())
}
