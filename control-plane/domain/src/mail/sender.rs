//! The loop that sends what is due. It runs on every replica; each e-mail is taken by one of them.
//!
//! | what the mail server does | what becomes of the e-mail |
//! |---|---|
//! | takes it (2xx) | `sent` |
//! | refuses it for now (4xx to a recipient or the text) | again after a pause that grows from 10 s to 1 h, for a day; with the reason |
//! | refuses it (5xx to a recipient or the text) | `failed`, with the reason |
//! | cannot be reached, breaks off, or refuses us (anything up to `MAIL`, 421, credentials) | again as above, and the same plain reason for all: what the server said is for the operator's log |
//!
//! An e-mail about an invitation that does not wait any more, or into a deleted team, is `failed` without being
//! sent.
//!
//! An e-mail to several recipients goes to all of them or, when the server refuses one, to none.
//!
//! After the order to stop no e-mail is taken and none handed over; one that is being handed over is waited for.
//! What was taken and not handed over is given back at once, for another replica.

use std::{sync::Arc, time::Duration};

use lettre::transport::smtp::extension::ClientId;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    MailSettings,
    exchange::{MAX_SEND_DURATION, MailServer, SendError},
    message::{RenderedEmail, Sender, compose},
};
use crate::{
    DomainResult,
    metrics::MailOutcome,
    state::DomainState,
    store::{
        invitations,
        outbox::{self, DueEmail, SendOutcome},
    },
};

/// How many e-mails are under way at once, in one process.
const MAX_CONCURRENT: usize = 4;
/// How often it is looked for e-mails that are due, although nobody said so.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// How long an e-mail is in the hands of the replica that took it: longer than it can take to send
/// it and to record that.
const OUTBOX_LEASE: Duration = Duration::from_mins(5);
/// How long it is tried to record what became of an e-mail.
const RECORD_TIMEOUT: Duration = Duration::from_mins(3);
const _: () = assert!(
    OUTBOX_LEASE.as_secs() > MAX_SEND_DURATION.as_secs() + RECORD_TIMEOUT.as_secs(),
    "a row is held for too short a time"
);
/// After the order to stop, how long e-mails that are being handed over may continue. What is cut off then is sent
/// again when its lease ends, under the same Message-ID: twice is better than never.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// The pause after the first refusal; each further one makes it three times as long.
const FIRST_RETRY_DELAY: Duration = Duration::from_secs(10);
/// The longest pause.
const MAX_RETRY_DELAY: Duration = Duration::from_hours(1);
/// An e-mail that was not sent for so long is given up: a link in it is good for a day.
const MAX_AGE: Duration = Duration::from_hours(24);
/// How often an e-mail is tried.
const MAX_ATTEMPTS: i64 = 40;
/// While the mail server cannot be reached nothing is taken, for so long at most.
const MAX_BACKOFF: Duration = Duration::from_mins(1);
/// What a team reads when the server is away or takes nothing from us. What it said names the operator's accounts
/// and machines.
const NO_SERVER: &str = "the mail server cannot be reached or refuses us";

/// Sends the outbox's e-mails through one mail server.
#[derive(Debug)]
pub struct Mailer {
    settings: MailSettings,
    hello: ClientId,
    at_the_end: Duration,
}

