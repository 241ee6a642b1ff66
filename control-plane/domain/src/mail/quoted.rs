//! Names that strangers chose, in plain text that a person reads.

/// A name in quotation marks, of which no e-mail program makes a link: whoever gets the e-mail does not know who
/// chose the name. Where a name could be taken for an address, its dots and its `://` stand in brackets.
pub fn quoted(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    text.push('"');
    let mut before = ' ';
    let mut rest = name.chars().peekable();
    while let Some(c) = rest.next() {
        let within = !before.is_whitespace() && rest.peek().is_some_and(|next| !next.is_whitespace());
        match c {
            '"' => text.push('\''),
            // The dots of names of hosts (UTS 46, section 2.3).
            '.' | '\u{3002}' | '\u{FF0E}' | '\u{FF61}' if within => text.push_str("[.]"),
            '/' if before == ':' => text.push_str("[/]"),
            '@' if within => text.push_str("[@]"),
            c if c.is_control() => text.push(' '),
            c => text.push(c),
        }
        before = c;
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_data() {
        for (name, text) in [
            ("Team", "\"Team\""),
            ("Dr. No \u{2013} St. Ives", "\"Dr. No \u{2013} St. Ives\""),
            ("Win at evil.example", "\"Win at evil[.]example\""),
            ("https://evil.example/x", "\"https:[/]/evil[.]example/x\""),
            ("http://evil", "\"http:[/]/evil\""),
            ("mail eve@evil\u{3002}example", "\"mail eve[@]evil[.]example\""),
            ("a\" now\n\nClick", "\"a' now  Click\""),
        ] {
            assert_eq!(quoted(name), text);
        }
    }
}
