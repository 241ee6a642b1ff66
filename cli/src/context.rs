//! What every client command has: the server, the session, how to speak.

use std::sync::Arc;

use restroy_client::Client;
use serde::Serialize;
use url::Url;

use crate::{
    credentials::{self, Credentials},
    failure::{Failure, Outcome},
    style::Paint,
};

/// The server when nothing names another.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// What every client command has.
#[derive(Debug)]
pub(crate) struct Context {
    /// The server's address.
    pub(crate) server: String,
    /// The person's sessions.
    pub(crate) credentials: Credentials,
    /// Whether answers are JSON.
    pub(crate) json: bool,
    /// How to colour standard output.
    pub(crate) paint: Paint,
}

impl Context {
    /// For the server that is named, else the one that was signed in to last, else one on this
    /// machine.
    pub(crate) fn new(server: Option<String>, json: bool) -> Outcome<Self> {
        let folder =
            credentials::folder(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(Into::into))?;
        let credentials = Credentials::new(folder);
        let server = match server {
            Some(server) => server,
            None => credentials
                .current()
                .map_err(|error| Failure::from(restroy_client::Error::Store(error)))?
                .unwrap_or_else(|| DEFAULT_SERVER.to_owned()),
        };
        // One spelling per server: sessions are found by it.
        let server = Url::parse(&server).map_or(server, |url| url.to_string().trim_end_matches('/').to_owned());
        Ok(Self { server, credentials, json, paint: Paint::stdout() })
    }

    /// A client that shows the API token of `RESTROY_TOKEN`, or the one that was signed in with, else one whose
    /// session is kept in the person's file.
    pub(crate) fn client(&self) -> Outcome<Client> {
        let client = self.session_client()?;
        let token = match std::env::var("RESTROY_TOKEN").ok().filter(|token| !token.is_empty()) {
            Some(token) => Some(token),
            None => self
                .credentials
                .api_token(&self.server)
                .map_err(|error| Failure::from(restroy_client::Error::Store(error)))?,
        };
        Ok(match token {
            Some(token) => client.with_api_token(&token),
            None => client,
        })
    }

    /// A client whose session is kept in the person's file: for signing in and out.
    pub(crate) fn session_client(&self) -> Outcome<Client> {
        let session = Arc::new(self.credentials.on(&self.server));
        Ok(Client::with_tokens(&self.server, session)?)
    }

    /// A text, and below it the command that comes next.
    pub(crate) fn next(&self, text: &str, command: &str) -> String {
        format!("{text}\n  {} {command}", self.paint.cyan("next:"))
    }

    /// Prints an answer: as JSON when that is asked for, else what `text` makes of it.
    pub(crate) fn show<T: Serialize>(&self, answer: &T, text: impl FnOnce(&T) -> String) -> Outcome {
        let text = if self.json { json(answer)? } else { text(answer) };
        crate::output::print(&text);
        Ok(())
    }
}

/// A value as JSON for people and programs.
pub(crate) fn json<T: Serialize>(value: &T) -> Outcome<String> {
    serde_json::to_string_pretty(value).map_err(|error| Failure::new(format!("cannot write JSON: {error}")))
}
