//! Following a run: a live view on a terminal, plain lines elsewhere.

mod live;
mod model;
#[cfg(test)]
mod model_tests;
mod plain;
mod rows;

use std::io::{self, IsTerminal as _, Write as _};

use futures_util::TryStreamExt as _;
use restroy_client::{Client, Error};
use restroy_sdk::{event::Event, ids::RunId, status::RunStatus, time::Ambient};

use crate::style::Paint;
pub(crate) use model::{LogLine, RunView, seconds, status_words};
pub(crate) use plain::PlainPrinter;

/// How a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Rows that move, below what the scripts print.
    Live(Paint),
    /// A line for everything that happens.
    Plain(Paint),
    /// Every event as a line of JSON.
    Json,
}

impl Style {
    /// What standard output is fit for.
    pub(crate) fn detect() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if io::stdout().is_terminal() && !dumb { Self::Live(Paint::stdout()) } else { Self::Plain(Paint::stdout()) }
    }
}

/// How the following ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FollowEnd {
    /// The run ended.
    Finished(RunStatus),
    /// The person stopped following; the run continues.
    Left,
}

/// Shows a run until it ends or Ctrl-C. What happened up to the event `after` counts for the state,
/// and is not shown line by line.
pub(crate) async fn run(client: &Client, run: RunId, after: i64, style: Style) -> Result<FollowEnd, Error> {
    let about = client.run(run).await?;
    // The steps' names in their order are a comfort; a run can be followed without.
    let steps = match client.version(about.pipeline_id, about.version).await {
        Ok(version) => version.definition.steps.keys().cloned().collect(),
        Err(error) => {
            tracing::debug!(%error, "the definition cannot be read");
            Vec::new()
        }
    };
    let mut view = RunView::new(steps);
    let mut screen = Screen::new(style);
    let shown = |event: &Event| event.seq > after;
    let following = async {
        let mut events = std::pin::pin!(client.stream(run, 0));
        let mut ticks = tokio::time::interval(live::PERIOD);
        loop {
            tokio::select! {
                event = events.try_next() => match event? {
                    Some(event) => {
                        let notes = view.apply(&event);
                        if shown(&event) && screen.event(&event, &notes, &view).is_err() {
                            return Ok(StopReason::NobodyReads);
                        }
                    }
                    None => return Ok::<_, Error>(StopReason::End),
                },
                _ = ticks.tick() => screen.tick(&view),
            }
        }
    };
    let ended = tokio::select! {
        followed = following => followed,
        () = interrupted() => Ok(StopReason::Interrupted),
    };
    screen.close(&view);
    let stop = ended?;
    if stop == StopReason::Interrupted {
        eprintln!(
            "\nno longer following; the run continues\n  \
             to follow it again:  restroy logs {run} --follow\n  \
             to end it:           restroy cancel {run}"
        );
    }
    if stop != StopReason::End {
        return Ok(FollowEnd::Left);
    }
    if view.status.is_terminal() {
        return Ok(FollowEnd::Finished(view.status));
    }
    // The stream ended without the last event: the run says how it stands.
    Ok(FollowEnd::Finished(client.run(run).await?.status))
}

/// Why the following stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopReason {
    /// There is nothing more to come.
    End,
    /// The user pressed Ctrl-C.
    Interrupted,
    /// The other end of the pipe is closed.
    NobodyReads,
}

/// Ends with Ctrl-C.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a handler the process simply ends with it.
        std::future::pending::<()>().await;
    }
}

/// Where it is shown.
enum Screen {
    Live(live::LivePrinter),
    Plain(PlainPrinter),
    Json,
}

impl Screen {
    fn new(style: Style) -> Self {
        match style {
            Style::Live(paint) => Self::Live(live::LivePrinter::new(paint, Ambient::system())),
            Style::Plain(paint) => Self::Plain(PlainPrinter::local(paint)),
            Style::Json => Self::Json,
        }
    }

    fn event(&mut self, event: &Event, notes: &[LogLine], view: &RunView) -> io::Result<()> {
        match self {
            Self::Live(live) => {
                live.event(notes, view);
                Ok(())
            }
            Self::Plain(plain) => print_lines(notes.iter().map(|note| plain.line(note))),
            Self::Json => print_lines(serde_json::to_string(event)),
        }
    }

    fn tick(&mut self, view: &RunView) {
        if let Self::Live(live) = self {
            live.draw(view);
        }
    }

    fn close(&mut self, view: &RunView) {
        if let Self::Live(live) = self {
            live.close(view);
        }
    }
}

/// Prints at once: somebody reads along at the other end of a pipe.
fn print_lines(lines: impl IntoIterator<Item = String>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}
