//! A row of the outbox as an RFC 5322 message.

use std::time::{Duration, SystemTime};

use lettre::{
    Address,
    address::Envelope,
    message::{
        Mailbox, Message, MultiPart, MultiPartKind, SinglePart,
        header::{Header, HeaderName, HeaderValue},
    },
};
use restroy_sdk::time::Timestamp;

use super::quoted;
use crate::store::outbox::EmailOrigin;

/// What is to be sent.
#[derive(Debug, Clone)]
pub(super) struct RenderedEmail {
    pub(super) message_id: String,
    pub(super) to: Vec<String>,
    pub(super) reply_to: Option<String>,
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: Option<String>,
    pub(super) at: Timestamp,
    /// The team that it is of; none: the installation's own.
    pub(super) origin: Option<EmailOrigin>,
}

/// The header that says which team an e-mail is of, by its id.
#[derive(Debug, Clone)]
struct TeamHeader(String);

impl Header for TeamHeader {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("X-Restroy-Team")
    }

    fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self(text.to_owned()))
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), self.0.clone())
    }
}

/// What stands at the end of a team's e-mail, so that nobody takes it for the installation's own.
fn footer(origin: &EmailOrigin, url: &str) -> String {
    let who = match &origin.pipeline {
        Some(pipeline) => format!("The pipeline {} of the team {}", quoted(pipeline), quoted(&origin.team)),
        None => format!("The team {}", quoted(&origin.team)),
    };
    format!("{who} sent this e-mail through Restroy at {url}.")
}

/// A text with what it has no characters for in HTML replaced.
fn as_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The sender of a team's e-mail: its name says the team's.
fn team_sender(origin: &EmailOrigin, from: &Mailbox) -> Mailbox {
    let via = from.name.as_deref().unwrap_or("Restroy");
    let team = quoted(&origin.team);
    Mailbox::new(Some(format!("Team {} via {via}", team.trim_matches('"'))), from.email.clone())
}

/// In whose name e-mail goes out, and where the installation is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender<'a> {
    /// Whom the installation's own e-mail is from.
    pub(super) own: &'a Mailbox,
    /// Whom that of teams is from.
    pub(super) teams: &'a Mailbox,
    /// Where people reach the installation.
    pub(super) url: &'a str,
}

/// Makes the message. The error says what of the row cannot be sent; trying again does not help.
///
/// The same row makes the same text, whoever sends it and however often.
pub(super) fn compose(letter: &RenderedEmail, sender: Sender<'_>) -> Result<(Envelope, Vec<u8>), String> {
    // Whoever wrote the row should have seen to it; here is the last wall before the mail server.
    if letter.subject.chars().any(char::is_control) {
        return Err("the subject has a control character in it".into());
    }
    if !is_message_id(&letter.message_id) {
        return Err("the Message-ID is not one".into());
    }
    let from = letter.origin.as_ref().map_or_else(|| sender.own.clone(), |origin| team_sender(origin, sender.teams));
    let footer = letter.origin.as_ref().map(|origin| footer(origin, sender.url));
    let text = match &footer {
        // The line by which mailboxes know where a signature begins (RFC 3676, section 4.3).
        Some(footer) => format!("{}\n\n-- \n{footer}\n", letter.text.trim_end_matches('\n')),
        None => letter.text.clone(),
    };
    let to = letter.to.iter().map(|to| address(to)).collect::<Result<Vec<_>, _>>()?;
    let envelope = Envelope::new(Some(from.email.clone()), to.clone()).map_err(|error| error.to_string())?;
    let mut builder = Message::builder()
        .from(from)
        .subject(letter.subject.clone())
        .message_id(Some(letter.message_id.clone()))
        .date(date(letter.at))
        .envelope(envelope.clone());
    for to in to {
        builder = builder.to(Mailbox::new(None, to));
    }
    if let Some(reply_to) = &letter.reply_to {
        builder = builder.reply_to(Mailbox::new(None, address(reply_to)?));
    }
    if let Some(origin) = &letter.origin {
        builder = builder.header(TeamHeader(origin.team_id.to_string()));
    }
    let html = letter.html.as_ref().map(|html| match &footer {
        Some(footer) => format!("{html}\n<hr>\n<p>{}</p>\n", as_html(footer)),
        None => html.clone(),
    });
    let message = match html {
        None => builder.singlepart(SinglePart::plain(text)),
        Some(html) => builder.multipart(
            MultiPart::builder()
                .kind(MultiPartKind::Alternative)
                .boundary(boundary(&letter.message_id))
                .singlepart(SinglePart::plain(text))
                .singlepart(SinglePart::html(html)),
        ),
    };
    let message = message.map_err(|error| error.to_string())?;
    Ok((envelope, message.formatted()))
}

fn address(text: &str) -> Result<Address, String> {
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("an address has a control character or a space in it".into());
    }
    text.parse().map_err(|_| format!("`{text}` is not an address that mail can be sent to"))
}

