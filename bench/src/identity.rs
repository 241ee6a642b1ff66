//! `bench identity`: whether the time of an answer says if an address has an account. Logins with a wrong password
//! and requests for a password reset, for known and unknown addresses in turn, against `restroy dev` as a process of
//! its own.
//!
//! Attempts are limited by address and account, so they come from many loopback addresses, for many accounts.

use std::{
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpSocket, TcpStream},
};

use crate::{
    stats::{millis, quantile},
    subjects::{Embedded, Subject},
};

/// How many accounts there are; as many addresses have none.
const ACCOUNTS: u8 = 40;
/// How often each is tried: as many e-mails as an address gets within an hour, so that each attempt does the same.
const TRIES: usize = 5;

/// Known and unknown.
type Times = [Vec<Duration>; 2];

/// Measures and prints.
pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    let embedded = Embedded::start().await?;
    let server = embedded.address()?;
    // Logins and resets come from addresses of their own: what is counted for one does not stop the other.
    let (mut for_logins, mut for_resets) = (Vec::new(), Vec::new());
    for n in 0..ACCOUNTS {
        for (connections, host) in [(&mut for_logins, n), (&mut for_resets, n + ACCOUNTS)] {
            connections.push(Connection::open(server, Ipv4Addr::new(127, 0, 1, host + 1)).await?);
        }
        let account = json!({ "email": email("known", n), "password": "correct horse battery", "name": "Somebody" });
        for_logins[usize::from(n)].send("register", &account, 202).await?;
    }
    let (mut logins, mut resets) = (Times::default(), Times::default());
    for turn in 0..=TRIES {
        for n in 0..ACCOUNTS {
            for (which, kind) in ["known", "unknown"].into_iter().enumerate() {
                let email = email(kind, n);
                let login = json!({ "email": email, "password": "not the password" });
                let took = for_logins[usize::from(n)].send("login", &login, 401).await?;
                // The first turn warms up.
                if turn > 0 {
                    logins[which].push(took);
                }
                if turn < TRIES {
                    let reset = json!({ "email": email });
                    resets[which].push(for_resets[usize::from(n)].send("password-reset", &reset, 202).await?);
                }
            }
        }
    }
    println!("| what | known: median | p99 | unknown: median | p99 | medians differ by |\n|---|---|---|---|---|---|");
    print("login with a wrong password", logins);
    print("request for a password reset", resets);
    println!(
        "\n{ACCOUNTS} accounts and as many unknown addresses in turn, one request at a time. Register answers from \
         one path too; in this mode it sends no e-mail."
    );
    Subject::end(embedded).await
}

fn email(kind: &str, n: u8) -> String {
    format!("{kind}-{n}@example.com")
}

/// A connection from a loopback address of its own (HTTP/1.1, RFC 9112).
struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn open(server: SocketAddr, from: Ipv4Addr) -> Result<Self, Box<dyn Error>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        let stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a request to one of the auth routes; how long its answer took.
    async fn send(&mut self, path: &str, body: &Value, expected: u16) -> Result<Duration, Box<dyn Error>> {
        let body = body.to_string();
        let request = format!(
            "POST /v1/auth/{path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let start = Instant::now();
        self.0.get_mut().write_all(request.as_bytes()).await?;
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        let status: u16 = line.split(' ').nth(1).ok_or("an answer without a status")?.parse()?;
        let mut length = 0;
        loop {
            line.clear();
            self.0.read_line(&mut line).await?;
            let Some((name, value)) = line.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        let mut text = vec![0; length];
        self.0.read_exact(&mut text).await?;
        let took = start.elapsed();
        if status != expected {
            return Err(format!("{path} answered {status}: {}", String::from_utf8_lossy(&text)).into());
        }
        Ok(took)
    }
}

fn print(what: &str, times: Times) {
    let figures = times.map(|mut times| (quantile(&mut times, 0.5), quantile(&mut times, 0.99)));
    let [(known, known_p99), (unknown, unknown_p99)] = figures;
    println!(
        "| {what}, {} times each | {} | {} | {} | {} | {} |",
        usize::from(ACCOUNTS) * TRIES,
        millis(known),
        millis(known_p99),
        millis(unknown),
        millis(unknown_p99),
        millis(known.abs_diff(unknown)),
    );
}
