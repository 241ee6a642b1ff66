//! `bench pipeline`: embedded mode alone, with nothing to install: from the request that starts a run to
//! `run.finished` on its WebSocket. The server is `restroy dev` as a process of its own.
//!
//! Beside it a plain request to the same server: what HTTP and a look at the session cost here.

use std::{error::Error, time::Instant};

use crate::{
    stats::{millis, quantile},
    subjects::Embedded,
    table,
};

const WARM_UP: usize = 50;
const REQUESTS: usize = 500;

/// Measures and prints.
pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    let embedded = Embedded::start().await?;
    let client = embedded.client().ok_or("an installation has a client")?;
    let mut plain = Vec::new();
    for turn in 0..WARM_UP + REQUESTS {
        let start = Instant::now();
        client.me().await?;
        if turn >= WARM_UP {
            plain.push(start.elapsed());
        }
    }
    println!("| what | median | p99 |\n|---|---|---|");
    println!(
        "| a plain authenticated request (`GET /v1/me`), {REQUESTS} times | {} | {} |\n",
        millis(quantile(&mut plain, 0.5)),
        millis(quantile(&mut plain, 0.99))
    );
    table::head();
    table::rows(embedded).await?;
    table::legend();
    Ok(())
}
