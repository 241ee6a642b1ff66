//! Colours, and text of strangers made fit for a terminal.

use std::io::IsTerminal as _;

/// Whether and how to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint(bool);

impl Paint {
    /// Colours, or none.
    #[cfg(test)]
    pub(crate) fn new(colour: bool) -> Self {
        Self(colour)
    }

    /// As standard output wants it.
    pub(crate) fn stdout() -> Self {
        Self(std::io::stdout().is_terminal() && wanted())
    }

    /// As standard error wants it.
    pub(crate) fn stderr() -> Self {
        Self(std::io::stderr().is_terminal() && wanted())
    }

    fn with(self, colour: console::Color, text: &str) -> String {
        console::Style::new().fg(colour).force_styling(self.0).apply_to(text).to_string()
    }

    /// For what went wrong.
    pub(crate) fn red(self, text: &str) -> String {
        self.with(console::Color::Red, text)
    }

    /// For what went right.
    pub(crate) fn green(self, text: &str) -> String {
        self.with(console::Color::Green, text)
    }

    /// For what needs attention.
    pub(crate) fn yellow(self, text: &str) -> String {
        self.with(console::Color::Yellow, text)
    }

    /// For what continues, and for hints.
    pub(crate) fn cyan(self, text: &str) -> String {
        self.with(console::Color::Cyan, text)
    }

    /// For what matters less.
    pub(crate) fn dim(self, text: &str) -> String {
        console::Style::new().dim().force_styling(self.0).apply_to(text).to_string()
    }

    /// For names.
    pub(crate) fn bold(self, text: &str) -> String {
        console::Style::new().bold().force_styling(self.0).apply_to(text).to_string()
    }
}

/// The convention of no-color.org; a dumb terminal shows codes as they are.
fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Text of a script or of another person on one line: control characters, which could move the
/// cursor or recolour the terminal, are shown as what they are.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { visible(c) } else { c }).collect()
}

/// The same for text of several lines.
pub(crate) fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// The Unicode picture of a control character.
fn visible(c: char) -> char {
    match u32::from(c) {
        code @ 0..0x20 => char::from_u32(0x2400 + code).unwrap_or(char::REPLACEMENT_CHARACTER),
        0x7f => '\u{2421}',
        _ => char::REPLACEMENT_CHARACTER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_visible() {
        assert_eq!(clean("a\x1b[31mb\r\x07\u{9b}c\td"), "a␛[31mb␍␇\u{fffd}c\td");
        assert_eq!(clean_lines("a\nb\x1b"), "a\nb␛");
    }

    #[test]
    fn without_colour_there_are_no_escape_codes() {
        assert_eq!(Paint::new(false).red("x"), "x");
        assert!(Paint::new(true).red("x").contains('\x1b'));
    }
}
