//! Tables, times and the like.

use std::io::Write as _;

use comfy_table::{ContentArrangement, Table, presets};
use jiff::tz::TimeZone;
use restroy_sdk::{status::RunStatus, time::Timestamp};

use crate::{
    follow::{seconds, status_words},
    style::{Paint, clean},
};

/// Prints a text and a line break, unless there is nothing to print. A closed pipe is not an error.
pub(crate) fn print(text: &str) {
    if !text.is_empty() {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{}", text.trim_end_matches('\n'));
        let _ = out.flush();
    }
}

/// A table without lines: easy on the eye and for `awk`.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    // Never broken within a cell: an id must stay whole to be copied, however narrow the terminal is.
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(head);
    for row in rows {
        table.add_row(row.map(|cell| clean(&cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// A moment in the machine's own zone.
pub(crate) fn moment(at: Timestamp) -> String {
    at.to_jiff().to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// How long something took, where it ended.
pub(crate) fn took(started: Option<Timestamp>, finished: Option<Timestamp>) -> String {
    started.zip(finished).map(|(started, finished)| seconds(finished, started)).unwrap_or_default()
}

/// A run's status in its colour.
pub(crate) fn status(status: RunStatus, paint: Paint) -> String {
    let text = status_words(status.as_str());
    match status {
        RunStatus::Succeeded => paint.green(&text),
        RunStatus::Failed | RunStatus::TimedOut => paint.red(&text),
        RunStatus::Cancelled => paint.yellow(&text),
        RunStatus::Queued | RunStatus::Running | RunStatus::Waiting => paint.cyan(&text),
    }
}

/// A number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;
    match count {
        0..KIB => format!("{count} B"),
        KIB..MIB => format!("{}.{} KiB", count / KIB, count % KIB * 10 / KIB),
        _ => format!("{}.{} MiB", count / MIB, count % MIB * 10 / MIB),
    }
}

/// A number with its thousands distinguished: `1_234_567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_clean() {
        let text = table(["NAME", "ID"], [["a".into(), "1\x1b[2J".into()], ["long".into(), "2".into()]]);
        assert_eq!(text, "NAME  ID\na     1␛[2J\nlong  2");
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(16 * 1024 * 1024), "16.0 MiB");
        assert_eq!(grouped(1_234_567), "1_234_567");
        assert_eq!(grouped(12), "12");
    }
}
