//! The formats that are checked. Each takes time linear in the text.

use std::net::{Ipv4Addr, Ipv6Addr};

use uuid::Uuid;

use super::{MAX_PATTERN_TEXT, pattern};

macro_rules! formats {
    ($($variant:ident $name:literal $expected:literal $check:expr;)*) => {
        /// A format that strings are checked for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Format { $($variant,)* }

        impl Format {
            /// The names of all.
            pub(super) const NAMES: &'static [&'static str] = &[$($name,)*];

            pub(super) fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What a text must be, in words.
            pub(super) fn expected(self) -> &'static str {
                match self { $(Self::$variant => $expected,)* }
            }

            pub(super) fn matches(self, text: &str) -> bool {
                match self { $(Self::$variant => $check(text),)* }
            }
        }
    };
}

formats! {
    DateTime "date-time" "a date and time such as `2026-11-29T08:30:00Z`" is_date_time;
    Date "date" "a date such as `2026-11-29`" is_date;
    Time "time" "a time with its offset such as `08:30:00Z`" is_time;
    Duration "duration" "a duration such as `P1DT12H`" is_duration;
    Email "email" "an e-mail address" is_email;
    Hostname "hostname" "a host name such as `example.com`" is_hostname;
    Ipv4 "ipv4" "an IPv4 address such as `192.0.2.1`" is_ipv4;
    Ipv6 "ipv6" "an IPv6 address such as `2001:db8::1`" is_ipv6;
    Uri "uri" "a URI such as `https://example.com/a?b=c`" is_absolute_uri;
    UriReference "uri-reference" "a URI or a relative reference such as `/a?b=c`" is_uri_reference;
    Uuid "uuid" "a UUID such as `0191d6c0-2b5e-7c3a-8f00-000000000000`" is_uuid;
    JsonPointer "json-pointer" "a JSON pointer such as `/a/0`" is_json_pointer;
    RelativeJsonPointer "relative-json-pointer" "a relative JSON pointer such as `1/a`" is_relative_json_pointer;
    Regex "regex" "a regular expression without look-around" pattern::is_pattern;
}

impl Format {
    /// What a check of the text takes.
    pub(super) fn steps(self, text: &str) -> usize {
        match self {
            // Classes such as `\p{L}` are looked up.
            Self::Regex => 100 + 50 * text.len().min(MAX_PATTERN_TEXT),
            _ => 4 + text.len() / 4,
        }
    }
}

/// So many ASCII digits, as a number.
fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0_u32, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

/// RFC 3339, section 5.6.
fn is_date_time(text: &str) -> bool {
    // The date has ten ASCII bytes, so that a longer text can be cut there.
    text.is_char_boundary(10)
        && text.len() > 11
        && is_date(&text[..10])
        && matches!(text.as_bytes()[10], b'T' | b't')
        && is_time(&text[11..])
}

fn is_date(text: &str) -> bool {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text.as_bytes() else { return false };
    let (Some(year), Some(month), Some(day)) = (digits(&[y1, y2, y3, y4]), digits(&[m1, m2]), digits(&[d1, d2])) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    (1..=12).contains(&month) && (1..=last).contains(&day)
}

fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some((&[h1, h2, b':', m1, m2, b':', s1, s2], mut rest)) = bytes.split_first_chunk::<8>() else { return false };
    let (Some(hour), Some(minute), Some(second)) = (digits(&[h1, h2]), digits(&[m1, m2]), digits(&[s1, s2])) else {
        return false;
    };
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return false;
        }
        rest = &fraction[length..];
    }
    let offset = match rest {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (Some(hours), Some(minutes)) = (digits(&[*h1, *h2]), digits(&[*m1, *m2])) else { return false };
            if hours > 23 || minutes > 59 {
                return false;
            }
            let offset = i64::from(hours * 60 + minutes);
            if *sign == b'+' { offset } else { -offset }
        }
        _ => return false,
    };
    // A leap second is the last of a day in UTC.
    let utc = (i64::from(hour * 60 + minute) - offset).rem_euclid(24 * 60);
    hour <= 23 && minute <= 59 && (second <= 59 || second == 60 && utc == 24 * 60 - 1)
}

