//! `restroy diff`.

use std::fmt::Write as _;

use restroy_sdk::document::{self, Change, Diff, FieldChange};
use serde_json::Value;

use super::{grant::describe, push::invalid_folder};
use crate::{
    args,
    context::Context,
    failure::{Failure, Outcome},
    find,
    folder::Folder,
    style::{Paint, clean},
};

/// How much of a value is shown, in characters.
const SHOWN: usize = 200;

/// Shows what a folder would change.
pub(crate) async fn diff(context: &Context, args: &args::Diff) -> Outcome {
    let folder = Folder::read(&args.folder)?;
    let document = folder.check().map_err(|faults| invalid_folder(&faults, &folder, "nothing was compared"))?;
    let name = folder.name(&document)?;
    let client = context.client()?;
    let pipeline = find::pipeline(&client, &name, args.board.as_deref()).await?;
    let Some(number) = args.version.or(pipeline.published_version) else {
        return Err(Failure::new(format!("`{}` has no published version", pipeline.name))
            .help("name a version with --version; `restroy versions` lists them"));
    };
    let there = client.version(pipeline.id, number).await?;
    let diff = document::diff((&there.definition, &there.files), (&document, &folder.files));
    context.show(&diff, |diff| {
        if diff.is_empty() {
            return format!("{}: {} is as version {number}", pipeline.name, folder.root.display());
        }
        show(diff, context.paint)
    })
}

/// What differs, for people.
fn show(diff: &Diff, paint: Paint) -> String {
    let mut text = String::new();
    fields(&mut text, &diff.document, paint);
    for step in &diff.steps {
        let name = clean(&step.name);
        let _ = match step.change {
            Change::Added => writeln!(text, "{}", paint.green(&format!("+ step {name}"))),
            Change::Removed => writeln!(text, "{}", paint.red(&format!("- step {name}"))),
            Change::Changed => Ok(()),
        };
        if step.change == Change::Changed {
            fields(&mut text, &step.fields, paint);
        }
    }
    for touch in &diff.capabilities {
        let what = describe(&touch.touch);
        let line = match touch.change {
            Change::Removed => paint.green(&format!("- is allowed to: {what}")),
            Change::Added | Change::Changed => paint.yellow(&format!("+ is allowed to: {what}")),
        };
        let _ = writeln!(text, "{line}");
    }
    for file in &diff.files {
        let Some(lines) = &file.diff else {
            let _ = writeln!(text, "{}", paint.bold(&format!("{} differs; too much to show", clean(&file.path))));
            continue;
        };
        for line in lines.lines() {
            let line = clean(line);
            let line = match line.as_bytes() {
                [b'-', b'-', b'-', ..] | [b'+', b'+', b'+', ..] => paint.bold(&line),
                [b'@', ..] => paint.cyan(&line),
                [b'-', ..] => paint.red(&line),
                [b'+', ..] => paint.green(&line),
                _ => line,
            };
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

fn fields(text: &mut String, fields: &[FieldChange], paint: Paint) {
    for field in fields {
        let place = clean(field.pointer.trim_start_matches('/'));
        let _ = writeln!(text, "{}", paint.bold(&place));
        if !field.from.is_null() {
            let _ = writeln!(text, "{}", paint.red(&format!("- {}", one_line(&field.from))));
        }
        if !field.to.is_null() {
            let _ = writeln!(text, "{}", paint.green(&format!("+ {}", one_line(&field.to))));
        }
    }
}

/// A value on one line.
fn one_line(value: &Value) -> String {
    let text = clean(&value.to_string());
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reports_what_is_new_and_what_is_gone() {
        let read = |document: Value| document::read_json(&document.to_string()).unwrap();
        let old = read(json!({ "restroy": 1, "name": "A", "steps": { "a": { "script": "a.lua" } } }));
        let new = read(json!({
            "restroy": 1, "name": "B",
            "steps": { "a": { "script": "a.lua", "allow": { "kv": true } }, "b": { "script": "a.lua" } },
        }));
        let file = |text: &str| std::collections::BTreeMap::from([("a.lua".to_owned(), text.to_owned())]);
        let diff = document::diff((&old, &file("return 1\n")), (&new, &file("return 2\n")));
        let expected = "name\n- \"A\"\n+ \"B\"\nsteps/a/allow\n+ {\"kv\":true}\n+ step b\n\
                        + is allowed to: the board's key-value store\n\
                        --- a/a.lua\n+++ b/a.lua\n@@ -1 +1 @@\n-return 1\n+return 2\n";
        assert_eq!(show(&diff, Paint::new(false)), expected);
    }
}
