//! E-mail of scripts: checked, counted, put into the outbox.

use restroy_sdk::{
    ids::{MessageId, RunId, TeamId},
    time::Timestamp,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::{query, query_scalar};

use super::{CallFailure, CallOutcome, refusal};
use crate::{
    DomainResult,
    runs::limits::{MAX_EMAIL_BODY, MAX_RECIPIENTS, MAX_SUBJECT},
    sql,
    state::DomainState,
    store::{
        TeamTx,
        quota::{self, Limit},
        usage::{self, UsageDelta},
    },
};

/// The longest address (RFC 5321, section 4.5.3.1.3, without the angle brackets).
const MAX_ADDRESS: usize = 254;

/// An e-mail as a script writes it.
pub(super) struct OutgoingEmail {
    pub(super) to: Vec<String>,
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: Option<String>,
    pub(super) reply_to: Option<String>,
}

/// How many times as much as the plan gives one team the teams of one owner send together within 24 hours.
const OWNER_FACTOR: i64 = 2;

/// How many e-mails the owner of a team, with all their teams, may still send, and have sent, within 24 hours. Asked
/// before the call's own transaction, which sees no other team.
pub(super) async fn owner_allowance(state: &DomainState, team: TeamId) -> DomainResult<OwnerAllowance> {
    let mut tx = state.db.system_read().await?;
    let (sent, most) = usage::owner_emails(&mut tx, team, state.ambient.now()).await?;
    // An operator who gives a team more gives it to its owner.
    Ok(OwnerAllowance { sent, most: most.max(Limit::EmailsPerDay.default() * OWNER_FACTOR) })
}

/// What an owner's teams sent together, and may.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnerAllowance {
    sent: i64,
    most: i64,
}

/// Puts an e-mail into the outbox, without its HTML unless the operator allows that; answers `{message_id}`. The Message-ID derives from the key, so
/// that a script which sets its own key sends under it once per team.
pub(super) async fn send(
    state: &DomainState,
    tx: &mut TeamTx,
    run: RunId,
    now: Timestamp,
    key: &str,
    mail: &OutgoingEmail,
    of_owner: Option<OwnerAllowance>,
) -> CallOutcome {
    check(mail)?;
    let settings = state.settings.mail.as_ref();
    if mail.reply_to.as_ref().is_some_and(|reply_to| settings.is_some_and(|settings| settings.is_own_address(reply_to)))
    {
        let message = "Answers cannot go to the address that this installation sends from.";
        return Err(refusal("email_bad_address", message));
    }
    let html = mail.html.as_ref().filter(|_| settings.is_none_or(|settings| settings.html_of_teams));
    let team = tx.team();
    let recipients = i64::try_from(mail.to.len()).unwrap_or(i64::MAX);
    if let Some(exceeded) = usage::exceeded(tx, Limit::EmailsPerDay, recipients, now).await? {
        return Err(refusal("quota_exceeded", exceeded.message()));
    }
    if let Some(OwnerAllowance { sent, most }) = of_owner
        && sent.saturating_add(recipients) > most
    {
        let message = format!(
            "The teams of this team's owner may send {most} e-mails in total within 24 hours, and have sent {sent}."
        );
        return Err(refusal("quota_exceeded", message));
    }
    let digest = Sha256::new().chain_update(team.0.as_bytes()).chain_update(key.as_bytes()).finalize();
    let message_id = format!("<{}@{}>", hex::encode(&digest[..20]), domain(&state.settings.public_url));
    let queued = sql!(
        &mut **tx,
        execute,
        query(
            "INSERT INTO outbox (id, team_id, run_id, message_id, recipients, reply_to, subject, body_text, body_html,
                                 status, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (message_id) DO NOTHING"
        )
        .bind(state.ambient.id::<MessageId>())
        .bind(team)
        .bind(run)
        .bind(&message_id)
        .bind(serde_json::to_string(&mail.to)?)
        .bind(&mail.reply_to)
        .bind(&mail.subject)
        .bind(&mail.text)
        .bind(html)
        .bind(state.new_mail_status())
        .bind(now)
    )?;
    super::check_storage(tx).await?;
    // Under a key that was seen before nothing goes out again.
    if queued.rows_affected() > 0 {
        count_for_run(tx, run, recipients).await?;
        usage::add(tx, run, now, UsageDelta { emails: recipients, ..UsageDelta::default() }).await?;
    }
    Ok(json!({ "message_id": message_id }))
}

