//! Reads what a service exposes, and what `docs/metrics.md` says that it does. Tests of other crates
//! include this file by its path.

use std::collections::{BTreeMap, BTreeSet};

/// A metric's type and labels, by its name.
pub(crate) type Families = BTreeMap<String, (String, BTreeSet<String>)>;

/// The rows of one of the tables.
pub(crate) fn documented(section: &str) -> Families {
    let document = include_str!("../../../docs/metrics.md");
    let section = document.split(&format!("## {section}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `restroy_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let name = names(cells[1]).remove(0);
        assert!(cells[4].len() > 10, "{name} is explained");
        (name, (cells[2].to_owned(), names(cells[3]).into_iter().collect()))
    })
    .collect()
}

/// What an exposition has in it (OpenMetrics 1.0).
pub(crate) fn exposed(text: &str) -> Families {
    assert!(text.ends_with("# EOF\n"));
    let mut families = Families::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            families.insert(format!("{name}{suffix}"), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let (name, labels) = sample(line);
            let parts = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            let name = if families.contains_key(name) { name } else { parts.unwrap_or(name) };
            let (_, known) = families.get_mut(name).unwrap_or_else(|| panic!("a sample of nothing: {line}"));
            known.extend(labels.into_keys().filter(|label| label != "le"));
        }
    }
    families
}

/// The value of a sample with these labels.
pub(crate) fn value(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let wanted: BTreeMap<String, String> =
        labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let found = lines.find(|line| sample(line) == (name, wanted.clone()));
    let found = found.unwrap_or_else(|| panic!("no {name}{labels:?} in {text}"));
    found.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Every label value there is.
pub(crate) fn label_values(text: &str) -> Vec<String> {
    text.lines().filter(|line| !line.starts_with('#')).flat_map(|line| sample(line).1.into_values()).collect()
}

/// A sample's name and labels. No label value has a quote or a comma in it.
fn sample(line: &str) -> (&str, BTreeMap<String, String>) {
    let Some((name, rest)) = line.split_once('{') else { return (line.split(' ').next().unwrap(), BTreeMap::new()) };
    let labels = rest.rsplit_once('}').unwrap().0;
    let labels = labels.split(',').filter(|label| !label.is_empty()).map(|label| {
        let (key, value) = label.split_once('=').unwrap();
        (key.to_owned(), value.trim_matches('"').to_owned())
    });
    (name, labels.collect())
}