impl Mailer {
    /// Greets the mail server by the host name of `public_url`. Connects to nothing yet.
    pub fn new(settings: &MailSettings, public_url: &str) -> Self {
        let host = url::Url::parse(public_url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let hello = host.map_or_else(ClientId::default, |host| match host.trim_matches(['[', ']']).parse() {
            Ok(std::net::IpAddr::V4(ip)) => ClientId::Ipv4(ip),
            Ok(std::net::IpAddr::V6(ip)) => ClientId::Ipv6(ip),
            Err(_) => ClientId::Domain(host),
        });
        Self { settings: settings.clone(), hello, at_the_end: DRAIN_TIMEOUT }
    }

    /// In place of [`DRAIN_TIMEOUT`].
    #[must_use]
    pub fn drain_timeout(self, at_the_end: Duration) -> Self {
        Self { at_the_end, ..self }
    }

    /// Sends until `shutdown` is cancelled, then ends what is under way.
    pub async fn run(self, state: DomainState, shutdown: CancellationToken) {
        let Self { settings, hello, at_the_end } = self;
        let server = MailServer::new(settings.clone(), hello);
        let this = Arc::new(SendTask { state, server, settings, shutdown: shutdown.clone() });
        let mut under_way: JoinSet<ServerState> = JoinSet::new();
        let mut rest = Backoff::default();
        loop {
            let mut look = Instant::now() + POLL_INTERVAL;
            if let Some(until) = rest.until {
                look = look.max(until);
            }
            let woken = async {
                this.state.outbox.notified().await;
                if let Some(until) = rest.until {
                    sleep_until(until).await;
                }
            };
            tokio::select! {
                biased; // the order to stop goes before everything that is ready too
                () = shutdown.cancelled() => break,
                Some(ended) = under_way.join_next() => rest.record(ended.unwrap_or(ServerState::Yes)),
                () = woken => {}
                () = sleep_until(look) => {}
            }
            while let Some(ended) = under_way.try_join_next() {
                rest.record(ended.unwrap_or(ServerState::Yes));
            }
            if rest.until.is_some_and(|until| Instant::now() < until) {
                continue;
            }
            match this.take_due(MAX_CONCURRENT - under_way.len()).await {
                Ok(letters) => {
                    for letter in letters {
                        let this = Arc::clone(&this);
                        under_way.spawn(async move { this.send(letter).await });
                    }
                }
                // The next look tries again.
                Err(error) => tracing::warn!(%error, "the outbox cannot be read"),
            }
        }
        if timeout(at_the_end, async { while under_way.join_next().await.is_some() {} }).await.is_err() {
            let cut_off = under_way.len();
            tracing::warn!(cut_off, "e-mails being sent may be sent twice");
        }
        under_way.shutdown().await;
        this.server.close().await;
    }
}

/// Whether the mail server could be spoken to, and speaks to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ServerState {
    Yes,
    No,
}

impl ServerState {
    fn from_error(refused: &SendError) -> Self {
        if matches!(refused, SendError::Server(_)) { Self::No } else { Self::Yes }
    }
}

/// While the mail server is away nothing is taken from the outbox but a few e-mails now and then, so
/// that a long queue does not run into a wall again and again.
#[derive(Debug, Default)]
struct Backoff {
    until: Option<Instant>,
    in_a_row: u32,
}

impl Backoff {
    fn record(&mut self, reached: ServerState) {
        if reached == ServerState::Yes {
            *self = Self::default();
            return;
        }
        let pause = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(self.in_a_row / 4)).min(MAX_BACKOFF);
        self.in_a_row = self.in_a_row.saturating_add(1).min(64);
        self.until = Some(Instant::now() + pause);
    }
}

struct SendTask {
    state: DomainState,
    server: MailServer,
    settings: MailSettings,
    shutdown: CancellationToken,
}

impl SendTask {
    /// Takes what is due, at most so much.
    async fn take_due(&self, most: usize) -> DomainResult<Vec<DueEmail>> {
        let most = i64::try_from(most).unwrap_or(0);
        // Most looks find nothing: look before taking the writer.
        if most == 0 || !outbox::has_due(&mut self.state.db.system_read().await?, self.state.ambient.now()).await? {
            return Ok(Vec::new());
        }
        let mut tx = self.state.db.system_write().await?;
        let now = self.state.ambient.now();
        let mut wanted = Vec::new();
        for due in outbox::take_due(&mut tx, now, now.after(OUTBOX_LEASE), most).await? {
            match due.invitation_id {
                Some(invitation) if !invitations::is_pending(&mut tx, invitation, now).await? => {
                    let reason = "the invitation is no longer pending".into();
                    outbox::settle(&mut tx, &due, &SendOutcome::Failed { reason }).await?;
                }
                _ => wanted.push(due),
            }
        }
        // Rows that were written after the order to stop are not for this process.
        if self.shutdown.is_cancelled() {
            return Ok(Vec::new());
        }
        tx.commit().await?;
        Ok(wanted)
    }