/// Refuses when the run would have sent more than it may.
async fn count_for_run(tx: &mut TeamTx, run: RunId, recipients: i64) -> Result<(), CallFailure> {
    let most = quota::effective(tx, Limit::EmailsPerRun).await?;
    let team = tx.team();
    let sent: i64 = sql!(
        &mut **tx,
        fetch_one,
        query_scalar("UPDATE runs SET emails = emails + $3 WHERE team_id = $1 AND id = $2 RETURNING emails")
            .bind(team)
            .bind(run)
            .bind(recipients)
    )?;
    if sent <= most {
        return Ok(());
    }
    let message = format!(
        "The limit of e-mails of one run, `{}`, is {most}; with this e-mail it would be {sent}, each recipient counted.",
        Limit::EmailsPerRun.name()
    );
    Err(refusal("quota_exceeded", message))
}

fn check(mail: &OutgoingEmail) -> Result<(), CallFailure> {
    if mail.to.is_empty() || mail.to.len() > MAX_RECIPIENTS {
        let message = format!("An e-mail goes to 1 to {MAX_RECIPIENTS} recipients; this one to {}.", mail.to.len());
        return Err(refusal("email_recipients", message));
    }
    if let Some(address) = mail.to.iter().chain(&mail.reply_to).find(|address| !is_address(address)) {
        let shown: String = address.chars().filter(|c| !c.is_control()).take(80).collect();
        return Err(refusal("email_bad_address", format!("`{shown}` is not an e-mail address; write `name@host`.")));
    }
    if mail.subject.len() > MAX_SUBJECT || mail.subject.chars().any(char::is_control) {
        let message = format!("A subject is one line of at most {MAX_SUBJECT} bytes, without control characters.");
        return Err(refusal("email_bad_subject", message));
    }
    let bodies = [Some(&mail.text), mail.html.as_ref()];
    if bodies.into_iter().flatten().any(|body| body.len() > MAX_EMAIL_BODY) {
        let message = format!("The text and the HTML of an e-mail have at most {MAX_EMAIL_BODY} bytes each.");
        return Err(refusal("email_too_large", message));
    }
    if bodies.into_iter().flatten().any(|body| body.contains('\0')) {
        return Err(refusal("email_bad_text", "The text and the HTML of an e-mail have no character U+0000."));
    }
    Ok(())
}

/// A bare `name@host` in which nothing can end a header or begin another recipient.
fn is_address(address: &str) -> bool {
    let Some((name, host)) = address.rsplit_once('@') else { return false };
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && !"<>()[],;:\\\"@".contains(c);
    address.len() <= MAX_ADDRESS
        && !name.is_empty()
        && name.len() <= 64
        && name.chars().all(plain)
        && !host.is_empty()
        && host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        })
}

fn domain(public_url: &str) -> String {
    url::Url::parse(public_url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or("localhost".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_cannot_smuggle_headers_or_recipients() {
        for good in ["a@b", "first.last+tag@mail.example.com", "ü@bücher.example"] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "@",
            "a@",
            "@b",
            "a b@c",
            "a@b\r\nBcc: x@y",
            "a@b,c@d",
            "<a@b>",
            "a@b;c",
            "\"a\"@b",
            "a@b@c",
            "a@-b",
            "a@b..c",
            "a\n@b",
        ] {
            assert!(!is_address(bad), "{bad:?}");
        }
    }
}