/// RFC 3339, appendix A.
fn is_duration(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('P') else { return false };
    if let Some(weeks) = rest.strip_suffix('W') {
        return !weeks.is_empty() && weeks.bytes().all(|byte| byte.is_ascii_digit());
    }
    let (date, time) = match rest.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (rest, None),
    };
    match time {
        Some(time) => !time.is_empty() && periods(date, "YMD") && periods(time, "HMS"),
        None => !date.is_empty() && periods(date, "YMD"),
    }
}

/// Numbers with units, in the units' order and without a gap: no `P1Y2D`.
fn periods(text: &str, units: &str) -> bool {
    let mut rest = text;
    let mut previous: Option<usize> = None;
    while !rest.is_empty() {
        let length = rest.bytes().take_while(u8::is_ascii_digit).count();
        let unit = rest[length..].chars().next();
        let Some(at) = unit.and_then(|unit| units.find(unit)) else { return false };
        if length == 0 || previous.is_some_and(|previous| at != previous + 1) {
            return false;
        }
        previous = Some(at);
        rest = &rest[length + 1..];
    }
    true
}

/// RFC 5321's mailbox, without quoted local parts and addresses in brackets.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let atom = |atom: &str| {
        !atom.is_empty()
            && atom.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte))
    };
    local.len() <= 64 && local.split('.').all(atom) && is_hostname(domain)
}

/// RFC 1123, section 2.1.
fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn is_ipv4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok()
}

fn is_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}

/// RFC 6901.
fn is_json_pointer(text: &str) -> bool {
    let escaped = |segment: &str| segment.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    text.is_empty() || text.starts_with('/') && escaped(text)
}

fn is_relative_json_pointer(text: &str) -> bool {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (up, rest) = text.split_at(length);
    !up.is_empty() && (up == "0" || !up.starts_with('0')) && (rest == "#" || is_json_pointer(rest))
}

fn is_absolute_uri(text: &str) -> bool {
    is_uri(text, true)
}

fn is_uri_reference(text: &str) -> bool {
    is_uri(text, false)
}

/// RFC 3986; absolute, or any reference.
fn is_uri(text: &str, absolute: bool) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
                if !hex(at + 1) || !hex(at + 2) {
                    return false;
                }
                at += 2;
            }
            byte if byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(&byte) => {}
            _ => return false,
        }
        at += 1;
    }
    let (before, fragment) = text.split_once('#').map_or((text, ""), |(before, fragment)| (before, fragment));
    let (before, query) = before.split_once('?').map_or((before, ""), |(before, query)| (before, query));
    if fragment.contains(['#', '[', ']']) || query.contains(['[', ']']) {
        return false;
    }
    let colon = before.find(':').filter(|colon| !before[..*colon].contains('/'));
    let rest = match colon {
        Some(colon) => {
            let scheme = &before[..colon];
            let valid = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
            if !valid {
                return false;
            }
            &before[colon + 1..]
        }
        None if absolute => return false,
        None => before,
    };
    let Some(authority_and_path) = rest.strip_prefix("//") else { return !rest.contains(['[', ']']) };
    let (authority, path) =
        authority_and_path.split_at(authority_and_path.find('/').unwrap_or(authority_and_path.len()));
    is_authority(authority) && !path.contains(['[', ']'])
}

/// `user@host:port`, the host perhaps an address in brackets.
fn is_authority(text: &str) -> bool {
    let (user, host_and_port) = text.rsplit_once('@').unwrap_or(("", text));
    if user.contains(['@', '[', ']']) {
        return false;
    }
    let port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(rest) = host_and_port.strip_prefix('[') {
        let Some((address, after)) = rest.split_once(']') else { return false };
        let known = address.parse::<Ipv6Addr>().is_ok() || address.starts_with(['v', 'V']);
        return known && (after.is_empty() || after.strip_prefix(':').is_some_and(port));
    }
    let (host, after) = host_and_port.split_once(':').unwrap_or((host_and_port, ""));
    !host.contains(['[', ']']) && port(after)
}
