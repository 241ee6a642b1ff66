//! The examples, carried in the binary so that a demo needs nothing beside it.

use std::collections::BTreeMap;

use rust_embed::RustEmbed;

/// The folders of `examples/`.
#[derive(RustEmbed)]
#[folder = "../examples"]
struct Examples;

/// The pipelines of the demo, in the order in which they are shown.
pub(super) const NAMES: [&str; 3] = ["weather-report", "newsletter", "dependency-audit"];

/// The text of a file of an example, such as `weather-report/seattle-weather.csv`.
pub(super) fn text(path: &str) -> Option<String> {
    Examples::get(path).and_then(|file| String::from_utf8(file.data.into_owned()).ok())
}

/// The files of an example, by path within its folder.
pub(super) fn files(name: &str) -> BTreeMap<String, String> {
    let prefix = format!("{name}/");
    Examples::iter().filter_map(|path| Some((path.strip_prefix(&prefix)?.to_owned(), text(&path)?))).collect()
}
