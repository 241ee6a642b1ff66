//! Secrets, kept out of everything that leaves the executor.
//!
//! A secret is looked for as it is and in the forms in which it commonly travels: base64 (standard
//! and URL-safe, in its three alignments), URL-encoded, escaped as JSON, and in hex. In lines,
//! messages and tracebacks it is replaced by a mask of fixed length, which does not tell how long
//! the secret is; in values that outlive the step (outputs, kv, e-mail, artifacts) it is detected,
//! and the step fails.
//!
//! This guards against accidents, not against a script that means to give its own secrets away: any
//! encoding that is not listed here passes.

use std::{collections::BTreeSet, ops::Range};

use aho_corasick::AhoCorasick;
use base64::{
    Engine as _,
    alphabet::{self, Alphabet},
    engine::general_purpose::{GeneralPurpose, NO_PAD},
};
use serde_json::Value;

/// What stands in place of a secret.
pub(crate) const MASK: &str = "••••••••";

/// A secret has at least so many bytes; something shorter would mask half of every line.
const SHORTEST: usize = 8;
/// The most forms that are looked for: 100 secrets in about twenty forms each.
const MOST_FORMS: usize = 10_000;
/// What all forms may take together, in bytes: looking for them takes about twelve times as much
/// memory, and a task holds it for as long as it runs.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// A form of a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Form {
    text: Vec<u8>,
    /// In base64 a character at the edge may hold bits of the secret and of its neighbour: it is
    /// masked along.
    edges: (bool, bool),
}

/// Finds and masks a set of secrets.
#[derive(Debug, Default)]
pub(crate) struct Masker {
    search: Option<AhoCorasick>,
    edges: Vec<(bool, bool)>,
}

impl Masker {
    /// Looks for these secrets from now on.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut forms = BTreeSet::new();
        for secret in secrets {
            add_forms(secret, &mut forms);
            // The lines of a secret of several lines (a PEM key) are printed one by one.
            if secret.contains('\n') {
                secret.lines().map(str::trim).filter(|line| !line.starts_with("-----")).for_each(|line| {
                    add_forms(line, &mut forms);
                });
            }
            // Looked at after each, so that the forms themselves stay few.
            let bytes: usize = forms.iter().map(|form: &Form| form.text.len()).sum();
            if forms.len() > MOST_FORMS || bytes > MOST_BYTES {
                return Err(format!(
                    "the run's secrets are too many or too large to be looked for (limit: {MOST_FORMS} forms, {MOST_BYTES} bytes together)"
                ));
            }
        }
        if forms.is_empty() {
            return Ok(Self::default());
        }
        let search = AhoCorasick::new(forms.iter().map(|form| &form.text)).map_err(|error| error.to_string())?;
        Ok(Self { search: Some(search), edges: forms.iter().map(|form| form.edges).collect() })
    }

    /// The text with every secret masked.
    pub(crate) fn mask(&self, text: &str) -> String {
        let places = self.places(text.as_bytes());
        if places.is_empty() {
            return text.to_owned();
        }
        let mut masked = String::with_capacity(text.len());
        let mut end = 0;
        for place in places {
            // Forms are whole characters of valid UTF-8, so a place begins and ends between two.
            masked.push_str(text.get(end..place.start).unwrap_or_default());
            masked.push_str(MASK);
            end = place.end;
        }
        masked.push_str(text.get(end..).unwrap_or_default());
        masked
    }

    /// Whether there is a secret in these bytes.
    pub(crate) fn finds(&self, bytes: &[u8]) -> bool {
        self.search.as_ref().is_some_and(|search| search.is_match(bytes))
    }

    /// Whether there is a secret in a JSON value, as its text or within one of its strings.
    pub(crate) fn finds_in(&self, value: &Value) -> bool {
        self.search.is_some() && (self.finds(value.to_string().as_bytes()) || self.in_strings(value))
    }

    fn in_strings(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.finds(text.as_bytes()),
            Value::Array(items) => items.iter().any(|item| self.in_strings(item)),
            Value::Object(fields) => {
                fields.iter().any(|(key, value)| self.finds(key.as_bytes()) || self.in_strings(value))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    /// The value with every secret masked, in keys, strings and numbers.
    pub(crate) fn mask_value(&self, value: &Value) -> Value {
        if self.search.is_none() {
            return value.clone();
        }
        match value {
            Value::String(text) => Value::String(self.mask(text)),
            Value::Array(items) => items.iter().map(|item| self.mask_value(item)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(key, value)| (self.mask(key), self.mask_value(value))).collect()
            }
            Value::Number(number) if self.finds(number.to_string().as_bytes()) => Value::String(MASK.to_owned()),
            other => other.clone(),
        }
    }

    /// Where secrets lie: in order, apart from one another.
    fn places(&self, text: &[u8]) -> Vec<Range<usize>> {
        let Some(search) = &self.search else { return Vec::new() };
        let mut found: Vec<Range<usize>> = search
            .find_overlapping_iter(text)
            .map(|found| {
                let (before, after) = self.edges.get(found.pattern().as_usize()).copied().unwrap_or_default();
                let is_base64 = |at: usize| text.get(at).is_some_and(|byte| in_base64(*byte));
                let start = found.start();
                let start = if before && start > 0 && is_base64(start - 1) { start - 1 } else { start };
                let end = if after && is_base64(found.end()) { found.end() + 1 } else { found.end() };
                start..end
            })
            .collect();
        found.sort_by_key(|place| place.start);
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

fn in_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

fn add_forms(secret: &str, forms: &mut BTreeSet<Form>) {
    if secret.len() < SHORTEST {
        return;
    }
    let mut plain = |text: String| {
        forms.insert(Form { text: text.into_bytes(), edges: (false, false) });
    };
    plain(secret.to_owned());

    let json = serde_json::Value::String(secret.to_owned()).to_string();
    let json = json.get(1..json.len().saturating_sub(1)).unwrap_or_default();
    plain(json.to_owned());
    plain(json.replace('/', "\\/"));
    for upper in [false, true] {
        plain(escape_unicode(json, upper));
        for kept in URL_KEPT {
            let encoded = percent_encode(secret, kept, upper);
            plain(encoded.replace("%20", "+"));
            plain(encoded);
        }
        plain(hex(secret, upper));
    }
    for alphabet in [&alphabet::STANDARD, &alphabet::URL_SAFE] {
        for shift in 0..3 {
            forms.insert(base64_form(secret, alphabet, shift));
        }
    }
}

/// What of the secret's base64 does not depend on its neighbours, when `shift` bytes stand before it
/// in its group of three.
fn base64_form(secret: &str, alphabet: &Alphabet, shift: usize) -> Form {
    let mut bytes = vec![0; shift];
    bytes.extend_from_slice(secret.as_bytes());
    let encoded = GeneralPurpose::new(alphabet, NO_PAD).encode(&bytes);
    let start = [0, 2, 3][shift % 3];
    let end = bytes.len() * 8 / 6;
    let edges = (shift > 0, !bytes.len().is_multiple_of(3));
    Form { text: encoded.get(start..end).unwrap_or_default().as_bytes().to_vec(), edges }
}

/// What URL encoders leave as it is, besides letters and digits: RFC 3986's unreserved characters,
/// HTML forms, JavaScript's `encodeURIComponent`, and its `encodeURI`.
const URL_KEPT: [&[u8]; 4] = [b"-._~", b"-._*", b"-._~!*'()", b"-._~!*'();/?:@&=+$,#"];

/// Percent-encodes all but letters, digits and what is kept.
fn percent_encode(text: &str, kept: &[u8], upper: bool) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        let _ = match byte {
            _ if byte.is_ascii_alphanumeric() || kept.contains(&byte) => {
                encoded.push(char::from(byte));
                Ok(())
            }
            _ if upper => write!(encoded, "%{byte:02X}"),
            _ => write!(encoded, "%{byte:02x}"),
        };
    }
    encoded
}

