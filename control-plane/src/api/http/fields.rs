//! Checks of single fields: all faults of a body together.

use restroy_sdk::problem::{Fault, Problem, ProblemCode};

use crate::error::ApiResult;

/// The longest address (RFC 5321, section 4.5.3.1.3).
const MAX_EMAIL: usize = 254;

/// Collects what is wrong with a body.
#[derive(Debug, Default)]
pub struct Fields(Vec<Fault>);

impl Fields {
    /// Nothing is wrong so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a fault.
    pub fn fault(&mut self, pointer: &str, detail: impl Into<String>) -> &mut Self {
        self.0.push(Fault::new(pointer, detail));
        self
    }

    /// A name for people: so many characters without control characters and outer spaces.
    pub fn name(&mut self, pointer: &str, value: &str, most: usize) -> &mut Self {
        let length = value.chars().count();
        if !(1..=most).contains(&length) || value.trim() != value || value.chars().any(deceives) {
            self.fault(pointer, format!("1 to {most} characters, no control characters, no space at either end"));
        }
        self
    }

    /// A text of at most so many characters.
    pub fn text(&mut self, pointer: &str, value: &str, most: usize) -> &mut Self {
        let odd = |c: char| c.is_control() && !"\n\r\t".contains(c);
        if value.chars().count() > most || value.chars().any(odd) {
            self.fault(pointer, format!("at most {most} characters, no control characters but line ends and tabs"));
        }
        self
    }

    /// An e-mail address that mail can reach.
    pub fn email(&mut self, pointer: &str, value: &str) -> &mut Self {
        let value = value.trim();
        // Nothing is ever reached below `.invalid` (RFC 2606); accounts without a person have addresses there.
        let reachable = !value.to_lowercase().ends_with(".invalid");
        if value.len() > MAX_EMAIL || !reachable || garde::rules::email::parse_email(value).is_err() {
            self.fault(pointer, "an e-mail address, such as `ann@example.com`");
        }
        self
    }

    /// A password that somebody chooses.
    pub fn password(&mut self, pointer: &str, value: &str) -> &mut Self {
        if !(10..=256).contains(&value.chars().count()) {
            self.fault(pointer, "10 to 256 characters");
        }
        self
    }

    /// 422 with everything that was noted.
    pub fn done(&mut self) -> ApiResult<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Problem::new(ProblemCode::Invalid).errors(std::mem::take(&mut self.0)).into())
    }
}

/// Control characters, those that turn the direction of what follows (UAX #9), and those that
/// nobody sees: two names that look the same should be the same.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61C}' | '\u{200B}' | '\u{200E}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_show_what_they_are() {
        for bad in ["a\u{202E}b", "a\u{200B}", "\u{FEFF}a", "a\0", " a", ""] {
            assert!(Fields::new().name("/name", bad, 64).done().is_err(), "{bad:?}");
        }
        Fields::new().name("/name", "Звіт \u{1F468}\u{200D}\u{1F4BB}", 64).text("/t", "a\n\tb", 9).done().unwrap();
        assert!(Fields::new().text("/t", "\u{1b}[2J", 9).done().is_err());
    }
}
