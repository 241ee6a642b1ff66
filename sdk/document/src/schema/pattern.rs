//! Patterns: regular expressions as JSON Schema has them, on an engine whose work is counted.
//!
//! The syntax is that of ECMAScript without what needs backtracking (look-around, references to groups).
//! It is rewritten for the `regex` crates, which differ in a few places ([`translate`]). A search runs on an automaton
//! that is built as the text is read, within [`CACHE_BYTES`]; where a pattern makes it grow too often,
//! the search is repeated by simulation, which costs its states for each byte and is charged so.

use regex_automata::{
    Input,
    hybrid::dfa::{self, DFA},
    nfa::thompson::{self, NFA, WhichCaptures, pikevm::PikeVM},
    util::syntax,
};

use super::{
    MAX_PATTERN_BYTES, MAX_PATTERN_TEXT,
    steps::{Steps, StepsExhausted},
};

/// The automaton of a pattern while a value is checked, in bytes, where it can be so small.
const CACHE_BYTES: usize = 64 * 1024;
/// The automata of all patterns of a check that are kept at once, in bytes.
const CACHES_BYTES: usize = 2 * 1024 * 1024;
/// How often an automaton is built anew in one search before it is given up.
const MAX_CLEARED: usize = 2;
/// How deep groups may lie within each other.
const MAX_NESTING: u32 = 50;
/// How many classes such as `\p{L}` all patterns of a schema may have: each has hundreds of ranges.
pub(super) const MAX_UNICODE_CLASSES: usize = 64;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    text: String,
    dfa: DFA,
    /// What it takes, in bytes.
    pub(super) bytes: usize,
}

/// A pattern that was compiled, or why it was not.
pub(super) type Compiled = Result<Pattern, String>;

impl Pattern {
    pub(super) fn compile(text: &str) -> Compiled {
        let translated = translate(text)?;
        let config =
            thompson::Config::new().nfa_size_limit(Some(MAX_PATTERN_BYTES)).which_captures(WhichCaptures::None);
        let nfa = NFA::compiler()
            .configure(config)
            .syntax(syntax::Config::new().nest_limit(MAX_NESTING))
            .build(&translated)
            .map_err(|error| broken(&error))?;
        let config = dfa::Config::new()
            .cache_capacity(CACHE_BYTES)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(MAX_CLEARED));
        let bytes = nfa.memory_usage() + size_of::<Self>() + 2 * text.len();
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).map_err(|error| error.to_string())?;
        Ok(Self { text: text.to_owned(), bytes, dfa })
    }

    /// As it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// Why a pattern does not compile, in one line.