/// Writes what is not ASCII as `\uXXXX`, as many JSON encoders do.
fn escape_unicode(json: &str, upper: bool) -> String {
    use std::fmt::Write as _;
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            escaped.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = if upper { write!(escaped, "\\u{unit:04X}") } else { write!(escaped, "\\u{unit:04x}") };
        }
    }
    escaped
}

fn hex(text: &str, upper: bool) -> String {
    if upper { hex::encode_upper(text) } else { hex::encode(text) }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn masker(secret: &str) -> Masker {
        Masker::new([secret]).unwrap()
    }

    #[test]
    fn the_mask_does_not_tell_the_length() {
        for secret in ["12345678", "a much longer secret, of many words"] {
            assert_eq!(masker(secret).mask(&format!("<{secret}>")), format!("<{MASK}>"));
        }
    }

    #[test]
    fn secrets_that_overlap_leave_nothing_over() {
        let masker = Masker::new(["abcdefgh", "efghijkl"]).unwrap();
        assert_eq!(masker.mask("xabcdefghijkly"), format!("x{MASK}y"));
    }

    #[test]
    fn what_is_looked_for_is_bounded() {
        let secret = |n: usize| format!("{n}").chars().chain("é\"/".chars().cycle()).take(4_000).collect::<String>();
        let secrets: Vec<String> = (0..200).map(secret).collect();
        assert!(Masker::new(secrets.iter().take(5).map(String::as_str)).is_ok());
        assert!(Masker::new(secrets.iter().map(String::as_str)).is_err());
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
        let masker = Masker::new(["hunter2hunter2", "1234567890"]).unwrap();
        let value = json!({"hunter2hunter2": [1_234_567_890, "a hunter2hunter2 b", 7, null]});
        assert_eq!(masker.mask_value(&value), json!({MASK: [MASK, format!("a {MASK} b"), 7, null]}));
        assert!(masker.finds_in(&value));
        assert!(!masker.finds_in(&json!({"a": [1, "b"]})));
    }

    #[test]
    fn no_secrets_change_nothing() {
        let masker = Masker::new([]).unwrap();
        assert_eq!(masker.mask("anything"), "anything");
        assert!(!masker.finds(b"anything"));
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
                percent_encode(&secret, URL_KEPT[0], true),
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
                prop_assert!(masker.finds(encoded.as_bytes()));
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

        #[test]
        fn a_string_within_a_value_is_found(secret in secret(), around in "[ -~]{0,10}") {
            let masker = masker(&secret);
            let inside = json!({"a": [1, format!("{around}{secret}{around}")]});
            let as_key = json!({format!("{around}{secret}"): 1});
            prop_assert!(masker.finds_in(&inside));
            prop_assert!(masker.finds_in(&as_key));
        }
    }
}
