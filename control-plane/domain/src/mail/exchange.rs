//! The exchange with the mail server (RFC 5321), step by step. Where it ends says whom the end is about: up to
//! `MAIL` the server refuses us, whatever the e-mail says; from `RCPT` on it may refuse this e-mail; and once the
//! text was handed over, the e-mail may be on its way although no answer came.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lettre::{
    address::Envelope,
    transport::smtp::{
        Error as SmtpError,
        authentication::DEFAULT_MECHANISMS,
        client::AsyncSmtpConnection,
        commands::{Data, Mail, Rcpt},
        extension::{ClientId, Extension, MailBodyParameter, MailParameter},
    },
};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::settings::{MailSettings, Tls};

/// How long a connection, a command and its answer may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(20);
/// How long all the steps before the text may take.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(40);
/// How long handing over the text may take, with the server's answer to it.
const DATA_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a whole exchange takes at most; less than a row is held (`sender::LEASE`).
pub(super) const MAX_SEND_DURATION: Duration = Duration::from_secs(PREPARE_TIMEOUT.as_secs() + DATA_TIMEOUT.as_secs());
/// How long a connection that is not needed is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a farewell may take.
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);
/// What is kept of an answer's text, in bytes.
const MAX_TEXT: usize = 500;

/// Why an e-mail was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SendError {
    /// The server cannot be reached, or takes nothing from us: the operator's to mend, and none of the e-mail's error.
    /// The text is for the operator.
    Server(String),
    /// This e-mail, for now.
    Now(String),
    /// This e-mail, for good.
    Good(String),
    /// Nobody: it was time to stop, and nothing was handed over yet.
    Stopped,
}

/// A mail server, and the connections to it that are open and not needed at the moment: at most as many as
/// exchanges were ever under way at once.
pub(super) struct MailServer {
    settings: MailSettings,
    hello: ClientId,
    idle: Mutex<Vec<(Instant, AsyncSmtpConnection)>>,
}

impl MailServer {
    /// Connects to nothing yet.
    pub(super) fn new(settings: MailSettings, hello: ClientId) -> Self {
        Self { settings, hello, idle: Mutex::default() }
    }

