//! Secrets, kept out of everything that leaves the executor.
//!
//! A secret is looked for as it is and in the forms in which it commonly travels: base64 (standard
//! and URL-safe, in every alignment), URL-encoded, escaped as JSON, and in hex. In lines,
//! messages and tracebacks it is replaced by a mask of fixed length, which does not tell how long
//! the secret is; in values that outlive the step (outputs, kv, e-mail, artifacts) it is detected,
//! and the step fails.
//!
//! This guards against accidents, not against a script that means to give its own secrets away: any
//! encoding that is not listed here passes.
//!
//! Secrets are a tenant's input: memory and building time are linear in their bytes ([`automaton`]) and bounded
//! ([`PATTERN_BYTES`], [`MEMORY_BYTES`]); searching is linear in the text, and what an attempt may have searched is
//! bounded too ([`STEPS_PER_ATTEMPT`]).

mod automaton;
mod decode;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    ops::{ControlFlow, Range},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::Value;

use self::{
    automaton::{Automaton, ROOT},
    decode::ByteSink,
};

/// What stands in place of a secret.
pub(crate) const MASK: &str = "••••••••";

/// A secret has at least so many bytes; something shorter would mask half of every line.
const SHORTEST: usize = 8;
/// How many lines of a secret of several lines are looked for by themselves: as many as 8 KiB of PEM have.
const LINES: usize = 128;
/// What is looked for may take so many bytes, all secrets of a run and their lines together.
const PATTERN_BYTES: usize = 1024 * 1024;
/// What a masker may hold: 13 bytes for each byte that is looked for, and the bytes themselves while it is built.
pub(crate) const MEMORY_BYTES: usize = 16 * 1024 * 1024;
/// How many bytes one attempt may have searched. A byte counts once for each encoding that is undone: one to three
/// times in ordinary text, nine times at most.
pub(crate) const STEPS_PER_ATTEMPT: u64 = 256 * 1024 * 1024;
/// A text of more bytes is searched away from the async threads.
pub(crate) const LARGE: usize = 32 * 1024;

/// A secret of a step.
#[derive(Clone, Copy)]
pub(crate) struct Secret<'a> {
    pub(crate) step: &'a str,
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
}

/// Secrets that are too large together to be looked for. Says which is the largest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TooLarge {
    bytes: usize,
    step: String,
    key: String,
    largest: usize,
}

impl TooLarge {
    fn new(bytes: usize, largest: Secret<'_>) -> Self {
        let Secret { step, key, value } = largest;
        Self { bytes, step: step.to_owned(), key: key.to_owned(), largest: value.len() }
    }
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, step, key, largest } = self;
        write!(
            f,
            "the secrets of this run are too large to be masked: {bytes} bytes with their lines (limit: {PATTERN_BYTES}). \
             The largest is `{key}` of the step `{step}` with {largest} bytes. Use fewer or smaller secrets"
        )
    }
}

/// Finds and masks a set of secrets. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Masker(Option<Arc<SecretSearch>>);

struct SecretSearch {
    automaton: Automaton,
    /// The length of the longest pattern.
    longest: usize,
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its states spell the secrets.
        f.debug_tuple("Masker").field(&self.memory_usage()).finish()
    }
}

