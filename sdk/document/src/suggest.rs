//! What somebody may have meant.

/// The longest name that somebody may have meant otherwise, in bytes.
const MAX_GIVEN: usize = 200;

/// How many letters are compared with each other for one suggestion. Of very many names the rest is not looked at:
/// an error is reported all the same.
const MAX_COMPARED: usize = 100_000;

/// The closest of `known` to `given`, if one is close enough to be a slip.
pub(super) fn closest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody slips in a name as long as that, and comparing takes its length for each of the known.
    if given.len() > MAX_GIVEN {
        return None;
    }
    let length = given.chars().count();
    let reach = (length / 3).clamp(1, 4);
    let lower = given.to_lowercase();
    let mut left = MAX_COMPARED;
    let mut best: Option<(usize, &str)> = None;
    for name in known {
        // A name that is so much longer or shorter is not a slip, whatever is in it.
        if name == given || name.len() > 4 * MAX_GIVEN || name.chars().count().abs_diff(length) > reach {
            continue;
        }
        let Some(rest) = left.checked_sub(length * name.len()) else { break };
        left = rest;
        let distance = strsim::osa_distance(&lower, &name.to_lowercase());
        if distance <= reach && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

/// `; did you mean `…`?`, or nothing.
pub(crate) fn hint<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(given, known).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// A list of names for people: `` `a`, `b` and `c` ``; beyond twelve, how many more.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 12;
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if names.len() > SHOWN {
        return format!("{} and {} more", names[..SHOWN].join(", "), names.len() - SHOWN);
    }
    match names.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_slips_only() {
        let known = ["needs", "script", "secrets"];
        assert_eq!(closest("neds", known), Some("needs"));
        assert_eq!(closest("secret", known), Some("secrets"));
        assert_eq!(closest("colour", known), None);
        assert_eq!(closest(&"s".repeat(1_000_000), known), None);
        assert_eq!(hint("scrpit", known), "; did you mean `script`?");
    }

    #[test]
    fn looks_at_so_many_names_only() {
        // As many as nobody could compare.
        let given = "a".repeat(MAX_GIVEN);
        let other = "b".repeat(MAX_GIVEN);
        assert_eq!(closest(&given, std::iter::repeat(other.as_str())), None);
    }

    #[test]
    fn lists_for_people() {
        assert_eq!(list(["a"]), "`a`");
        assert_eq!(list(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
