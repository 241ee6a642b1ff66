//! The settings' reference.

use std::collections::BTreeMap;

use crate::{
    composition::{file, succeed},
    process::restroy,
};

/// The table of settings in docs/operations.md: variable and default.
fn documented(service: &str) -> BTreeMap<String, String> {
    let text = file("docs/operations.md");
    let section = text.split(&format!("### `restroy {service}`\n")).nth(1).unwrap().split("\n#").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")).map(|row| row.split_once("` |").unwrap());
    let default = |rest: &str| rest.split('|').next().unwrap().trim().trim_matches('`').to_owned();
    rows.map(|(name, rest)| (name.to_owned(), default(rest))).collect()
}

#[test]
fn the_reference_of_settings_is_what_the_services_read() {
    for service in ["control-plane", "executor", "migrate"] {
        let help = succeed(restroy().args([service, "--help"]));
        // One setting a paragraph, however its lines are broken.
        let paragraphs = help.split("\n\n").map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
        let read: BTreeMap<String, String> = paragraphs
            .filter_map(|text| {
                let name = text.split_once("[env: ")?.1.split([']', '=']).next()?.to_owned();
                let default =
                    text.split_once("[default: ").map_or("", |(_, rest)| rest.split(']').next().unwrap_or(""));
                let (secret, switch) = (text.contains("A file that holds:"), text.contains("[<BOOL>]"));
                (!matches!(name.as_str(), "RESTROY_CONFIG" | "RESTROY_SERVER")).then(|| {
                    let default = if switch { "false" } else { default };
                    (name, (if secret { "*file*" } else { default }).to_owned())
                })
            })
            .collect();
        let told = documented(service);
        assert_eq!(told.keys().collect::<Vec<_>>(), read.keys().collect::<Vec<_>>(), "{service}");
        for (name, default) in &read {
            let told = &told[name];
            let fits = told.trim_start_matches("required").trim_start_matches(", ") == default;
            assert!(fits, "{service}: {name} is `{default}`, the reference says `{told}`");
        }
    }
}
