//! The worker's side of the channel: asks, and waits for the answer. One thread, nothing asynchronous.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;

use super::frame::{HEADER, WorkerMessage, answer, encode_message};
use super::sockets::Spin;
use crate::host::StopError;

/// The longest answer: far above what a parent sends, so that a number gone wrong is noticed.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// The way to the parent. When it breaks, there is nobody left to work for: the process ends.
pub(crate) struct ToParent {
    channel: File,
    spin: Spin,
}

impl ToParent {
    pub(super) fn new(channel: File) -> Self {
        Self { channel, spin: Spin::default() }
    }

    /// Reads what the parent says first: limits and records of a sandbox.
    pub(super) fn start(&self) -> (Vec<u8>, Vec<u8>) {
        let (kind, mut body) = self.read();
        let length = body.get(..4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        match length {
            Some(length) if kind == answer::START && body.len() >= 4 + length as usize => {
                let records = body.split_off(4 + length as usize);
                (body.split_off(4), records)
            }
            _ => exit(),
        }
    }

    /// Reports the end of a sandbox.
    pub(super) fn send(&self, said: &WorkerMessage) {
        if (&self.channel).write_all(&encode_message(said)).is_err() {
            exit();
        }
    }

    /// Asks whether to continue.
    pub(super) fn request_slice(&self) -> Result<(), StopError> {
        self.proceed(&WorkerMessage::Slice)
    }

    pub(crate) fn now(&self) -> Result<i64, StopError> {
        let bytes = self.ask(&WorkerMessage::Now, answer::NUMBER)?;
        Ok(bytes.try_into().map_or_else(|_| exit(), i64::from_le_bytes))
    }

    pub(crate) fn random(&self, buffer: &mut [u8]) -> Result<(), StopError> {
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let bytes = self.ask(&WorkerMessage::Random(length), answer::BYTES)?;
        if bytes.len() != buffer.len() {
            exit();
        }
        buffer.copy_from_slice(&bytes);
        Ok(())
    }

    pub(crate) fn log(&self, level: Option<u8>, text: &[u8]) -> Result<(), StopError> {
        self.proceed(&WorkerMessage::Log { level, text: text.to_vec() })
    }

    pub(crate) fn call(&self, op: u32, head: &[u8], body: Vec<u8>) -> Result<Vec<u8>, StopError> {
        self.ask(&WorkerMessage::Call { op, head: head.to_vec(), body }, answer::BYTES)
    }

    fn proceed(&self, said: &WorkerMessage) -> Result<(), StopError> {
        self.ask(said, answer::GO).map(|_| ())
    }

    fn ask(&self, said: &WorkerMessage, expected: u8) -> Result<Vec<u8>, StopError> {
        self.send(said);
        let mut header = [0; HEADER];
        // The parent answers most of them at once.
        let arrived = self.spin.read(self.channel.as_fd(), &mut header);
        let answered = match arrived {
            Ok(None) => self.read(),
            Ok(Some(length)) if length > 0 => self.read_after(header, length),
            _ => exit(),
        };
        match answered {
            (answer::STOP, _) => Err(None),
            (kind, body) if kind == expected => Ok(body),
            _ => exit(),
        }
    }

    fn read(&self) -> (u8, Vec<u8>) {
        self.read_after([0; HEADER], 0)
    }

    /// Reads the rest of a frame of whose header so much has been read.
    fn read_after(&self, mut header: [u8; HEADER], read: usize) -> (u8, Vec<u8>) {
        if self.fill(&mut header[read..]).is_err() {
            exit();
        }
        let length = u32::from_le_bytes([header[1], header[2], header[3], header[4]]) as usize;
        if length > MAX_ANSWER {
            exit();
        }
        let mut body = vec![0; length];
        if self.fill(&mut body).is_err() {
            exit();
        }
        (header[0], body)
    }

    fn fill(&self, buffer: &mut [u8]) -> io::Result<()> {
        (&self.channel).read_exact(buffer)
    }
}

/// Ends the process, without any of the destructors that expect the zygote's world.
pub(super) fn exit() -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(0) }
}
