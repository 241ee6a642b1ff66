//! A mail server for tests, on loopback: it keeps what it gets, and can refuse, hang up or keep a
//! sender waiting. Speaks as much of RFC 5321 as a client needs. Tests of other crates include this
//! file by its path.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
    task::JoinHandle,
};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the server does with an e-mail.
#[derive(Clone)]
pub(crate) enum Reaction {
    /// Takes it.
    Take,
    /// Answers the first recipient so, e.g. `550 no such mailbox`.
    RefuseRecipient(&'static str),
    /// Answers the text so, e.g. `451 later`.
    RefuseText(&'static str),
    /// Breaks the connection off after the text.
    HangUp,
    /// Takes it, once it is informed to.
    TakeWhen(Arc<Notify>),
    /// Never answers the first recipient.
    KeepWaiting,
}

/// An e-mail as it came.
#[derive(Debug, Clone)]
pub(crate) struct Caught {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    /// Headers and bodies.
    pub(crate) text: String,
}

impl Caught {
    /// A header's value, unfolded.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let head = self.text.split("\r\n\r\n").next()?.replace("\r\n ", " ");
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    }

    /// The text without the marks of quoted-printable (RFC 2045, section 6.7).
    pub(crate) fn readable(&self) -> String {
        let text = self.text.replace("=\r\n", "");
        let mut plain = Vec::new();
        let mut bytes = text.as_bytes().iter();
        while let Some(&byte) = bytes.next() {
            let code = bytes.as_slice().get(..2).filter(|_| byte == b'=');
            match code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()) {
                Some(decoded) => {
                    plain.push(decoded);
                    bytes.nth(1);
                }
                None => plain.push(byte),
            }
        }
        String::from_utf8_lossy(&plain).into_owned()
    }
}

#[derive(Default)]
struct State {
    reactions: VecDeque<Reaction>,
    /// The command that everybody is refused at, whatever the e-mail, and the answer.
    refusing: Option<(&'static str, &'static str)>,
    caught: Vec<Caught>,
}

/// A mail server.
pub(crate) struct Sink {
    /// Its address, for the settings.
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
    /// How many e-mails were tried, whatever became of them.
    tried: watch::Sender<usize>,
    server: JoinHandle<()>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Sink {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let (state, tried) = (Arc::<Mutex<State>>::default(), watch::Sender::new(0));
        let server = {
            let (state, tried) = (Arc::clone(&state), tried.clone());
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (state, tried) = (Arc::clone(&state), tried.clone());
                    // A client that goes away in the middle of a word is not an error of the test.
                    tokio::spawn(async move {
                        let _ = serve(stream, &state, &tried).await;
                    });
                }
            })
        };
        Self { url: format!("smtp://{address}"), state, tried, server }
    }

    /// What is done with the next e-mails, one after the other; those after them are taken.
    pub(crate) fn react(&self, reactions: impl IntoIterator<Item = Reaction>) {
        self.state.lock().unwrap().reactions.extend(reactions);
    }

    /// Refuses everybody from now on, at this command or, with none, at the greeting; or nobody any more.
    pub(crate) fn refuse(&self, at: Option<(&'static str, &'static str)>) {
        self.state.lock().unwrap().refusing = at;
    }

    /// What was taken so far.
    pub(crate) fn caught(&self) -> Vec<Caught> {
        self.state.lock().unwrap().caught.clone()
    }

    /// How many e-mails were tried so far.
    pub(crate) fn tries(&self) -> usize {
        *self.tried.borrow()
    }

    /// Waits until so many e-mails were tried.
    pub(crate) async fn tried(&self, count: usize) {
        let mut tried = self.tried.subscribe();
        let enough = tried.wait_for(|tries| *tries >= count);
        tokio::time::timeout(PATIENCE, enough).await.expect("an e-mail is sent").unwrap();
    }

    /// Waits until so many e-mails were taken.
    pub(crate) async fn mails(&self, count: usize) -> Vec<Caught> {
        let mut tried = self.tried.subscribe();
        let enough = tried.wait_for(|_| self.state.lock().unwrap().caught.len() >= count);
        tokio::time::timeout(PATIENCE, enough).await.expect("an e-mail arrives").unwrap();
        self.caught()
    }
}

