//! Rules for the value of a single field. A rule checks a value and gives its JSON Schema, so the OpenAPI document
//! describes exactly the values that are accepted. The server decides which field has which rule.

use restroy_sdk::{document::is_module_name, permission::Permission};
use serde_json::{Value, json};

use super::FieldErrors;

/// The longest address (RFC 5321, section 4.5.3.1.3).
const MAX_EMAIL: usize = 254;
/// The longest key of a configuration, in bytes.
const MAX_KEY: usize = 64;
/// The longest path of a stream, in bytes.
const MAX_PATH: usize = 200;

/// A name's pattern: no spaces at either end, and nothing that nobody sees.
const NAME: &str = concat!(
    r"^[^\s\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]",
    r"([^\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]*",
    r"[^\s\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff])?$"
);

/// What a value of one type may be.
pub trait FieldRule {
    /// The type.
    type Of: ?Sized;

    /// Notes what is wrong with a value.
    fn check(&self, pointer: &str, value: &Self::Of, fields: &mut FieldErrors);

    /// The same as a JSON Schema, to be put beside the type.
    fn schema(&self) -> Value;
}

/// What a text may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextRule {
    /// A name for people: so many characters at most, no control characters, no outer spaces.
    Name(usize),
    /// Lines for people: so many characters at most.
    Lines(usize),
    /// What the databases keep as it is: so many bytes at most, without U+0000.
    Bytes(usize),
    /// An e-mail address that mail can reach.
    Email,
    /// A password that somebody chooses.
    Password,
    /// What scripts load a library module by.
    Module,
    /// A key of a configuration.
    Key,
    /// The path of a stream.
    Stream,
}

impl TextRule {
    /// Whether a value is one.
    pub fn is_valid(self, value: &str) -> bool {
        let within = |least: usize, most: usize| (least..=most).contains(&value.chars().count());
        match self {
            Self::Name(most) => within(1, most) && value.trim() == value && !value.chars().any(is_deceptive),
            Self::Lines(most) => {
                within(0, most) && !value.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
            }
            Self::Bytes(most) => value.len() <= most && !value.contains('\0'),
            Self::Email => {
                let value = value.trim();
                // Nothing is ever reached below `.invalid` (RFC 2606); accounts without a person have addresses
                // there.
                let reachable = !value.to_lowercase().ends_with(".invalid");
                // The local part is a dot-atom (RFC 5322, section 3.2.3), as the document's `email` format has it.
                let dots = value.starts_with('.') || value.contains("..") || value.contains(".@");
                value.len() <= MAX_EMAIL && reachable && !dots && garde::rules::email::parse_email(value).is_ok()
            }
            Self::Password => within(10, 256),
            Self::Module => is_module_name(value),
            Self::Key => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
                within(1, MAX_KEY) && value.bytes().all(plain) && !value.starts_with(|c: char| c.is_ascii_digit())
            }
            Self::Stream => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_".contains(&byte);
                let between = value.strip_prefix("/v1/").and_then(|rest| rest.strip_suffix("/stream"));
                value.len() <= MAX_PATH && between.is_some_and(|between| between.bytes().all(plain))
            }
        }
    }

    /// What it has to be, for whoever sent something else.
    fn expectation(self) -> String {
        match self {
            Self::Name(most) => format!("1 to {most} characters, no control characters, no space at either end"),
            Self::Lines(most) => {
                format!("at most {most} characters, no control characters but line ends and tabs")
            }
            Self::Bytes(most) => format!("at most {most} bytes, and no character U+0000"),
            Self::Email => "an e-mail address, such as `ann@example.com`".into(),
            Self::Password => "10 to 256 characters".into(),
            Self::Module => "a lower-case letter first, then lower-case letters, digits and `_`, at most 64 in \
                all"
            .into(),
            Self::Key => format!("1 to {MAX_KEY} letters, digits and `_`, not a digit first"),
            Self::Stream => "the path of a stream, such as `/v1/runs/{id}/stream`".into(),
        }
    }
}

impl FieldRule for TextRule {
    type Of = str;

    fn check(&self, pointer: &str, value: &str, fields: &mut FieldErrors) {
        if !self.is_valid(value) {
            fields.error(pointer, self.expectation());
        }
    }

    fn schema(&self) -> Value {
        match self {
            Self::Name(most) => json!({ "minLength": 1, "maxLength": most, "pattern": NAME }),
            Self::Lines(most) => json!({
                "maxLength": most, "pattern": r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$",
            }),
            // A character has a byte at least: no value that fits is longer.
            Self::Bytes(most) => json!({ "maxLength": most, "pattern": r"^[^\u0000]*$" }),
            Self::Email => json!({ "format": "email", "maxLength": MAX_EMAIL }),
            Self::Password => json!({ "minLength": 10, "maxLength": 256 }),
            Self::Module => json!({ "pattern": "^[a-z][a-z0-9_]{0,63}$", "examples": ["reports"] }),
            Self::Key => json!({ "pattern": format!("^[A-Za-z_][A-Za-z0-9_]{{0,{}}}$", MAX_KEY - 1) }),
            Self::Stream => json!({ "maxLength": MAX_PATH, "pattern": "^/v1/[A-Za-z0-9/_-]*/stream$" }),
        }
    }
}

/// Names of permissions: so many at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PermissionsRule(pub usize);

impl FieldRule for PermissionsRule {
    type Of = [String];

    fn check(&self, pointer: &str, names: &[String], fields: &mut FieldErrors) {
        let most = Permission::ALL.len();
        if !(self.0..=most).contains(&names.len()) {
            fields.error(pointer, format!("{} to {most} permissions", self.0));
            return;
        }
        for (n, name) in names.iter().enumerate() {
            if name.parse::<Permission>().is_err() {
                let detail = "not a permission; `GET /v1/permissions` lists those there are";
                fields.error(&format!("{pointer}/{n}"), detail);
            }
        }
    }

