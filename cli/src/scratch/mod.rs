//! What a script reaches when it runs on the spot: in memory, bounded, gone afterwards; and the web,
//! as far as it is allowed.

mod files;
mod http;
mod kv;
mod mail;
mod sink;

pub(crate) use files::MemoryFiles;
pub(crate) use http::LocalHttp;
pub(crate) use kv::MemoryKv;
pub(crate) use mail::MemoryMail;
pub(crate) use sink::TerminalSink;

use lua_wasm_host::{Clock, Entropy};
use restroy_sdk::time::Ambient;

/// Clock and randomness of the process.
pub(crate) struct SystemAmbient(pub(crate) Ambient);

impl Clock for SystemAmbient {
    fn now_micros(&self) -> i64 {
        self.0.now().micros()
    }
}

impl Entropy for SystemAmbient {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let random: [u8; 32] = self.0.random();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
    }
}