async fn serve(stream: TcpStream, state: &Mutex<State>, tried: &watch::Sender<usize>) -> std::io::Result<()> {
    let (reader, mut out) = stream.into_split();
    let mut lines = BufReader::new(reader);
    let refused = |at: &str| state.lock().unwrap().refusing.filter(|(command, _)| *command == at);
    if let Some((_, answer)) = refused("") {
        return out.write_all(format!("{answer}\r\n").as_bytes()).await;
    }
    out.write_all(b"220 sink ESMTP\r\n").await?;
    let (mut from, mut to, mut reaction) = (String::new(), Vec::new(), Reaction::Take);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let word = line.split([' ', '\r']).next().unwrap_or_default().to_ascii_uppercase();
        let address = || line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let answer: &str = match word.as_str() {
            command if refused(command).is_some() => refused(command).unwrap().1,
            "EHLO" => "250-sink\r\n250-8BITMIME\r\n250-AUTH PLAIN\r\n250 SMTPUTF8",
            "AUTH" => "235 known",
            // Nobody continues with a connection from better days.
            "NOOP" if state.lock().unwrap().refusing.is_some() => return Ok(()),
            "HELO" | "NOOP" | "RSET" => "250 ok",
            "MAIL" => {
                (from, to) = (address(), Vec::new());
                reaction = state.lock().unwrap().reactions.pop_front().unwrap_or(Reaction::Take);
                "250 ok"
            }
            "RCPT" => {
                if let Reaction::KeepWaiting = reaction {
                    tried.send_modify(|tries| *tries += 1);
                    // The client gives up, or nobody does.
                    lines.read_line(&mut line).await?;
                    return Ok(());
                }
                if let Reaction::RefuseRecipient(answer) = reaction {
                    reaction = Reaction::Take;
                    tried.send_modify(|tries| *tries += 1);
                    answer
                } else {
                    to.push(address());
                    "250 ok"
                }
            }
            "DATA" => {
                out.write_all(b"354 go on\r\n").await?;
                let text = data(&mut lines).await?;
                let caught = Caught { from: from.clone(), to: to.clone(), text };
                match std::mem::replace(&mut reaction, Reaction::Take) {
                    Reaction::HangUp => {
                        tried.send_modify(|tries| *tries += 1);
                        return Ok(());
                    }
                    Reaction::RefuseText(answer) | Reaction::RefuseRecipient(answer) => {
                        tried.send_modify(|tries| *tries += 1);
                        answer
                    }
                    Reaction::TakeWhen(told) => {
                        tried.send_modify(|tries| *tries += 1);
                        told.notified().await;
                        state.lock().unwrap().caught.push(caught);
                        tried.send_modify(|_| ());
                        "250 taken"
                    }
                    Reaction::Take | Reaction::KeepWaiting => {
                        state.lock().unwrap().caught.push(caught);
                        tried.send_modify(|tries| *tries += 1);
                        "250 taken"
                    }
                }
            }
            "QUIT" => {
                out.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "502 not here",
        };
        out.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}

/// A text up to its final dot, with doubled dots undone (RFC 5321, section 4.5.2).
async fn data(lines: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> std::io::Result<String> {
    let mut text = Vec::new();
    loop {
        let mut line = Vec::new();
        if lines.read_until(b'\n', &mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        match line.as_slice() {
            b".\r\n" => return Ok(String::from_utf8_lossy(&text).into_owned()),
            [b'.', rest @ ..] => text.extend_from_slice(rest),
            all => text.extend_from_slice(all),
        }
    }
}
