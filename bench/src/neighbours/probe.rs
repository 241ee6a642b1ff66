//! `GET /healthz`, again and again, on one connection.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use url::Url;

use crate::load::Load;

/// How often it asks.
pub(super) const EVERY: Duration = Duration::from_millis(10);

/// Asks one server.
pub(super) struct Probe {
    address: String,
}

impl Probe {
    pub(super) fn new(url: &str) -> Result<Self, Box<dyn Error>> {
        let url = Url::parse(url)?;
        let (host, port) = (url.host_str().ok_or("a URL without a host")?, url.port().unwrap_or(80));
        Ok(Self { address: format!("{host}:{port}") })
    }

    /// How long each answer took whose question fell into the window of the load.
    pub(super) async fn run(&self) -> Result<Vec<Duration>, Box<dyn Error>> {
        let mut connection = TcpStream::connect(&self.address).await?;
        connection.set_nodelay(true)?;
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        let opens = Instant::now() + Load::WARM_UP;
        let closes = opens + Load::WINDOW;
        let (mut times, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let start = Instant::now();
            if start >= closes {
                return Ok(times);
            }
            connection.write_all(request.as_bytes()).await?;
            // The answer is far smaller than a packet.
            let length = connection.read(&mut buffer).await?;
            if !buffer.get(..length).is_some_and(|answer| answer.starts_with(b"HTTP/1.1 200")) {
                return Err(format!("/healthz: {}", String::from_utf8_lossy(&buffer[..length])).into());
            }
            if start >= opens {
                times.push(start.elapsed());
            }
            tokio::time::sleep_until((start + EVERY).into()).await;
        }
    }
}
