//! JSON of scripts, judged as the text that it is: no tree is made of it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::mask::{Budget, Masker};

/// How many values (objects, arrays, strings, numbers, truth values, nulls) and keys a text may have.
pub(crate) const MAX_VALUES: usize = 100_000;

/// What a value or key takes at most in a tree, beside its text: small objects take the most.
pub(crate) const TREE_BYTES: usize = 300;

/// What is wrong with a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum JsonProblem {
    /// It is not JSON.
    NotJson(String),
    /// It has more than [`MAX_VALUES`].
    TooMany,
    /// There is a secret in it.
    Secret,
}

/// Checks a text: that it is JSON, of a bounded number of values, without a secret in the text or in one of its strings.
/// Gives how many values and keys it has.
pub(crate) fn check(text: &str, masker: &Masker, budget: &Budget) -> Result<usize, JsonProblem> {
    let mut walk = JsonWalk { masker, budget, values: 0, secret: false };
    let mut reader = serde_json::Deserializer::from_str(text);
    let walked = Value(&mut walk).deserialize(&mut reader).and_then(|()| reader.end());
    if walk.values > MAX_VALUES {
        return Err(JsonProblem::TooMany);
    }
    walked.map_err(|error| JsonProblem::NotJson(error.to_string()))?;
    if walk.secret || masker.contains_secret(text.as_bytes(), budget) {
        return Err(JsonProblem::Secret);
    }
    Ok(walk.values)
}

struct JsonWalk<'a> {
    masker: &'a Masker,
    budget: &'a Budget,
    values: usize,
    secret: bool,
}

impl JsonWalk<'_> {
    fn count<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.values += 1;
        if self.values > MAX_VALUES { Err(E::custom("too many values")) } else { Ok(()) }
    }

    /// A string that stands in the text otherwise than it reads: the search of the text alone may miss what is encoded
    /// within it.
    fn unescaped(&mut self, text: &str) {
        self.secret = self.secret || self.masker.contains_secret(text.as_bytes(), self.budget);
    }
}

struct Value<'a, 'b>(&'a mut JsonWalk<'b>);

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_borrowed_str<E>(self, _: &'de str) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.unescaped(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Value(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while fields.next_key_seed(Value(self.0))?.is_some() {
            fields.next_value_seed(Value(self.0))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::mask::Secret;

    fn check(text: &str) -> Result<(), JsonProblem> {
        let masker = Masker::new([Secret { step: "a", key: "KEY", value: "hunter2/hunter2" }]).unwrap();
        super::check(text, &masker, &Budget::default()).map(drop)
    }

    proptest! {
        #[test]
        fn a_secret_within_a_value_is_found(
            secret in "[!-~]{8,40}|[ -~]{8,40}|[a-z\"\\\\/\u{e9}\u{4e2d}\u{1f600}]{8,20}",
            around in "[ -~]{0,10}",
        ) {
            let masker = Masker::new([Secret { step: "a", key: "KEY", value: &secret }]).unwrap();
            let inside = json!({"a": [1, format!("{around}{secret}{around}")]});
            let as_key = json!({format!("{around}{secret}"): 1});
            for value in [inside, as_key] {
                prop_assert_eq!(super::check(&value.to_string(), &masker, &Budget::default()), Err(JsonProblem::Secret));
            }
        }
    }

    #[test]
    fn what_is_json_and_holds_no_secret_passes() {
        for text in ["null", "1e5", r#"{"a": [1, -2, 0.5, true, "x\n", {}]}"#, "\"\\ud83d\\ude00\""] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn invalid_json_does_not() {
        for text in ["", "1 2", "{\"a\"}", "\"\\ud800\"", "1e999", &"[".repeat(200)] {
            assert!(matches!(check(text), Err(JsonProblem::NotJson(_))), "{text}");
        }
    }

    #[test]
    fn values_are_bounded_in_each_shape() {
        let shapes: [fn(usize) -> String; 3] = [
            |count| format!("[{}]", vec!["0"; count - 1].join(",")),
            |count| format!("[{}]", vec!["{}"; count - 1].join(",")),
            |count| format!("{{{}}}", (0..(count - 1) / 2).map(|n| format!("\"{n}\":1")).collect::<Vec<_>>().join(",")),
        ];
        for shape in shapes {
            assert_eq!(check(&shape(MAX_VALUES)), Ok(()));
            assert_eq!(check(&shape(MAX_VALUES + 3)), Err(JsonProblem::TooMany));
        }
    }

    #[test]
    fn secrets_are_found_in_keys_strings_and_escapes() {
        for text in [
            r#""hunter2/hunter2""#,
            r#"{"a": ["x hunter2/hunter2"]}"#,
            r#"{"hunter2\/hunter2": 1}"#,
            r#""\u0068unter2/hunter2""#,
            r#""aHVudGVyMi9odW50ZXIy""#,
            // Base64 that is escaped as JSON, and JSON within JSON.
            r#""\u0061HVudGVyMi9odW50ZXIy""#,
            r#""{\"a\": \"hunter2\\/hunter2\"}""#,
        ] {
            assert_eq!(check(text), Err(JsonProblem::Secret), "{text}");
        }
    }
}
