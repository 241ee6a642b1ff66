//! `restroy logs` and `restroy cancel`.

use super::{run::watch, run_id};
use crate::{
    args::Logs,
    context::Context,
    failure::{Failure, Outcome},
    follow::{PlainPrinter, RunView},
    output,
};

/// Shows what a run printed and did.
pub(crate) async fn logs(context: &Context, args: &Logs) -> Outcome {
    let run = run_id(&args.run)?;
    let client = context.client()?;
    if args.follow {
        return watch(context, &client, run, args.after).await;
    }
    let plain = PlainPrinter::local(context.paint);
    let mut view = RunView::new([]);
    let mut after = 0;
    loop {
        let page = client.events(run, after).await?;
        let Some(last) = page.items.last() else { break };
        after = last.seq;
        for event in &page.items {
            let notes = view.apply(event);
            if event.seq <= args.after {
                continue;
            }
            if context.json {
                let line = serde_json::to_string(event);
                output::print(&line.map_err(|error| Failure::new(format!("cannot write JSON: {error}")))?);
            } else {
                let lines: Vec<_> = notes.iter().map(|note| plain.line(note)).collect();
                output::print(&lines.join("\n"));
            }
        }
        if page.next_cursor.is_none() {
            break;
        }
    }
    Ok(())
}

/// Ends an active run.
pub(crate) async fn cancel(context: &Context, run: &str) -> Outcome {
    let run = context.client()?.cancel(run_id(run)?).await?;
    context.show(&run, |run| format!("run {} {}", run.id, output::status(run.status, context.paint)))
}