    /// Sends an e-mail and records what became of it.
    async fn send(&self, due: DueEmail) -> ServerState {
        let (settled, reached) = match self.attempt(&due).await {
            Ok(()) => (SendOutcome::Sent, ServerState::Yes),
            Err(refused) => (self.classify(&due, &refused), ServerState::from_error(&refused)),
        };
        let outcome = match &settled {
            SendOutcome::Sent => Some(MailOutcome::Sent),
            SendOutcome::Again { .. } => Some(MailOutcome::Retried),
            SendOutcome::Failed { .. } => Some(MailOutcome::Failed),
            SendOutcome::Back { .. } => None,
        };
        match &settled {
            SendOutcome::Sent => tracing::debug!(mail_id = %due.id, "an e-mail is sent"),
            SendOutcome::Again { reason, .. } => {
                tracing::warn!(mail_id = %due.id, reason, "an e-mail will be retried");
            }
            SendOutcome::Failed { reason } => tracing::error!(mail_id = %due.id, reason, "an e-mail cannot be sent"),
            SendOutcome::Back { .. } => tracing::debug!(mail_id = %due.id, "an e-mail is left to another replica"),
        }
        self.record(&due, &settled).await;
        if let Some(outcome) = outcome {
            self.state.metrics.mail(outcome);
        }
        reached
    }

    async fn attempt(&self, due: &DueEmail) -> Result<(), SendError> {
        let to: Vec<String> = serde_json::from_str(&due.recipients)
            .map_err(|_| SendError::Good("the recipients are not a list".into()))?;
        let letter = RenderedEmail {
            message_id: due.message_id.clone(),
            to,
            reply_to: due.reply_to.clone(),
            subject: due.subject.clone(),
            text: due.body_text.clone(),
            html: due.body_html.clone(),
            at: due.created_at,
            origin: due.origin(),
        };
        let sender =
            Sender { own: &self.settings.from, teams: &self.settings.from_teams, url: &self.state.settings.public_url };
        let (envelope, text) = compose(&letter, sender).map_err(SendError::Good)?;
        self.server.send(&envelope, &text, &self.shutdown).await
    }

    fn classify(&self, due: &DueEmail, refused: &SendError) -> SendOutcome {
        let now = self.state.ambient.now();
        let reason = match refused {
            SendError::Good(reason) => return SendOutcome::Failed { reason: reason.clone() },
            SendError::Stopped => return SendOutcome::Back { at: now },
            SendError::Now(reason) => reason.clone(),
            SendError::Server(said) => {
                tracing::error!(mail_id = %due.id, server = ?self.settings, said, "{NO_SERVER}");
                NO_SERVER.to_owned()
            }
        };
        let pause = FIRST_RETRY_DELAY
            .saturating_mul(3_u32.saturating_pow(u32::try_from(due.attempts - 1).unwrap_or(u32::MAX)))
            .min(MAX_RETRY_DELAY);
        let at = now.after(pause);
        if due.attempts >= MAX_ATTEMPTS || at.since(due.created_at) > MAX_AGE {
            return SendOutcome::Failed { reason: format!("given up after {} attempts: {reason}", due.attempts) };
        }
        SendOutcome::Again { at, reason }
    }

    /// Records; the database may be away for a while. What cannot be recorded is sent again after
    /// the lease.
    async fn record(&self, due: &DueEmail, settled: &SendOutcome) {
        let until = Instant::now() + RECORD_TIMEOUT;
        let mut pause = Duration::from_millis(100);
        loop {
            let error = match self.try_record(due, settled).await {
                Ok(()) => return,
                Err(error) => error,
            };
            if Instant::now() + pause > until {
                tracing::error!(mail_id = %due.id, %error, "the outcome of an e-mail cannot be recorded");
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    async fn try_record(&self, due: &DueEmail, settled: &SendOutcome) -> DomainResult<()> {
        let mut tx = self.state.db.system_write().await?;
        outbox::settle(&mut tx, due, settled).await?;
        Ok(tx.commit().await?)
    }
}
