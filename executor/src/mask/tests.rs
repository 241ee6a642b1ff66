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
    assert_eq!(masker.mask(&format!("<{}>", hex::encode("päss/wörd \"7\"").replace('c', "C"))), format!("<{MASK}>"));
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
        _ => {
            character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat()
        }
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
