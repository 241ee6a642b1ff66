//! Which modules a Lua source asks for: every `require` with a text for its argument, found by reading
//! tokens. What is computed while the script runs is not found, nor is anything in a source that gives
//! the name `require` a meaning of its own.

/// A `require` and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Require {
    /// What is asked for.
    pub(super) name: String,
    /// The line, from 1.
    pub(super) line: u32,
    /// The byte within the line, from 1.
    pub(super) column: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    /// A text; none when it has escapes.
    Text(Option<&'a str>),
    Sign(u8),
}

/// Every `require` of a source, in order.
pub(super) fn requires(source: &str) -> Vec<Require> {
    let tokens = tokens(source);
    if rebinds_require(&tokens) {
        return Vec::new();
    }
    let breaks: Vec<usize> = source.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
    let mut found = Vec::new();
    for (index, (at, token)) in tokens.iter().enumerate() {
        let token_at = |index: usize| tokens.get(index).map(|(_, token)| token);
        let before = index.checked_sub(1).and_then(token_at);
        if *token != Token::Word("require") || matches!(before, Some(Token::Sign(b'.' | b':'))) {
            continue;
        }
        let name = match (token_at(index + 1), token_at(index + 2), token_at(index + 3)) {
            (Some(Token::Text(Some(name))), ..)
            | (Some(Token::Sign(b'(')), Some(Token::Text(Some(name))), Some(Token::Sign(b')' | b','))) => *name,
            _ => continue,
        };
        let (line, column) = place(&breaks, *at);
        found.push(Require { name: name.to_owned(), line, column });
    }
    found
}

/// Whether the source assigns to `require`, declares it, or has a parameter of that name.
fn rebinds_require(tokens: &[(usize, Token<'_>)]) -> bool {
    let (mut heading, mut parameters, mut declared) = (false, false, false);
    for (index, (_, token)) in tokens.iter().enumerate() {
        let next = tokens.get(index + 1).map(|(_, token)| token);
        let after = tokens.get(index + 2).map(|(_, token)| token);
        match token {
            Token::Word("function") => {
                if next == Some(&Token::Word("require")) {
                    return true;
                }
                heading = true;
            }
            Token::Word("local" | "for") => declared = true,
            Token::Word("require") => {
                let field = index.checked_sub(1).and_then(|before| tokens.get(before));
                let field = matches!(field, Some((_, Token::Sign(b'.' | b':'))));
                let assigned = next == Some(&Token::Sign(b'=')) && after != Some(&Token::Sign(b'='));
                if parameters || declared || (assigned && !field) {
                    return true;
                }
            }
            Token::Sign(b'(') => (heading, parameters) = (false, heading),
            Token::Sign(b')') => (parameters, declared) = (false, false),
            Token::Sign(b',' | b'.' | b':' | b'<' | b'>') => {}
            // Names in a row continue; everything else ends a list of them.
            Token::Word(word) if !is_keyword(word) => {
                if !matches!(next, Some(Token::Sign(b',' | b'<'))) {
                    declared = false;
                }
            }
            _ => declared = false,
        }
    }
    false
}

fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "and"
            | "break"
            | "do"
            | "else"
            | "elseif"
            | "end"
            | "false"
            | "for"
            | "function"
            | "goto"
            | "if"
            | "in"
            | "local"
            | "nil"
            | "not"
            | "or"
            | "repeat"
            | "return"
            | "then"
            | "true"
            | "until"
            | "while"
    )
}