    fn schema(&self) -> Value {
        let names: Vec<&str> = Permission::ALL.iter().map(|permission| permission.as_str()).collect();
        json!({ "minItems": self.0, "maxItems": names.len(), "items": { "type": "string", "enum": names } })
    }
}

/// A whole number from the first to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeRule(pub u64, pub u64);

impl FieldRule for RangeRule {
    type Of = u64;

    fn check(&self, pointer: &str, value: &u64, fields: &mut FieldErrors) {
        if !(self.0..=self.1).contains(value) {
            fields.error(pointer, format!("{} to {}", self.0, self.1));
        }
    }

    fn schema(&self) -> Value {
        json!({ "minimum": self.0, "maximum": self.1 })
    }
}

/// A field as its rule sees it; none when it was left out.
pub trait FieldValue<T: ?Sized> {
    /// The value.
    fn value(&self) -> Option<&T>;
}

impl FieldValue<str> for String {
    fn value(&self) -> Option<&str> {
        Some(self)
    }
}

impl FieldValue<[String]> for Vec<String> {
    fn value(&self) -> Option<&[String]> {
        Some(self)
    }
}

impl FieldValue<u64> for u64 {
    fn value(&self) -> Option<&u64> {
        Some(self)
    }
}

impl<T: ?Sized, F: FieldValue<T>> FieldValue<T> for Option<F> {
    fn value(&self) -> Option<&T> {
        self.as_ref().and_then(FieldValue::value)
    }
}

/// Control characters, those that turn the direction of what follows (UAX #9), and those that
/// nobody sees: two names that look the same should be the same.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61C}' | '\u{200B}' | '\u{200E}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_show_what_they_are() {
        for bad in ["a\u{202E}b", "a\u{200B}", "\u{FEFF}a", "a\0", " a", ""] {
            assert!(!TextRule::Name(64).is_valid(bad), "{bad:?}");
        }
        assert!(TextRule::Name(64).is_valid("Звіт \u{1F468}\u{200D}\u{1F4BB}"));
        assert!(TextRule::Lines(9).is_valid("a\n\tb"));
        assert!(!TextRule::Lines(9).is_valid("\u{1b}[2J"));
    }

    /// What a schema says of a value.
    fn allows(schema: &Value, value: &Value) -> bool {
        jsonschema::options().should_validate_formats(true).build(schema).unwrap().is_valid(value)
    }

    /// Texts at whose ends or in whose midst there is something odd, and such as the rules want.
    fn texts() -> impl Strategy<Value = String> {
        let odd = prop::sample::select(vec![
            "",
            " ",
            "\u{a0}",
            "\u{85}",
            "\u{1680}",
            "\u{3000}",
            "\u{feff}",
            "\0",
            "\n",
            "\t",
            "\u{c}",
            "\u{7f}",
            "\u{9f}",
            "\u{200b}",
            "\u{200d}",
            "\u{202e}",
            "\u{2060}",
            "\u{2070}",
            "\u{10ffff}",
            "é",
            "/",
            "-",
            ".",
            "_",
        ]);
        let plain = prop_oneof![
            any::<String>(),
            "[a-z_]{0,70}",
            "[A-Za-z0-9_]{0,70}",
            "[a-z]{1,9}",
            "[ -~]{0,300}",
            "/v1/[a-z0-9/]{0,20}/stream",
            "(/v1)?/?(stream)?",
        ];
        (odd.clone(), plain, odd).prop_map(|(before, text, after)| format!("{before}{text}{after}"))
    }

    proptest! {
        #[test]
        fn a_rule_and_its_schema_say_the_same(value in texts()) {
            // An address is one of a format, of which a schema says no more; bytes are distinguished below.
            for rule in [TextRule::Name(8), TextRule::Name(64), TextRule::Lines(8), TextRule::Password, TextRule::Module, TextRule::Key, TextRule::Stream] {
                prop_assert_eq!(rule.is_valid(&value), allows(&rule.schema(), &json!(value)), "{:?} {:?}", rule, value);
            }
        }

        #[test]
        fn what_fits_is_allowed(value in texts(), local in "[a-z0-9.+_-]{1,20}", domain in "[a-z0-9]{1,9}(-[a-z0-9]{1,9})?") {
            let email = format!("{local}@{domain}.example");
            for (rule, value) in [(TextRule::Bytes(12), &value), (TextRule::Email, &value), (TextRule::Email, &email)] {
                if rule.is_valid(value) {
                    prop_assert!(allows(&rule.schema(), &json!(value.trim())), "{:?} {:?}", rule, value);
                }
            }
        }
    }

    #[test]
    fn permissions_and_numbers_say_the_same() {
        let known = Permission::ALL[0].as_str();
        let many = vec![known; Permission::ALL.len() + 1];
        for (names, fits) in [(vec![], false), (vec![known], true), (vec!["fly"], false), (many, false)] {
            let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
            let (rule, mut fields) = (PermissionsRule(1), FieldErrors::new());
            rule.check("/permissions", &names, &mut fields);
            assert_eq!(fields.finish().is_ok(), fits, "{names:?}");
            assert_eq!(allows(&rule.schema(), &json!(names)), fits, "{names:?}");
        }
        for (value, fits) in [(0, false), (1, true), (9, true), (10, false)] {
            let (rule, mut fields) = (RangeRule(1, 9), FieldErrors::new());
            rule.check("/n", &value, &mut fields);
            assert_eq!(fields.finish().is_ok(), fits, "{value}");
            assert_eq!(allows(&rule.schema(), &json!(value)), fits, "{value}");
        }
    }
}
