//! Watching runs: history from the database, then what comes, in order, each event once.
//!
//! However many watch a run, one [`tailer`] per run and process reads its new rows and hands them
//! to all. A watcher first reads history by itself, then joins the reader at the place where the
//! reader stands, and reads what lies between. Each watcher has a bounded queue: one that does not
//! keep up is cut off, and holds nobody up.

mod hub;
pub mod listeners;
mod tailer;
mod watcher;

use axum::extract::ws::Utf8Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

pub use hub::StreamHub;
pub(crate) use hub::{AccessChanges, StreamLimit};
pub(crate) use watcher::{Next, Watcher};

use crate::runs::events::StoredBatch;

/// Some events in a row, ready to be sent.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The number of the first.
    pub(crate) first_seq: i64,
    /// The events as JSON, one after the other.
    pub(crate) frames: Vec<Utf8Bytes>,
    /// Whether the last of them is `run.finished`.
    pub(crate) last: bool,
    /// About what it takes in memory.
    pub(crate) bytes: usize,
}

impl Chunk {
    /// The number of the last event.
    pub(crate) fn last_seq(&self) -> i64 {
        self.first_seq + i64::try_from(self.frames.len()).unwrap_or(i64::MAX) - 1
    }

    /// From a stored batch, without what lies at or before `after`.
    pub(crate) fn from_stored(batch: &StoredBatch, after: i64) -> Result<Self, serde_json::Error> {
        let events: Vec<&RawValue> = serde_json::from_str(&batch.events)?;
        let last = events.last().map(|event| serde_json::from_str::<EventType>(event.get())).transpose()?;
        let skip = usize::try_from(after + 1 - batch.first_seq).unwrap_or(0);
        Ok(Self {
            first_seq: batch.first_seq.max(after + 1),
            frames: events.iter().skip(skip).map(|event| Utf8Bytes::from(event.get())).collect(),
            last: last.is_some_and(|event| event.kind == "run.finished"),
            bytes: batch.events.len(),
        })
    }
}

/// What kind an event is of.
#[derive(Deserialize)]
struct EventType<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
}
