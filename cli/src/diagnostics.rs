//! Errors as a compiler shows them: file, line, column, the line itself, a mark below it.

use std::{collections::BTreeMap, fmt::Write as _};

use restroy_sdk::{
    document::{Position, PositionMap},
    problem::FieldError,
};

use crate::{
    folder::Folder,
    style::{Paint, clean},
};

/// An error in a file.
#[derive(Debug, PartialEq, Eq)]
struct LocatedError<'a> {
    file: String,
    place: Option<Position>,
    /// The file's text, if it is at hand.
    text: Option<&'a str>,
}

/// The errors of a folder's document and sources, as they are shown.
pub(crate) fn show(faults: &[FieldError], folder: &Folder, paint: Paint) -> String {
    let places = PositionMap::from_yaml(&folder.yaml);
    faults.iter().map(|fault| render(fault, &locate(fault, folder, &places), paint)).collect()
}

fn place(fault: &FieldError) -> Option<Position> {
    fault.line.map(|line| Position { line, column: fault.column.unwrap_or(1) })
}

fn locate<'a>(fault: &FieldError, folder: &'a Folder, places: &PositionMap) -> LocatedError<'a> {
    if let Some(path) = file_path(&fault.pointer, &folder.files) {
        let file = folder.root.join(&path).display().to_string();
        return LocatedError { file, place: place(fault), text: folder.files.get(&path).map(String::as_str) };
    }
    // The API speaks of the body that was sent: the document stands under `definition` there.
    let pointer = fault.pointer.strip_prefix("/definition").unwrap_or(&fault.pointer);
    let place = place(fault).or_else(|| places.find(pointer));
    LocatedError { file: folder.document.display().to_string(), place, text: Some(&folder.yaml) }
}

/// The file that a pointer `/files/…` names, whether the path in it is escaped or not.
fn file_path(pointer: &str, files: &BTreeMap<String, String>) -> Option<String> {
    let rest = pointer.strip_prefix("/files/")?;
    if files.contains_key(rest) {
        return Some(rest.to_owned());
    }
    Some(rest.replace("~1", "/").replace("~0", "~"))
}

fn render(fault: &FieldError, located: &LocatedError<'_>, paint: Paint) -> String {
    let mut text = format!("{} {}\n", paint.red("error:"), clean(&fault.detail));
    let Some(place) = located.place else {
        // A file's pointer says nothing that its path does not.
        let pointer =
            if fault.pointer.starts_with("/files/") { String::new() } else { format!(" ({})", fault.pointer) };
        let _ = writeln!(text, "  {} {}{pointer}", paint.cyan("-->"), located.file);
        return text;
    };
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    let _ = writeln!(text, "{margin}{} {}:{}:{}", paint.cyan("-->"), located.file, place.line, place.column);
    let line = usize::try_from(place.line).ok().and_then(|line| located.text?.lines().nth(line.checked_sub(1)?));
    if let Some(line) = line {
        let before = usize::try_from(place.column).unwrap_or(1).saturating_sub(1);
        // A tab stays one, so that the mark stands where the eye looks.
        let indent: String = line.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let bar = paint.cyan("|");
        let _ = writeln!(text, "{margin} {bar}");
        let _ = writeln!(text, "{} {bar} {}", paint.cyan(&number), clean(line));
        let _ = writeln!(text, "{margin} {bar} {indent}{}", paint.red("^"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> Folder {
        Folder {
            document: "demo/pipeline.yaml".into(),
            yaml: "restroy: 1\nsteps:\n  send:\n    script: scripts/send.lua\n    needs: [fetsh]\n".into(),
            files: BTreeMap::from([("scripts/send.lua".into(), "local x = 1\n\tlocal y = = 2\n".into())]),
            root: "demo".into(),
        }
    }

    #[test]
    fn a_pointer_becomes_a_place_in_the_document() {
        let fault = FieldError::new("/steps/send/needs/0", "unknown step `fetsh`");
        assert_eq!(
            show(&[fault], &folder(), Paint::new(false)),
            "error: unknown step `fetsh`\n --> demo/pipeline.yaml:5:13\n  |\n5 |     needs: [fetsh]\n  |             ^\n"
        );
    }

    #[test]
    fn a_fault_in_a_script_shows_the_script() {
        for pointer in ["/files/scripts~1send.lua", "/files/scripts/send.lua"] {
            let fault = FieldError {
                line: Some(2),
                column: Some(12),
                ..FieldError::new(pointer, "unexpected symbol near '='")
            };
            assert_eq!(
                show(&[fault], &folder(), Paint::new(false)),
                "error: unexpected symbol near '='\n --> demo/scripts/send.lua:2:12\n  |\n\
                 2 | \tlocal y = = 2\n  | \t          ^\n"
            );
        }
    }

    #[test]
    fn what_has_no_place_keeps_its_pointer() {
        let fault = FieldError::new("/files/scripts~1gone.lua", "the file is too long");
        assert_eq!(
            show(&[fault], &folder(), Paint::new(false)),
            "error: the file is too long\n  --> demo/scripts/gone.lua\n"
        );
        let fault = FieldError::new("/nothing/here", "a fault of the whole");
        assert!(show(&[fault], &folder(), Paint::new(false)).contains("pipeline.yaml"));
    }

    #[test]
    fn the_apis_pointers_into_the_body_work_too() {
        let fault = FieldError::new("/definition/steps/send/script", "no such file");
        assert!(show(&[fault], &folder(), Paint::new(false)).contains("pipeline.yaml:4:13"));
    }
}