/// The tokens of a source, each with the byte where it begins. Of what does not compile, anything: the
/// compiler says what is wrong with it.
fn tokens(source: &str) -> Vec<(usize, Token<'_>)> {
    let bytes = source.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        match byte {
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                at = match long_bracket(source, at + 2) {
                    Some((_, end)) => end,
                    None => source[at..].find('\n').map_or(bytes.len(), |length| at + length),
                };
            }
            b'[' => {
                let (token, end) = match long_bracket(source, at) {
                    Some((text, end)) => (Token::Text(Some(text)), end),
                    None => (Token::Sign(byte), at + 1),
                };
                tokens.push((start, token));
                at = end;
            }
            b'"' | b'\'' => {
                let mut escaped = false;
                at += 1;
                while let Some(&inner) = bytes.get(at) {
                    at += 1;
                    match inner {
                        b'\\' => {
                            escaped = true;
                            at += 1;
                        }
                        inner if inner == byte || inner == b'\n' => break,
                        _ => {}
                    }
                }
                let text = source.get(start + 1..at.saturating_sub(1)).filter(|_| !escaped);
                tokens.push((start, Token::Text(text)));
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => {
                let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
                at += bytes[at..].iter().take_while(|byte| word(byte)).count();
                tokens.push((start, Token::Word(&source[start..at])));
            }
            byte => {
                if !byte.is_ascii_whitespace() {
                    tokens.push((start, Token::Sign(byte)));
                }
                at += 1;
            }
        }
    }
    tokens
}

/// What stands in the long brackets that begin here, `[[…]]` or `[=[…]=]`, and where they end.
fn long_bracket(source: &str, at: usize) -> Option<(&str, usize)> {
    let rest = source.as_bytes().get(at..)?;
    let level = rest.get(1..)?.iter().take_while(|byte| **byte == b'=').count();
    if rest.first() != Some(&b'[') || rest.get(level + 1) != Some(&b'[') {
        return None;
    }
    let inner = at + level + 2;
    let close = format!("]{}]", "=".repeat(level));
    match source[inner..].find(&close) {
        Some(length) => Some((&source[inner..inner + length], inner + length + close.len())),
        None => Some((&source[inner..], source.len())),
    }
}

/// Line and column of a byte; `breaks` are where lines end.
fn place(breaks: &[usize], at: usize) -> (u32, u32) {
    let before = breaks.partition_point(|line| *line < at);
    let start = before.checked_sub(1).and_then(|last| breaks.get(last)).map_or(0, |last| last + 1);
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    (count(before + 1), count(at - start + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(source: &str) -> Vec<String> {
        requires(source).into_iter().map(|require| require.name).collect()
    }

    #[test]
    fn finds_what_is_asked_for_by_its_name() {
        let source = "local a = require('a')\n  local b = require \"b.c\"\nreturn f(require [[d]], require([==[e]==]))";
        assert_eq!(names(source), ["a", "b.c", "d", "e"]);
        let second = &requires(source)[1];
        assert_eq!((second.line, second.column), (2, 13));
        assert_eq!(names("local x <const> = require 'x'; x = y == require 'z'"), ["x", "z"]);
        assert_eq!(names("local function f(n) return require('x') end"), ["x"]);
        assert_eq!(names("for _, v in ipairs(require 'x') do end"), ["x"]);
    }

    #[test]
    fn passes_over_comments_texts_and_what_is_computed() {
        for source in [
            "-- require('a')",
            "--[[ require('a')\n ]] return 1",
            "return \"require('a')\", [[require('a')]]",
            "local name = 'a' return require(name)",
            "return require('a' .. x)",
            "return pcall(require, 'a')",
            "return mine.require('a'), mine:require('a')",
            "return require('\\97')",
            "return requires('a')",
        ] {
            assert_eq!(names(source), [""; 0], "{source}");
        }
    }

    #[test]
    fn a_require_of_the_scripts_own_is_left_alone() {
        for source in [
            "local function require(x) return x end return require('a')",
            "local require = f return require('a')",
            "local a, require = 1, f return require('a')",
            "require = f return require('a')",
            "return function(a, require) return require('a') end",
        ] {
            assert_eq!(names(source), [""; 0], "{source}");
        }
    }

    #[test]
    fn survives_invalid_lua() {
        for source in ["require", "require(", "require '", "[==[", "--[[", "'\\", "require('é", "é require('a')"] {
            let _ = requires(source);
        }
    }
}