impl Masker {
    /// Looks for these secrets. Takes up to a few tenths of a second: not for an async thread.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = Secret<'a>>) -> Result<Self, TooLarge> {
        let mut patterns: Vec<&[u8]> = Vec::new();
        let mut largest: Option<Secret<'a>> = None;
        let mut bytes = 0_usize;
        for secret in secrets {
            if secret.value.len() < SHORTEST {
                continue;
            }
            if largest.is_none_or(|largest| largest.value.len() < secret.value.len()) {
                largest = Some(secret);
            }
            let before = patterns.len();
            patterns.push(secret.value.as_bytes());
            patterns.extend(lines(secret.value).map(str::as_bytes));
            bytes += patterns[before..].iter().map(|pattern| pattern.len()).sum::<usize>();
            if bytes > PATTERN_BYTES {
                // Steps may name the same secrets: those count once.
                patterns.sort_unstable();
                patterns.dedup();
                bytes = patterns.iter().map(|pattern| pattern.len()).sum();
            }
            if bytes > PATTERN_BYTES {
                return Err(TooLarge::new(bytes, largest.unwrap_or(secret)));
            }
        }
        if patterns.is_empty() {
            return Ok(Self::default());
        }
        patterns.sort_unstable();
        patterns.dedup();
        let longest = patterns.iter().map(|pattern| pattern.len()).max().unwrap_or_default();
        let masker = Self(Some(Arc::new(SecretSearch { automaton: Automaton::new(&patterns), longest })));
        match largest {
            Some(largest) if masker.memory_usage() > MEMORY_BYTES => Err(TooLarge::new(bytes, largest)),
            _ => Ok(masker),
        }
    }

    /// What it holds, in bytes.
    pub(crate) fn memory_usage(&self) -> usize {
        self.0.as_ref().map_or(0, |search| search.automaton.memory_usage())
    }

    /// Whether there is nothing to look for.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The text with every secret masked.
    pub(crate) fn mask(&self, text: &str) -> String {
        self.mask_counting(text, &Budget::default())
    }

    /// The text with every secret masked. What it takes is counted.
    pub(crate) fn mask_counting(&self, text: &str, budget: &Budget) -> String {
        let places = self.places(text.as_bytes(), budget);
        if places.is_empty() {
            return text.to_owned();
        }
        let mut masked = String::with_capacity(text.len());
        let mut end = 0;
        for place in places {
            // What is found is whole characters of valid UTF-8, so a place begins and ends between two.
            masked.push_str(text.get(end..place.start).unwrap_or_default());
            masked.push_str(MASK);
            end = place.end;
        }
        masked.push_str(text.get(end..).unwrap_or_default());
        masked
    }

    /// Bytes with every secret masked. What it takes is counted.
    pub(crate) fn mask_bytes(&self, bytes: Vec<u8>, budget: &Budget) -> Vec<u8> {
        let places = self.places(&bytes, budget);
        if places.is_empty() {
            return bytes;
        }
        let mut masked = Vec::with_capacity(bytes.len());
        let mut end = 0;
        for place in places {
            masked.extend_from_slice(&bytes[end..place.start]);
            masked.extend_from_slice(MASK.as_bytes());
            end = place.end;
        }
        masked.extend_from_slice(&bytes[end..]);
        masked
    }

    /// The text with every secret masked, where it was cut at its end before anything was masked: without as much of
    /// its end as the beginning of a secret could take.
    pub(crate) fn mask_cut(&self, text: &str) -> String {
        let Some(search) = &self.0 else { return text.to_owned() };
        let kept = text.floor_char_boundary(text.len().saturating_sub(search.longest * LONGEST_ENCODING));
        // Masked as a whole, so that what reaches over the new end is masked too.
        let places = self.places(text.as_bytes(), &Budget::default());
        let end = places.iter().find(|place| place.start < kept && kept < place.end).map_or(kept, |place| place.end);
        self.mask(text.get(..end).unwrap_or_default())
    }

    /// Whether there is a secret in these bytes.
    pub(crate) fn contains_secret(&self, bytes: &[u8], budget: &Budget) -> bool {
        let Some(search) = &self.0 else { return false };
        let mut scan = Scan::new(search, bytes, true);
        scan.all();
        budget.take(scan.steps);
        !scan.found.is_empty()
    }

    /// The value with every secret masked, in keys, strings and numbers.
    pub(crate) fn mask_value(&self, value: &Value) -> Value {
        if self.is_empty() {
            return value.clone();
        }
        match value {
            Value::String(text) => Value::String(self.mask(text)),
            Value::Array(items) => items.iter().map(|item| self.mask_value(item)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(key, value)| (self.mask(key), self.mask_value(value))).collect()
            }
            Value::Number(number) if self.contains_secret(number.to_string().as_bytes(), &Budget::default()) => {
                Value::String(MASK.to_owned())
            }
            other => other.clone(),
        }
    }

    /// Where secrets lie: in order, apart from one another.
    fn places(&self, text: &[u8], budget: &Budget) -> Vec<Range<usize>> {
        let Some(search) = &self.0 else { return Vec::new() };
        let mut scan = Scan::new(search, text, false);
        scan.all();
        budget.take(scan.steps);
        let mut found = scan.found;
        found.sort_unstable_by_key(|place| place.start);
        let mut places: Vec<Range<usize>> = Vec::with_capacity(found.len());
        for place in found {
            match places.last_mut() {
                Some(last) if place.start <= last.end => last.end = last.end.max(place.end),
                _ => places.push(place),
            }
        }
        places
    }
}

