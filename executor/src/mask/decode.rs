//! The encodings in which a secret commonly travels, undone: each of these reads a text as if all of it were encoded
//! in one way, and gives the bytes that it stands for, each with the place that it has in the text.
//!
//! Undoing encodings in the text instead of applying them to every secret keeps what is looked for as small as the
//! secrets are, and finds each mixture that decodes to a secret (`%2f` beside `%2F`, `\u0041` for `A`).

use std::ops::{ControlFlow, Range};

/// Takes a byte and the place in the text that it was read from.
pub(super) trait ByteSink {
    /// Whether to continue.
    fn feed(&mut self, byte: u8, place: Range<usize>) -> ControlFlow<()>;
    /// What follows does not continue what went before.
    fn gap(&mut self);
}

/// The shortest run that can hold a secret of 8 bytes.
const SHORTEST_BASE64: usize = 11;
const SHORTEST_HEX: usize = 16;

/// The bytes as they are.
pub(super) fn plain(text: &[u8], feed: &mut impl ByteSink) -> ControlFlow<()> {
    text.iter().enumerate().try_for_each(|(at, byte)| feed.feed(*byte, at..at + 1))
}

/// What strings within a JSON text stand for.
pub(super) fn json(text: &[u8], feed: &mut impl ByteSink) -> ControlFlow<()> {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        if *byte != b'\\' {
            feed.feed(*byte, at..at + 1)?;
            at += 1;
            continue;
        }
        let simple = match text.get(at + 1) {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(escaped @ (b'"' | b'\\' | b'/')) => *escaped,
            Some(b'u') => {
                let (character, length) = unicode(&text[at..]);
                if let Some(character) = character {
                    for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                        feed.feed(byte, at..at + length)?;
                    }
                } else {
                    feed.gap();
                }
                at += length;
                continue;
            }
            _ => {
                feed.feed(*byte, at..at + 1)?;
                at += 1;
                continue;
            }
        };
        feed.feed(simple, at..at + 2)?;
        at += 2;
    }
    ControlFlow::Continue(())
}

/// The character of `\uXXXX`, or of two of them, and the length of what it was read from.
fn unicode(text: &[u8]) -> (Option<char>, usize) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6).filter(|escape| escape.starts_with(b"\\u"))?;
        digits[2..].iter().try_fold(0_u32, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
    };
    match unit(0) {
        None => (Some('\\'), 1),
        Some(high @ 0xD800..0xDC00) => match unit(6) {
            Some(low @ 0xDC00..0xE000) => (char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)), 12),
            _ => (None, 6),
        },
        Some(unit) => (char::from_u32(unit), 6),
    }
}

/// What an URL stands for; in forms a space travels as `+`.
pub(super) fn percent(text: &[u8], plus_is_space: bool, feed: &mut impl ByteSink) -> ControlFlow<()> {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let pair = (*byte == b'%').then(|| Some((digit(*text.get(at + 1)?)?, digit(*text.get(at + 2)?)?))).flatten();
        let (byte, length) = match (pair, byte) {
            (Some((high, low)), _) => (high << 4 | low, 3),
            (None, b'+') if plus_is_space => (b' ', 1),
            (None, other) => (*other, 1),
        };
        feed.feed(byte, at..at + length)?;
        at += length;
    }
    ControlFlow::Continue(())
}

/// What runs of hexadecimal digits stand for, in both alignments.
pub(super) fn hex(text: &[u8], feed: &mut impl ByteSink) -> ControlFlow<()> {
    for run in runs(text, SHORTEST_HEX, |byte| byte.is_ascii_hexdigit()) {
        for shift in 0..2 {
            feed.gap();
            let start = run.start + shift;
            for (number, pair) in text[start..run.end].as_chunks::<2>().0.iter().enumerate() {
                let [high, low] = pair.map(|byte| digit(byte).unwrap_or_default());
                let place = start + 2 * number;
                feed.feed(high << 4 | low, place..place + 2)?;
            }
        }
    }
    ControlFlow::Continue(())
}

/// What runs of base64 stand for (both alphabets), in all four alignments. The place of a byte covers every character
/// that holds a bit of it.
pub(super) fn base64(text: &[u8], feed: &mut impl ByteSink) -> ControlFlow<()> {
    for run in runs(text, SHORTEST_BASE64, |byte| sextet(byte).is_some()) {
        for shift in 0..4 {
            feed.gap();
            let start = run.start + shift;
            let (mut bits, mut held, mut given) = (0_u32, 0_u32, 0_usize);
            for byte in &text[start..run.end] {
                bits = bits << 6 | u32::from(sextet(*byte).unwrap_or_default());
                held += 6;
                if held < 8 {
                    continue;
                }
                held -= 8;
                let decoded = (bits >> held & 0xff) as u8;
                feed.feed(decoded, start + given * 8 / 6..start + (given * 8 + 8).div_ceil(6))?;
                given += 1;
            }
        }
    }
    ControlFlow::Continue(())
}

/// The stretches of at least so many bytes that are all of one kind.
fn runs(text: &[u8], least: usize, is: impl Fn(u8) -> bool) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + text.get(at..)?.iter().position(|byte| is(*byte))?;
            let length = text[start..].iter().position(|byte| !is(*byte)).unwrap_or(text.len() - start);
            at = start + length;
            if length >= least {
                return Some(start..at);
            }
        }
    })
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}