fn broken(error: &thompson::BuildError) -> String {
    if error.size_limit().is_some() {
        return format!(
            "the pattern takes more than {MAX_PATTERN_BYTES} bytes compiled: repeat less, and use fewer classes such as `\\p{{L}}`"
        );
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    // The last line says what is wrong; those before draw the pattern.
    let last = text.lines().last().unwrap_or_default();
    format!("not a regular expression: {}", last.strip_prefix("error: ").unwrap_or(last))
}

/// The automata of a check, one for each pattern that was used.
#[derive(Debug, Default)]
pub(super) struct Caches {
    caches: std::collections::HashMap<usize, dfa::Cache>,
    bytes: usize,
}

impl Caches {
    /// Whether a text matches a pattern anywhere.
    pub(super) fn is_match(
        &mut self,
        id: usize,
        pattern: &Pattern,
        text: &str,
        steps: &mut Steps,
    ) -> Result<bool, StepsExhausted> {
        steps.take(1 + text.len())?;
        if self.bytes > CACHES_BYTES {
            self.caches.clear();
            self.bytes = 0;
        }
        let mut made = false;
        let cache = self.caches.entry(id).or_insert_with(|| {
            made = true;
            pattern.dfa.create_cache()
        });
        let (before, cleared) = (if made { 0 } else { cache.memory_usage() }, cache.clear_count());
        let found = pattern.dfa.try_search_fwd(cache, &Input::new(text).earliest(true));
        // Building the automaton is work as well: about its size.
        let built = match cache.clear_count().saturating_sub(cleared) {
            0 => cache.memory_usage().saturating_sub(before),
            times => (times + 1) * cache.memory_usage().max(CACHE_BYTES),
        };
        self.bytes = (self.bytes + cache.memory_usage()).saturating_sub(before);
        if found.is_err() {
            // It counts how often it was cleared over all searches; another text deserves another try.
            pattern.dfa.reset_cache(cache);
        }
        steps.take(built / 8)?;
        match found {
            Ok(found) => Ok(found.is_some()),
            Err(_) => simulate(pattern, text, steps),
        }
    }
}

/// The search for what the automaton cannot or will not do: each byte costs the pattern's states.
fn simulate(pattern: &Pattern, text: &str, steps: &mut Steps) -> Result<bool, StepsExhausted> {
    let nfa = pattern.dfa.get_nfa();
    steps.take(nfa.states().len().saturating_mul(text.len() + 1))?;
    let Ok(simulation) = PikeVM::new_from_nfa(nfa.clone()) else { return Err(StepsExhausted) };
    let mut cache = simulation.create_cache();
    Ok(simulation.is_match(&mut cache, text))
}

/// How many classes of Unicode a pattern names.
pub(super) fn unicode_classes(text: &str) -> usize {
    text.matches("\\p").count() + text.matches("\\P").count()
}

/// Whether a text is a pattern that could be compiled, by its syntax alone: for the format `regex`.
pub(super) fn is_pattern(text: &str) -> bool {
    unicode_classes(text) <= MAX_UNICODE_CLASSES
        && translate(text)
            .is_ok_and(|text| syntax::parse_with(&text, &syntax::Config::new().nest_limit(MAX_NESTING)).is_ok())
}

/// A pattern of ECMAScript as one of `regex`:
/// - `\d` and `\w` are ASCII;
/// - within a class `[`, `&`, `~` are themselves, and `-` beside `-`;
/// - no flags, look-around or references.
pub(super) fn translate(text: &str) -> Result<String, String> {
    if text.len() > MAX_PATTERN_TEXT {
        return Err(format!("a pattern has at most {MAX_PATTERN_TEXT} bytes; this one has {}", text.len()));
    }
    let mut out = String::with_capacity(text.len() * 2);
    let mut chars = text.chars().peekable();
    let mut class = false;
    while let Some(char) = chars.next() {
        match char {
            '\\' => escape(chars.next(), class, &mut out)?,
            '[' if !class => {
                class = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // `[]` matches nothing and `[^]` anything; `regex` would take the bracket for a character.
                if chars.peek() == Some(&']') {
                    chars.next();
                    let any = out.ends_with('^');
                    out.truncate(out.len() - 1 - usize::from(any));
                    out.push_str(if any { "(?s:.)" } else { "[a&&b]" });
                    class = false;
                }
            }
            ']' if class => {
                class = false;
                out.push(']');
            }
            '[' | '&' | '~' if class => {
                out.push('\\');
                out.push(char);
            }
            '-' if class && chars.peek() == Some(&'-') => out.push_str("\\-"),
            '(' if !class && chars.peek() == Some(&'?') => {
                out.push('(');
                group(&mut chars.clone())?;
            }
            _ => out.push(char),
        }
    }
    Ok(out)
}

/// What follows `(`: a group with a name or without, and nothing else.
fn group(chars: &mut impl Iterator<Item = char>) -> Result<(), String> {
    chars.next();
    match (chars.next(), chars.next()) {
        (Some(':'), _) => Ok(()),
        (Some('<'), Some(name)) if name != '=' && name != '!' => Ok(()),
        (Some('=' | '!' | '<'), _) => {
            Err("look-ahead and look-behind (`(?=`, `(?!`, `(?<=`, `(?<!`) are not supported: use `allOf` and `not`"
                .into())
        }
        _ => {
            Err("`(?` begins a group without a number, `(?:…)`, or with a name, `(?<name>…)`; flags are not supported"
                .into())
        }
    }
}

fn escape(char: Option<char>, class: bool, out: &mut String) -> Result<(), String> {
    let Some(char) = char else { return Err("a pattern cannot end with `\\`".into()) };
    match char {
        'd' => out.push_str(if class { "0-9" } else { "[0-9]" }),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str(if class { "0-9A-Za-z_" } else { "[0-9A-Za-z_]" }),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        'b' if class => out.push_str("\\x08"),
        'b' => out.push_str("(?-u:\\b)"),
        'B' => return Err("`\\B` is not supported".into()),
        '0' => out.push_str("\\x00"),
        '1'..='9' => return Err(format!("references to groups such as `\\{char}` are not supported")),
        'k' => return Err("references to groups such as `\\k<name>` are not supported".into()),
        'c' => return Err("`\\c` is not supported: write `\\x0a`".into()),
        'A' | 'z' | 'Z' | 'G' | 'Q' | 'E' | 'h' | 'H' | 'R' | 'X' | 'a' | 'e' => {
            return Err(format!("`\\{char}` is not an escape of ECMAScript's patterns"));
        }
        '/' | '"' | '\'' | ':' | ',' | ';' | '=' | '@' | '%' | '_' | '`' | ' ' | '!' | '<' | '>' => {
            // `regex` has other meanings for some of these escapes, and none for the rest.
            out.push(char);
        }
        _ => {
            out.push('\\');
            out.push(char);
        }
    }
    Ok(())
}
