//! `restroy health URL`: whether a service answers 200, for containers that have no other program to ask
//! with.

use std::time::Duration;

use clap::Args as ClapArgs;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use url::Url;

use crate::failure::{Failure, Outcome};

/// How long the answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// What of the answer is read: the status line, and what a service says of its state.
const MOST: u64 = 8 * 1024;

/// Ask a service whether it is well, for the health checks of containers: exit code 0 or 1
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Plain http, such as http://127.0.0.1:9090/readyz
    url: Url,
}

/// Sends the probe.
pub(crate) async fn run(args: &Args) -> Outcome {
    let url = &args.url;
    let Some(host) = url.host_str().filter(|_| url.scheme() == "http") else {
        return Err(Failure::usage(format!("`{url}` is not a plain http address")));
    };
    let address = format!("{host}:{}", url.port().unwrap_or(80));
    let answer = timeout(ANSWER_TIMEOUT, ask(&address, url.path()))
        .await
        .map_err(|_| Failure::new(format!("{address} did not answer within {} s", ANSWER_TIMEOUT.as_secs())))?
        .map_err(|error| Failure::new(format!("cannot ask {address}: {error}")))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    // RFC 9112, section 4: version, a space, three digits.
    if status.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    Err(Failure::new(format!("{url}: {status} {body}")))
}

async fn ask(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