/// `<left@right>` without anything that could end the header (RFC 5322, section 3.6.4).
fn is_message_id(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !"<>@".contains(c);
    let within = id.strip_prefix('<').and_then(|id| id.strip_suffix('>'));
    let part = |part: &str| !part.is_empty() && part.chars().all(plain);
    id.len() <= 250 && within.and_then(|id| id.split_once('@')).is_some_and(|(left, right)| part(left) && part(right))
}

fn date(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(at.micros()).unwrap_or(0))
}

/// Only letters and digits: good in a header without quotes. It cannot be in a part either: the parts
/// are encoded, and the Message-ID is made after they are written.
fn boundary(message_id: &str) -> String {
    let plain: String = message_id.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    format!("=_restroy_{plain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> RenderedEmail {
        RenderedEmail {
            message_id: "<0123@example.com>".into(),
            to: vec!["ann@example.com".into(), "bob@example.com".into()],
            reply_to: None,
            subject: "Grüße".into(),
            text: "Hello,\nworld.\n.\nend".into(),
            html: None,
            at: Timestamp(1_767_225_600_000_000),
            origin: None,
        }
    }

    fn composed(letter: &RenderedEmail) -> Result<String, String> {
        let own: Mailbox = "Restroy <restroy@example.com>".parse().unwrap();
        let teams: Mailbox = "scripts@tenants.example.com".parse().unwrap();
        let sender = Sender { own: &own, teams: &teams, url: "https://restroy.example.com" };
        compose(letter, sender).map(|(_, text)| String::from_utf8(text).unwrap())
    }

    #[test]
    fn a_row_makes_one_text() {
        let text = composed(&letter()).unwrap();
        assert_eq!(text, composed(&letter()).unwrap());
        for line in [
            "From: Restroy <restroy@example.com>\r\n",
            "To: ann@example.com, bob@example.com\r\n",
            "Message-ID: <0123@example.com>\r\n",
            "Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n",
            "Subject: =?utf-8?",
        ] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
    }

    #[test]
    fn a_teams_e_mail_says_whose_it_is() {
        let origin = EmailOrigin {
            team_id: uuid::Uuid::from_u128(7).into(),
            team: "Restroy Support <support@restroy.example>\r\nBcc: eve@example.com".into(),
            pipeline: Some("News at evil.example".into()),
        };
        let letter = RenderedEmail {
            subject: "Hi".into(),
            text: "Hello\n".into(),
            html: Some("<p>Hello".into()),
            origin: Some(origin),
            ..letter()
        };
        let text = composed(&letter).unwrap();
        // Without folded headers, and without the marks of quoted-printable.
        let unfolded = text.replace("\r\n ", " ").replace("=\r\n", "").replace("=20\r\n", " \r\n");
        assert!(unfolded.contains("<scripts@tenants.example.com>\r\n"), "{text}");
        assert!(!text.contains("support@restroy.example") && !text.contains("\r\nBcc:"), "{text}");
        assert!(text.contains("X-Restroy-Team: 00000000-0000-0000-0000-000000000007\r\n"), "{text}");
        assert!(unfolded.contains("-- \r\nThe pipeline \"News at evil[.]example\""), "{text}");
        assert!(unfolded.contains("<hr>") && unfolded.contains("&quot;News at evil[.]example&quot;"), "{text}");
        let plain = EmailOrigin { team_id: uuid::Uuid::nil().into(), team: "Sales".into(), pipeline: None };
        let text = composed(&RenderedEmail { origin: Some(plain), ..self::letter() }).unwrap();
        assert!(text.contains("From: \"Team Sales via Restroy\" <scripts@tenants.example.com>\r\n"), "{text}");
        assert!(text.contains("The team \"Sales\" sent this e-mail"), "{text}");
    }

    #[test]
    fn html_is_an_alternative_and_answers_go_where_they_should() {
        let letter =
            RenderedEmail { html: Some("<p>Hello".into()), reply_to: Some("carl@example.com".into()), ..letter() };
        let text = composed(&letter).unwrap();
        assert_eq!(text, composed(&letter).unwrap());
        assert!(text.contains("multipart/alternative") && text.contains("text/html") && text.contains("text/plain"));
        assert!(text.contains("Reply-To: carl@example.com\r\n"));
    }

    #[test]
    fn nothing_of_a_row_makes_a_header_of_its_own() {
        let bad = "a@b.example\r\nBcc: eve@example.com";
        assert!(composed(&RenderedEmail { subject: "Hi\r\nBcc: eve@example.com".into(), ..letter() }).is_err());
        assert!(composed(&RenderedEmail { subject: "Hi\nBcc: eve@example.com".into(), ..letter() }).is_err());
        assert!(composed(&RenderedEmail { to: vec![bad.into()], ..letter() }).is_err());
        assert!(composed(&RenderedEmail { to: Vec::new(), ..letter() }).is_err());
        assert!(composed(&RenderedEmail { reply_to: Some(bad.into()), ..letter() }).is_err());
        assert!(composed(&RenderedEmail { message_id: "<a@b>\r\nBcc: eve@example.com".into(), ..letter() }).is_err());
        assert!(composed(&RenderedEmail { message_id: "a@b".into(), ..letter() }).is_err());
    }
}