    /// Sends an e-mail to all its recipients or to none. Once `stop` is cancelled nothing is handed over any more; what
    /// is being handed over continues.
    pub(super) async fn send(
        &self,
        envelope: &Envelope,
        text: &[u8],
        stop: &CancellationToken,
    ) -> Result<(), SendError> {
        let before = timeout(PREPARE_TIMEOUT, self.prepare(envelope, text));
        let prepared = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(SendError::Stopped),
            prepared = before => prepared.unwrap_or_else(|_| Err(SendError::Server("it took too long".into()))),
        };
        let mut connection = prepared?;
        let handed_over = timeout(DATA_TIMEOUT, connection.message(text)).await;
        match handed_over.map_err(|_| SendError::Server("it took too long to answer the text".into()))? {
            Ok(_) => {
                self.idle().push((Instant::now(), connection));
                Ok(())
            }
            Err(error) => {
                close_connection(connection).await;
                Err(classify_rejection(&error))
            }
        }
    }

    /// Everything up to the moment at which the server waits for the text.
    async fn prepare(&self, envelope: &Envelope, text: &[u8]) -> Result<AsyncSmtpConnection, SendError> {
        let mut connection = self.connection().await?;
        match send_envelope(&mut connection, envelope, text).await {
            Ok(()) => Ok(connection),
            Err(refused) => {
                close_connection(connection).await;
                Err(refused)
            }
        }
    }

    /// A connection that is good: one that was left open, or a new one.
    async fn connection(&self) -> Result<AsyncSmtpConnection, SendError> {
        loop {
            let left_open = self.idle().pop();
            match left_open {
                None => break,
                Some((since, mut connection)) if since.elapsed() < IDLE_TIMEOUT => {
                    if timeout(STEP_TIMEOUT, connection.test_connected()).await.unwrap_or(false) {
                        return Ok(connection);
                    }
                }
                Some((_, connection)) => close_connection(connection).await,
            }
        }
        let MailSettings { host, port, tls, credentials, .. } = &self.settings;
        let at_once = match tls {
            Tls::AtOnce(parameters) => Some(parameters.clone()),
            Tls::None | Tls::Upgrade { .. } => None,
        };
        let server = (host.as_str(), *port);
        let connecting = AsyncSmtpConnection::connect_tokio1(server, Some(STEP_TIMEOUT), &self.hello, at_once, None);
        let mut connection = server_step(connecting).await?;
        let settled = async {
            if let Tls::Upgrade { parameters, required } = tls
                && (*required || connection.can_starttls())
            {
                server_step(connection.starttls(parameters.clone(), &self.hello)).await?;
            }
            if let Some(credentials) = credentials {
                server_step(connection.auth(DEFAULT_MECHANISMS, credentials)).await?;
            }
            Ok::<_, SendError>(())
        };
        match settled.await {
            Ok(()) => Ok(connection),
            Err(refused) => {
                close_connection(connection).await;
                Err(refused)
            }
        }
    }

    /// Says farewell where it is still connected.
    pub(super) async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle());
        for (_, connection) in idle {
            close_connection(connection).await;
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, AsyncSmtpConnection)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for MailServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Says from whom and to whom, and that a text comes.
async fn send_envelope(
    connection: &mut AsyncSmtpConnection,
    envelope: &Envelope,
    text: &[u8],
) -> Result<(), SendError> {
    let mut parameters = Vec::new();
    let offers = |extension| connection.server_info().supports_feature(extension);
    if !envelope.to().iter().all(|to| AsRef::<str>::as_ref(to).is_ascii()) {
        if !offers(Extension::SmtpUtfEight) {
            return Err(SendError::Good("the mail server takes only addresses in ASCII".into()));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !text.is_ascii() {
        if !offers(Extension::EightBitMime) {
            return Err(SendError::Good("the mail server takes only texts in ASCII".into()));
        }
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    // The sender is the same for every e-mail.
    server_step(connection.command(Mail::new(envelope.from().cloned(), parameters))).await?;
    for to in envelope.to() {
        timeout(STEP_TIMEOUT, connection.command(Rcpt::new(to.clone(), Vec::new())))
            .await
            .map_err(|_| timed_out())?
            .map_err(|error| classify_rejection(&error))?;
    }
    timeout(STEP_TIMEOUT, connection.command(Data))
        .await
        .map_err(|_| timed_out())?
        .map_err(|error| classify_rejection(&error))?;
    Ok(())
}

/// A step of which every refusal is about us.
async fn server_step<T>(step: impl Future<Output = Result<T, SmtpError>>) -> Result<T, SendError> {
    match timeout(STEP_TIMEOUT, step).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(SendError::Server(explain(&error))),
        Err(_) => Err(timed_out()),
    }
}

fn timed_out() -> SendError {
    SendError::Server("it took too long".into())
}

/// A refusal where the e-mail is at hand. Some answers are about us even there: that the service ends (421), and
/// that it wants other credentials (RFC 4954, section 6).
fn classify_rejection(error: &SmtpError) -> SendError {
    let text = explain(error);
    match error.status().map(u16::from) {
        None | Some(421 | 530 | 534 | 535 | 538) => SendError::Server(text),
        Some(_) if error.is_permanent() => SendError::Good(text),
        Some(_) => SendError::Now(text),
    }
}

/// Ends a connection, politely where that is possible.
async fn close_connection(mut connection: AsyncSmtpConnection) {
    let _ = timeout(QUIT_TIMEOUT, connection.abort()).await;
}

/// The error and its causes, in one line of bounded length: it is shown in terminals.
fn explain(error: &SmtpError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text.push_str(": ");
            text.push_str(&next_text);
        }
        cause = next.source();
    }
    let mut plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.truncate(plain.floor_char_boundary(MAX_TEXT));
    plain
}
