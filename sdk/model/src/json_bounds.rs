//! Bounds for JSON text, checked before a tree is built from it.
//!
//! A tree of [`serde_json::Value`] takes up to a hundred times as many bytes as its text: two megabytes of
//! `{"":0},` become 260 MB. [`measure`] reads the text once, without allocating for each value, and says how large
//! the tree would be. It is stricter than serde's `RawValue`, which passes on whatever looks like JSON: escapes
//! must be valid UTF-16, numbers finite, nesting bounded.

#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;

/// What a JSON text may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonLimits {
    /// How many values (objects, arrays, strings, numbers, booleans, nulls). Keys are not counted.
    pub nodes: usize,
    /// How deep arrays and objects may lie within each other.
    pub depth: usize,
}

impl JsonLimits {
    /// For what people and programs send: a tree within these limits takes at most 64 MiB.
    pub const BODY: Self = Self { nodes: 100_000, depth: 100 };
    /// For what executors send: outputs of several steps, each as deep as a script may return it, within
    /// the report of a run.
    pub const REPORT: Self = Self { nodes: 1_000_000, depth: 110 };
}

/// How large a JSON text is as a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JsonSize {
    /// How many values it has.
    pub nodes: usize,
    /// The most arrays and objects within each other; 0 for a scalar.
    pub depth: usize,
    /// About how many bytes a [`Value`] of it takes on the heap; rather too many than too few.
    pub tree_bytes: usize,
}

/// Why a text is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// Where, in bytes from the start.
    pub offset: usize,
    /// The line, from 1.
    pub line: usize,
    /// The column, in bytes from 1.
    pub column: usize,
}

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonErrorKind {
    /// It is not JSON; what was expected.
    Syntax(&'static str),
    /// It is not UTF-8.
    NotUtf8,
    /// An escape such as `\ud800` is half of a character.
    LoneSurrogate,
    /// A number such as `1e999` is beyond what a 64-bit float holds.
    NumberOutOfRange,
    /// It has more values than this.
    TooManyNodes(usize),
    /// It nests deeper than this.
    TooDeep(usize),
}

impl JsonErrorKind {
    /// Whether the text is JSON, but more of it than is taken.
    pub fn is_limit(self) -> bool {
        matches!(self, Self::TooManyNodes(_) | Self::TooDeep(_))
    }
}

impl fmt::Display for JsonErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(expected) => write!(f, "expected {expected}"),
            Self::NotUtf8 => f.write_str("the text is not UTF-8"),
            Self::LoneSurrogate => {
                f.write_str("a `\\u` escape is half of a surrogate pair: write both halves, or the character itself")
            }
            Self::NumberOutOfRange => f.write_str("the number is too large: numbers are 64-bit floats, up to 1.8e308"),
            Self::TooManyNodes(limit) => write!(f, "more than {limit} values"),
            Self::TooDeep(limit) => write!(f, "arrays and objects lie more than {limit} deep within each other"),
        }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {} column {}", self.kind, self.line, self.column)
    }
}

impl std::error::Error for JsonError {}

/// Reads a JSON text and says how large its tree would be, or why it is not taken. Takes time linear in
/// the text, memory linear in the depth, and stops at the first value beyond the limits.
///
/// ```
/// use restroy_model::json_bounds::{JsonErrorKind, JsonLimits, measure};
///
/// let size = measure(br#"{"a": [1, 2, {}]}"#, JsonLimits::BODY).unwrap();
/// assert_eq!((size.nodes, size.depth), (5, 3));
/// let few = JsonLimits { nodes: 4, depth: 3 };
/// assert_eq!(measure(br#"{"a": [1, 2, {}]}"#, few).unwrap_err().kind, JsonErrorKind::TooManyNodes(4));
/// ```
pub fn measure(text: &[u8], limits: JsonLimits) -> Result<JsonSize, JsonError> {
    let mut scanner = Scanner { text, at: 0, limits, size: JsonSize::default(), open: Vec::new() };
    let scanned = match std::str::from_utf8(text) {
        Ok(_) => scanner.document(),
        Err(error) => {
            scanner.at = error.valid_up_to();
            Err(JsonErrorKind::NotUtf8)
        }
    };
    scanned.map(|()| scanner.size).map_err(|kind| error_at(text, scanner.at, kind))
}

fn error_at(text: &[u8], offset: usize, kind: JsonErrorKind) -> JsonError {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let line = before.split(|byte| *byte == b'\n').count();
    JsonError { kind, offset, line, column: before.len() - line_start + 1 }
}

/// An array or object that is not closed yet, and how many values are in it.
struct Open {
    object: bool,
    len: usize,
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    limits: JsonLimits,
    size: JsonSize,
    open: Vec<Open>,
}

type Scanned = Result<(), JsonErrorKind>;