/// How many characters a byte of a secret takes at most in an encoding that is looked for: `\u0041`.
const LONGEST_ENCODING: usize = 6;

/// What masking may take, in bytes searched.
#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: AtomicU64::new(STEPS_PER_ATTEMPT) }
    }
}

impl Budget {
    fn take(&self, steps: u64) {
        // Saturates: what is searched once more than allowed is searched to its end.
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(steps)));
    }

    /// Whether all of it is used.
    pub(crate) fn is_spent(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }
}

/// The lines of a secret of several lines (a PEM key, a JSON key file), which are printed one by one; not the first
/// and last line of a PEM, which everybody knows.
fn lines(secret: &str) -> impl Iterator<Item = &str> {
    let several = secret.contains('\n');
    let lines = secret.lines().filter(move |_| several).map(str::trim);
    lines.filter(|line| line.len() >= SHORTEST && !line.starts_with("-----")).take(LINES)
}

/// One search of one text.
struct Scan<'a> {
    search: &'a SecretSearch,
    text: &'a [u8],
    /// The first find is enough.
    any: bool,
    state: u32,
    steps: u64,
    /// Where the bytes read last begin in the text: as many as a pattern may have, a power of two.
    starts: Vec<usize>,
    read: usize,
    /// What was found, without what lies within another find of the same encoding.
    found: Vec<Range<usize>>,
    /// Where the finds of the current encoding begin.
    current: usize,
}

impl<'a> Scan<'a> {
    fn new(search: &'a SecretSearch, text: &'a [u8], any: bool) -> Self {
        let starts = search.longest.min(text.len()).next_power_of_two();
        Self {
            search,
            text,
            any,
            state: ROOT,
            steps: 0,
            starts: vec![0; starts],
            read: 0,
            found: Vec::new(),
            current: 0,
        }
    }

    /// Searches in all encodings.
    fn all(&mut self) {
        let text = self.text;
        if text.len() < SHORTEST {
            return;
        }
        let has = |byte| text.contains(&byte);
        let mut pass = |read: &dyn Fn(&mut Self) -> ControlFlow<()>| {
            self.gap();
            self.current = self.found.len();
            read(self)
        };
        let _ = (|| {
            pass(&|this| decode::plain(text, this))?;
            if has(b'\\') {
                pass(&|this| decode::json(text, this))?;
            }
            if has(b'%') {
                pass(&|this| decode::percent(text, false, this))?;
            }
            if has(b'+') {
                pass(&|this| decode::percent(text, true, this))?;
            }
            pass(&|this| decode::hex(text, this))?;
            pass(&|this| decode::base64(text, this))
        })();
    }

    /// Takes a find, together with those before it that touch it.
    fn find(&mut self, mut place: Range<usize>) {
        while self.found.len() > self.current
            && let Some(last) = self.found.last()
            && place.start <= last.end
            && last.start <= place.end
        {
            place = place.start.min(last.start)..place.end.max(last.end);
            self.found.pop();
        }
        self.found.push(place);
    }
}

impl ByteSink for Scan<'_> {
    #[inline]
    fn feed(&mut self, byte: u8, place: Range<usize>) -> ControlFlow<()> {
        self.steps += 1;
        let last = self.starts.len() - 1;
        self.starts[self.read & last] = place.start;
        self.read += 1;
        self.state = self.search.automaton.next(self.state, byte);
        let length = self.search.automaton.longest(self.state);
        if length > 0 {
            let start = self.starts[(self.read - length) & last];
            self.find(start..place.end);
            if self.any {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn gap(&mut self) {
        self.state = ROOT;
    }
}
