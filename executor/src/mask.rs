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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use base64::{
        Engine as _,
        engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
    };
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Masker, TooLarge> {
        Masker::new(secrets.into_iter().map(|value| Secret { step: "send", key: "KEY", value }))
    }

    fn masker(secret: &str) -> Masker {
        of([secret]).unwrap()
    }

    #[test]
    fn the_mask_does_not_tell_the_length() {
        for secret in ["12345678", "a much longer secret, of many words"] {
            assert_eq!(masker(secret).mask(&format!("<{secret}>")), format!("<{MASK}>"));
        }
    }

    #[test]
    fn secrets_that_overlap_leave_nothing_over() {
        let masker = of(["abcdefgh", "efghijkl"]).unwrap();
        assert_eq!(masker.mask("xabcdefghijkly"), format!("x{MASK}y"));
    }

    /// The secrets of the review: lines that nest in one another, `bytes` of them in secrets of 8 KiB.
    fn nested(bytes: usize, line: impl Fn(usize) -> String) -> Vec<String> {
        let mut secrets = vec![String::new()];
        let mut all = 0;
        for number in (8..120).cycle() {
            let line = line(number);
            if all + line.len() > bytes {
                return secrets;
            }
            all += line.len() + 1;
            if secrets.last().is_some_and(|secret| secret.len() + line.len() + 1 > 8_192) {
                secrets.push(String::new());
            }
            let number = secrets.len();
            if let Some(secret) = secrets.last_mut() {
                if secret.is_empty() {
                    secret.push_str(&number.to_string());
                }
                secret.push('\n');
                secret.push_str(&line);
            }
        }
        secrets
    }

    #[test]
    fn memory_is_bounded_whatever_the_secrets_are() {
        for bytes in [8 * 1024, 64 * 1024, 400 * 1024] {
            let shapes = [
                nested(bytes, |number| "a".repeat(number)),
                nested(bytes, |number| "ab".repeat(number)),
                nested(bytes, |number| format!("{}b", "a".repeat(number))),
                nested(bytes, |number| format!("b{}", "a".repeat(number))),
                nested(bytes, |number| "é\"/".repeat(number)),
                nested(bytes, |number| hex::encode(number.to_be_bytes().repeat(number))),
                (0..bytes / 8_192).map(|number| "a".repeat(8_192 - number)).collect(),
                (0..bytes / 8_192).map(|number| format!("{number}{}", "a".repeat(8_180))).collect(),
                (0..bytes / 8_192).map(|number| format!("{}{number}", "a".repeat(8_180))).collect(),
            ];
            for secrets in shapes {
                let masker = of(secrets.iter().map(String::as_str)).unwrap();
                let memory = masker.memory_usage();
                assert!(memory <= 26 * bytes + 4_096 && memory <= MEMORY_BYTES, "{memory} bytes for {bytes}");
                // And a text that each of them nearly matches is read a bounded number of times.
                let budget = Budget::default();
                let text = "a".repeat(8_000);
                masker.mask_counting(&text, &budget);
                assert!(STEPS_PER_ATTEMPT - budget.left.load(Ordering::Relaxed) <= 9 * 8_000);
            }
        }
    }

    #[test]
    fn secrets_that_are_too_large_together_are_refused_by_name() {
        let secret = |n: usize| format!("{n}").chars().chain("é\"/".chars().cycle()).take(4_000).collect::<String>();
        let secrets: Vec<String> = (0..400).map(secret).collect();
        assert!(of(secrets.iter().take(100).map(String::as_str)).is_ok());
        let refused = of(secrets.iter().map(String::as_str)).unwrap_err().to_string();
        assert!(refused.contains("`KEY` of the step `send`"), "{refused}");
        // The same secrets named by many steps count once.
        assert!(of(secrets.iter().take(100).cycle().take(5_000).map(String::as_str)).is_ok());
    }

    #[test]
    fn what_a_cut_leaves_of_a_secret_is_not_shown() {
        let key: String = (0..6_000_u32).map(|n| char::from(b'a' + u8::try_from(n * n % 23).unwrap())).collect();
        let masker = masker(&key);
        let whole = format!("token {key} ").repeat(20);
        for length in [65_536, 65_530, 60_059, 60_060, 6_000, 100] {
            let shown = masker.mask_cut(&whole[..length]);
            assert!(!shown.contains(&key[..8]), "{length}: {shown}");
        }
        assert!(masker.mask_cut(&whole[..65_536]).contains(&format!("token {MASK} token {MASK}")));
    }

    #[test]
    fn mixtures_that_decode_to_a_secret_are_masked() {
        let masker = masker("päss/wörd \"7\"");
        for text in ["p%C3%A4ss%2fw%c3%b6rd+%227%22", "p%c3%A4ss/wörd%20%227\"", r#"p\u00e4ss\/w\u00F6rd \"7\u0022"#] {
            assert_eq!(masker.mask(&format!("<{text}>")), format!("<{MASK}>"));
        }
        assert_eq!(
            masker.mask(&format!("<{}>", hex::encode("päss/wörd \"7\"").replace('c', "C"))),
            format!("<{MASK}>")
        );
    }

    #[test]
    fn a_spent_budget_says_so() {
        let masker = masker("SECRET-0123456789");
        let budget = Budget { left: AtomicU64::new(1_000) };
        assert!(!masker.contains_secret("x ".repeat(400).as_bytes(), &budget) && !budget.is_spent());
        assert!(!masker.contains_secret("x ".repeat(400).as_bytes(), &budget) && budget.is_spent());
    }

    #[test]
    fn each_line_of_a_key_is_masked() {
        let key = "-----BEGIN KEY-----\nMIIBVgIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----\n";
        let masker = masker(key);
        assert_eq!(masker.mask("MIIBVgIBADANBgkq"), MASK);
        assert_eq!(masker.mask("-----BEGIN KEY-----"), "-----BEGIN KEY-----");
    }

    #[test]
    fn values_are_masked_in_keys_strings_and_numbers() {
        let masker = of(["hunter2hunter2", "1234567890"]).unwrap();
        let value = json!({"hunter2hunter2": [1_234_567_890, "a hunter2hunter2 b", 7, null]});
        assert_eq!(masker.mask_value(&value), json!({MASK: [MASK, format!("a {MASK} b"), 7, null]}));
    }

    #[test]
    fn no_secrets_change_nothing() {
        let masker = of([]).unwrap();
        assert_eq!(masker.mask("anything"), "anything");
        assert!(!masker.contains_secret(b"anything", &Budget::default()));
    }

    /// As URL encoders do that keep these characters besides letters and digits.
    fn percent_encode(text: &str, kept: &[u8]) -> String {
        let one = |byte: u8| match byte {
            _ if byte.is_ascii_alphanumeric() || kept.contains(&byte) => char::from(byte).to_string(),
            _ if byte.is_multiple_of(2) => format!("%{byte:02X}"),
            _ => format!("%{byte:02x}"),
        };
        text.bytes().map(one).collect()
    }

    /// As JSON encoders do that write ASCII only.
    fn escape_unicode(json: &str) -> String {
        let one = |character: char| match character {
            _ if character.is_ascii() => character.to_string(),
            _ => character
                .encode_utf16(&mut [0; 2])
                .iter()
                .map(|unit| format!("\\u{unit:04x}"))
                .collect::<Vec<_>>()
                .concat(),
        };
        json.chars().map(one).collect()
    }

    fn secret() -> impl Strategy<Value = String> {
        prop_oneof!["[!-~]{8,40}", "[ -~]{8,40}", "[a-z\"\\\\/\u{e9}\u{4e2d}\u{1f600}]{8,20}", "[A-Za-z0-9+/=]{16,64}",]
            // A secret that is a piece of its own mask, or of one repeated character, proves nothing.
            .prop_filter("too uniform", |secret| secret.chars().collect::<BTreeSet<_>>().len() > 3)
    }

    proptest! {
        #[test]
        fn no_form_of_a_secret_passes(secret in secret(), before in "[a-z ]{0,7}", after in "[a-z ]{0,7}") {
            let masker = masker(&secret);
            let whole = format!("{before}{secret}{after}");
            let json = Value::String(secret.clone()).to_string();
            let forms = [
                secret.clone(),
                json[1..json.len() - 1].to_owned(),
                percent_encode(&secret, b"-._~"),
                percent_encode(&secret, b"-._~!*'()"),
                percent_encode(&secret, b"-._~!*'();/?:@&=+$,#"),
                json[1..json.len() - 1].replace('/', "\\/"),
                escape_unicode(&json[1..json.len() - 1]),
                hex::encode_upper(&secret),
                url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
                hex::encode(&secret),
            ];
            for form in forms {
                let masked = masker.mask(&format!("{before}{form}{after}"));
                prop_assert!(!masked.contains(&form), "{form} in {masked}");
                prop_assert!(masked.contains(MASK), "{masked}");
            }
            // Whatever stands around it before it is encoded.
            for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
                let encoded = engine.encode(&whole);
                let masked = masker.mask(&encoded);
                prop_assert!(masked.contains(MASK), "{encoded} became {masked}");
                prop_assert!(masker.contains_secret(encoded.as_bytes(), &Budget::default()));
                // What is left decodes to nothing of the secret: at most its neighbours.
                let left: usize = masked.split(MASK).map(str::len).sum();
                let around = (before.len() * 4).div_ceil(3) + (after.len() * 4).div_ceil(3) + 4;
                prop_assert!(left <= around, "{left} characters of {encoded} are left: {masked}");
            }
        }

        #[test]
        fn what_holds_no_secret_stays(text in "[a-z •]{0,60}") {
            prop_assert_eq!(masker("SECRET-0123456789").mask(&text), text);
        }

        #[test]
        fn masking_twice_changes_nothing(secret in secret(), text in "[ -~]{0,30}") {
            let masker = masker(&secret);
            let once = masker.mask(&format!("{text}{secret}{text}"));
            prop_assert_eq!(masker.mask(&once), once.clone());
        }
    }
}