impl Scanner<'_> {
    fn document(&mut self) -> Scanned {
        self.value()?;
        while let Some(open) = self.open.last() {
            let (object, first) = (open.object, open.len == 0);
            self.space();
            match (self.peek(), object) {
                (Some(b']'), false) | (Some(b'}'), true) => {
                    self.at += 1;
                    self.close();
                    continue;
                }
                (Some(b','), _) if !first => {
                    self.at += 1;
                    self.space();
                }
                _ if first => {}
                (_, true) => return Err(JsonErrorKind::Syntax("`,` or `}`")),
                (_, false) => return Err(JsonErrorKind::Syntax("`,` or `]`")),
            }
            if object {
                if self.peek() != Some(b'"') {
                    return Err(JsonErrorKind::Syntax("a key in double quotes"));
                }
                self.string()?;
                self.space();
                if self.peek() != Some(b':') {
                    return Err(JsonErrorKind::Syntax("`:`"));
                }
                self.at += 1;
            }
            if let Some(open) = self.open.last_mut() {
                open.len += 1;
            }
            self.value()?;
        }
        self.space();
        if self.at < self.text.len() {
            return Err(JsonErrorKind::Syntax("the end: one JSON value is all"));
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Reads a scalar, or opens an array or object.
    fn value(&mut self) -> Scanned {
        self.space();
        let found = self.peek();
        if found.is_some() && self.size.nodes >= self.limits.nodes {
            return Err(JsonErrorKind::TooManyNodes(self.limits.nodes));
        }
        self.size.nodes += 1;
        match found {
            Some(b'{' | b'[') => self.open(found == Some(b'{')),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => Err(JsonErrorKind::Syntax("a JSON value")),
        }
    }

    fn open(&mut self, object: bool) -> Scanned {
        if self.open.len() >= self.limits.depth {
            return Err(JsonErrorKind::TooDeep(self.limits.depth));
        }
        self.at += 1;
        self.open.push(Open { object, len: 0 });
        self.size.depth = self.size.depth.max(self.open.len());
        Ok(())
    }

    /// Counts what the container takes, which depends on how many values are in it: both kinds double
    /// their room as they grow.
    fn close(&mut self) {
        let Some(Open { object, len }) = self.open.pop() else { return };
        if len == 0 {
            return;
        }
        let bytes = if object {
            // Entries with hash, key and value, and a table of indices with a control byte each.
            let slots = (len * 8 / 7 + 1).next_power_of_two().max(4);
            slots * (size_of::<(usize, String, Value)>() + size_of::<usize>() + 1) + 32
        } else {
            len.next_power_of_two().max(4) * size_of::<Value>()
        };
        self.size.tree_bytes = self.size.tree_bytes.saturating_add(bytes + ALLOCATION);
    }

    fn word(&mut self, word: &'static [u8]) -> Scanned {
        if !self.text[self.at..].starts_with(word) {
            return Err(JsonErrorKind::Syntax("a JSON value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn string(&mut self) -> Scanned {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(0..0x20) => {
                    return Err(JsonErrorKind::Syntax("an escape such as `\\n`: a string has no control characters"));
                }
                Some(_) => self.at += 1,
                None => return Err(JsonErrorKind::Syntax("`\"` at the end of the string")),
            }
        }
        self.at += 1;
        self.size.tree_bytes = self.size.tree_bytes.saturating_add(self.at - start - 2 + ALLOCATION);
        Ok(())
    }

    fn escape(&mut self) -> Scanned {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => match self.unit(self.at)? {
                0xD800..0xDC00 => {
                    let low = self.at + 6;
                    if self.text.get(low..low + 2) == Some(b"\\u") && (0xDC00..0xE000).contains(&self.unit(low)?) {
                        self.at = low + 6;
                        return Ok(());
                    }
                    Err(JsonErrorKind::LoneSurrogate)
                }
                0xDC00..0xE000 => Err(JsonErrorKind::LoneSurrogate),
                _ => {
                    self.at += 6;
                    Ok(())
                }
            },
            _ => Err(JsonErrorKind::Syntax("one of `\\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX`")),
        }
    }

    /// The UTF-16 unit of the escape `\uXXXX` that begins at `at`.
    fn unit(&self, at: usize) -> Result<u32, JsonErrorKind> {
        let digits = self.text.get(at + 2..at + 6).and_then(|digits| {
            digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
        });
        digits.ok_or(JsonErrorKind::Syntax("four hexadecimal digits after `\\u`"))
    }

    fn number(&mut self) -> Scanned {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let whole = self.at;
        self.digits()?;
        if self.text[whole] == b'0' && self.at - whole > 1 {
            self.at = whole;
            return Err(JsonErrorKind::Syntax("a number without a leading zero"));
        }
        let mut large = self.at - whole > LARGE;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
            large = true;
        }
        if large {
            let text = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
            if !text.parse::<f64>().is_ok_and(f64::is_finite) {
                self.at = start;
                return Err(JsonErrorKind::NumberOutOfRange);
            }
        }
        Ok(())
    }

    fn digits(&mut self) -> Scanned {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(JsonErrorKind::Syntax("a digit")) } else { Ok(()) }
    }
}

/// What an allocation takes beside what was asked for.
const ALLOCATION: usize = 16;
/// Whole numbers of more digits may be beyond a float.
const LARGE: usize = 300;
