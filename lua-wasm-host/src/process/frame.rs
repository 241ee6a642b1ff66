//! What passes between a worker and the process that started it.
//!
//! A frame is a kind (one byte), the length of its body (u32, little-endian) and the body. The worker
//! speaks, the parent answers, in turns. The parent believes nothing: a frame of an unknown kind, of a
//! length that its kind cannot have, with a field that points outside of it, or that comes before the
//! last one was answered, ends the worker ([`FrameDecoder`]). A length is checked before anything is
//! allocated for it, and what is allocated is what has arrived.

use crate::sandbox::{GuestEnd, SandboxUsage};
use crate::wire::op;
use crate::{ErrorCode, Limits};

/// Kind and length.
pub(super) const HEADER: usize = 5;

/// The longest answer that a call of the guest can have beside its body: head and status.
const CALL_OVERHEAD: usize = 8;

/// Bytes of an end before its payload: its kind, and four figures.
const END_FIXED: usize = 1 + 4 * 8;

/// What the worker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WorkerMessage {
    /// The time is wanted.
    Now,
    /// So many random bytes are wanted.
    Random(u32),
    /// Log lines of the script.
    Log { level: Option<u8>, text: Vec<u8> },
    /// A call.
    Call { op: u32, head: Vec<u8>, body: Vec<u8> },
    /// It ran for a while, and asks whether to continue.
    Slice,
    /// The sandbox ended.
    End { end: GuestEnd, spent: SandboxUsage },
}

/// Kinds of what the worker says.
mod said {
    pub(super) const NOW: u8 = 1;
    pub(super) const RANDOM: u8 = 2;
    pub(super) const LOG: u8 = 3;
    pub(super) const CALL: u8 = 4;
    pub(super) const SLICE: u8 = 5;
    pub(super) const END: u8 = 6;
}

/// Kinds of what the parent answers.
pub(super) mod answer {
    /// A sandbox is to be run: the length of its limits (u32), its limits as JSON, its records.
    pub(in crate::process) const START: u8 = 16;
    /// A number (i64).
    pub(in crate::process) const NUMBER: u8 = 17;
    /// Bytes: an answer as the guest reads it, or randomness.
    pub(in crate::process) const BYTES: u8 = 18;
    /// It may continue.
    pub(in crate::process) const GO: u8 = 19;
    /// The sandbox is to end: the parent knows why.
    pub(in crate::process) const STOP: u8 = 20;
}

/// How a sandbox ended, as a byte.
mod end {
    pub(super) const VALUE: u8 = 0;
    pub(super) const FAILURE: u8 = 1;
    pub(super) const FUEL: u8 = 2;
    pub(super) const MEMORY: u8 = 3;
    pub(super) const OUTPUT: u8 = 4;
    pub(super) const LOG: u8 = 5;
    pub(super) const STACK: u8 = 6;
    pub(super) const HOST: u8 = 7;
    pub(super) const BROKEN: u8 = 8;
}

/// The longest note of a sandbox that broke, bytes.
const MAX_NOTE: usize = 4_096;

/// A frame that no worker of ours would send: the worker is not ours any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum MalformedFrame {
    #[error("a frame of an unknown kind")]
    Kind,
    #[error("a frame that is too long")]
    Length,
    #[error("a frame whose parts do not fit")]
    Body,
    #[error("a frame that nobody waits for")]
    Unasked,
}

/// The longest frames that one sandbox may send, by kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameBounds {
    log: usize,
    call: usize,
    random: usize,
    end: usize,
}

impl FrameBounds {
    pub(super) fn from_limits(limits: &Limits) -> Self {
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX / 2);
        Self {
            log: bytes(limits.log_bytes) + 1,
            call: bytes(limits.host_call_bytes) + CALL_OVERHEAD,
            random: bytes(limits.host_call_bytes),
            end: END_FIXED + bytes(limits.output_bytes).max(crate::sandbox::MAX_FAILURE as usize).max(MAX_NOTE),
        }
    }

    /// Whether a frame of this kind may be so long.
    fn check(&self, kind: u8, length: usize) -> Result<(), MalformedFrame> {
        let fits = match kind {
            said::NOW | said::SLICE => length == 0,
            said::RANDOM => length == 4,
            said::LOG => (1..=self.log).contains(&length),
            said::CALL => (CALL_OVERHEAD..=self.call).contains(&length),
            said::END => (END_FIXED..=self.end).contains(&length),
            _ => return Err(MalformedFrame::Kind),
        };
        if fits { Ok(()) } else { Err(MalformedFrame::Length) }
    }
}

/// Reads what a worker says. A pure function of the bytes that arrive.
pub(super) struct FrameDecoder {
    bounds: FrameBounds,
    buffer: Vec<u8>,
}

impl FrameDecoder {
    pub(super) fn new(bounds: FrameBounds) -> Self {
        Self { bounds, buffer: Vec::new() }
    }

    /// Takes bytes as they arrive, and gives the frame that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Option<WorkerMessage>, MalformedFrame> {
        self.buffer.extend_from_slice(bytes);
        let Some((header, rest)) = self.buffer.split_at_checked(HEADER) else {
            // An unknown kind shows at once.
            return match self.buffer.first() {
                Some(kind) if !(said::NOW..=said::END).contains(kind) => Err(MalformedFrame::Kind),
                _ => Ok(None),
            };
        };
        let kind = header[0];
        let length = u32::from_le_bytes([header[1], header[2], header[3], header[4]]) as usize;
        self.bounds.check(kind, length)?;
        if rest.len() < length {
            return Ok(None);
        }
        if rest.len() > length {
            return Err(MalformedFrame::Unasked);
        }
        let said = parse(kind, rest, &self.bounds)?;
        self.buffer.clear();
        // A rare long frame must not hold its memory for as long as the worker lives.
        self.buffer.shrink_to(64 * 1024);
        Ok(Some(said))
    }
}

fn parse(kind: u8, body: &[u8], bounds: &FrameBounds) -> Result<WorkerMessage, MalformedFrame> {
    Ok(match kind {
        said::NOW => WorkerMessage::Now,
        said::SLICE => WorkerMessage::Slice,
        said::RANDOM => {
            let length = number::<4>(body, 0).map(u32::from_le_bytes)?;
            if length as usize > bounds.random {
                return Err(MalformedFrame::Length);
            }
            WorkerMessage::Random(length)
        }
        said::LOG => {
            let (level, text) = body.split_first().ok_or(MalformedFrame::Body)?;
            WorkerMessage::Log { level: Some(*level), text: text.to_vec() }
        }
        said::CALL => {
            let op = u32::from_le_bytes(number::<4>(body, 0)?);
            let head = u32::from_le_bytes(number::<4>(body, 4)?) as usize;
            if op < op::PROGRESS || matches!(op, op::OUT_OF_MEMORY | op::DONE | op::FAILED | op::THROW) {
                return Err(MalformedFrame::Body);
            }
            let parts = body.get(8..).ok_or(MalformedFrame::Body)?;
            let (head, body) = parts.split_at_checked(head).ok_or(MalformedFrame::Body)?;
            WorkerMessage::Call { op, head: head.to_vec(), body: body.to_vec() }
        }
        said::END => {
            let figure = |at: usize| number::<8>(body, 1 + 8 * at).map(u64::from_le_bytes);
            let spent =
                SandboxUsage { fuel: figure(0)?, memory_peak: figure(1)?, bytes_in: figure(2)?, bytes_out: figure(3)? };
            let payload = body.get(END_FIXED..).ok_or(MalformedFrame::Body)?;
            let end = match (body[0], payload.is_empty()) {
                (end::VALUE, _) => GuestEnd::Value(payload.to_vec()),
                (end::FAILURE, _) => GuestEnd::Failure(payload.to_vec()),
                (end::FUEL, true) => GuestEnd::Limit(ErrorCode::FuelExhausted),
                (end::MEMORY, true) => GuestEnd::Limit(ErrorCode::MemoryLimit),
                (end::OUTPUT, true) => GuestEnd::Limit(ErrorCode::OutputLimit),
                (end::LOG, true) => GuestEnd::Limit(ErrorCode::LogLimit),
                (end::STACK, true) => GuestEnd::StackOverflow,
                (end::HOST, true) => GuestEnd::ByHost,
                (end::BROKEN, _) if payload.len() <= MAX_NOTE => {
                    GuestEnd::Broken(String::from_utf8_lossy(payload).into_owned())
                }
                _ => return Err(MalformedFrame::Body),
            };
            WorkerMessage::End { end, spent }
        }
        _ => return Err(MalformedFrame::Kind),
    })
}

fn number<const N: usize>(body: &[u8], at: usize) -> Result<[u8; N], MalformedFrame> {
    body.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).ok_or(MalformedFrame::Body)
}

/// A frame of these parts.
pub(super) fn encode(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = Vec::with_capacity(HEADER + length);
    frame.push(kind);
    // All lengths are bounded by limits far below 4 GiB.
    frame.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    for part in parts {
        frame.extend_from_slice(part);
    }
    frame
}

/// The frame of what a worker says.
pub(super) fn encode_message(said: &WorkerMessage) -> Vec<u8> {
    match said {
        WorkerMessage::Now => encode(said::NOW, &[]),
        WorkerMessage::Slice => encode(said::SLICE, &[]),
        WorkerMessage::Random(length) => encode(said::RANDOM, &[&length.to_le_bytes()]),
        WorkerMessage::Log { level, text } => encode(said::LOG, &[&[level.unwrap_or(1)], text]),
        WorkerMessage::Call { op, head, body } => {
            let length = u32::try_from(head.len()).unwrap_or(u32::MAX);
            encode(said::CALL, &[&op.to_le_bytes(), &length.to_le_bytes(), head, body])
        }
        WorkerMessage::End { end, spent } => {
            let (kind, payload): (u8, &[u8]) = match end {
                GuestEnd::Value(json) => (end::VALUE, json),
                GuestEnd::Failure(json) => (end::FAILURE, json),
                GuestEnd::Limit(ErrorCode::FuelExhausted) => (end::FUEL, &[]),
                GuestEnd::Limit(ErrorCode::MemoryLimit) => (end::MEMORY, &[]),
                GuestEnd::Limit(ErrorCode::OutputLimit) => (end::OUTPUT, &[]),
                GuestEnd::Limit(ErrorCode::LogLimit) => (end::LOG, &[]),
                GuestEnd::Limit(_) => (end::BROKEN, b"a limit of the parent's"),
                GuestEnd::StackOverflow => (end::STACK, &[]),
                GuestEnd::ByHost => (end::HOST, &[]),
                GuestEnd::Broken(note) => (end::BROKEN, &note.as_bytes()[..note.len().min(MAX_NOTE)]),
            };
            let figures = [spent.fuel, spent.memory_peak, spent.bytes_in, spent.bytes_out].map(u64::to_le_bytes);
            encode(said::END, &[&[kind], figures.as_flattened(), payload])
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bounds() -> FrameBounds {
        FrameBounds::from_limits(&Limits {
            log_bytes: 100,
            host_call_bytes: 200,
            output_bytes: 300,
            ..Limits::default()
        })
    }

    fn decoder() -> FrameDecoder {
        FrameDecoder::new(bounds())
    }

    fn any_said() -> impl Strategy<Value = WorkerMessage> {
        let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
        let spent = any::<[u64; 4]>().prop_map(|[fuel, memory_peak, bytes_in, bytes_out]| SandboxUsage {
            fuel,
            memory_peak,
            bytes_in,
            bytes_out,
        });
        let end = prop_oneof![
            bytes(300).prop_map(GuestEnd::Value),
            bytes(300).prop_map(GuestEnd::Failure),
            Just(GuestEnd::Limit(ErrorCode::FuelExhausted)),
            Just(GuestEnd::StackOverflow),
            Just(GuestEnd::ByHost),
            "[a-z]{0,40}".prop_map(GuestEnd::Broken),
        ];
        prop_oneof![
            Just(WorkerMessage::Now),
            Just(WorkerMessage::Slice),
            (0..=200_u32).prop_map(WorkerMessage::Random),
            (any::<u8>(), bytes(100)).prop_map(|(level, text)| WorkerMessage::Log { level: Some(level), text }),
            (op::COUNTED..99, bytes(100), bytes(100)).prop_map(|(op, head, body)| WorkerMessage::Call {
                op,
                head,
                body
            }),
            (end, spent).prop_map(|(end, spent)| WorkerMessage::End { end, spent }),
        ]
    }

    proptest! {
        #[test]
        fn what_a_worker_says_arrives_however_it_is_cut(said in any_said(), cut in any::<prop::sample::Index>()) {
            let frame = encode_message(&said);
            let cut = cut.index(frame.len());
            let mut decoder = decoder();
            prop_assert_eq!(decoder.push(&frame[..cut]).unwrap(), None);
            prop_assert_eq!(decoder.push(&frame[cut..]).unwrap(), Some(said));
        }

        #[test]
        fn nothing_may_follow_a_frame_that_was_not_answered(said in any_said(), next in any_said()) {
            let frames = [encode_message(&said), encode_message(&next)].concat();
            prop_assert_eq!(decoder().push(&frames), Err(MalformedFrame::Unasked));
        }

        /// Random bytes are refused, or are a frame whose encoding is those bytes, or are not whole yet;
        /// and what is kept never exceeds what arrived.
        #[test]
        fn noise_is_never_more_than_noise(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0..9_u8) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            if bytes.len() >= HEADER {
                // Lengths that could be right, half of the time.
                let length = u32::try_from(bytes.len() - HEADER).unwrap() ^ u32::from(bytes[1] & 1);
                bytes[1..5].copy_from_slice(&length.to_le_bytes());
            }
            let mut decoder = decoder();
            match decoder.push(&bytes) {
                Ok(Some(said)) => {
                    let lossy = matches!(said, WorkerMessage::End { end: GuestEnd::Broken(_), .. });
                    prop_assert!(lossy || encode_message(&said) == bytes);
                }
                Ok(None) => prop_assert!(decoder.buffer.len() == bytes.len()),
                Err(_) => {}
            }
        }
    }

    #[test]
    fn lengths_are_refused_before_their_bodies_arrive() {
        for (kind, length) in [
            (said::NOW, 1),
            (said::SLICE, 1),
            (said::RANDOM, 5),
            (said::LOG, 0),
            (said::LOG, 102),
            (said::CALL, 7),
            (said::CALL, 209),
            (said::END, 32),
            (said::END, 2 << 20),
            (said::END, u32::MAX),
        ] {
            let header = [&[kind][..], &length.to_le_bytes()].concat();
            assert_eq!(decoder().push(&header), Err(MalformedFrame::Length), "{kind} {length}");
        }
        for kind in [0, 7, answer::START, answer::STOP, 255] {
            assert_eq!(decoder().push(&[kind]), Err(MalformedFrame::Kind));
        }
        let random = encode(said::RANDOM, &[&201_u32.to_le_bytes()]);
        assert_eq!(decoder().push(&random), Err(MalformedFrame::Length));
        // Ends of the sandbox, and what the worker answers itself, are not calls.
        for op in [0, op::INVOCATION, op::FUEL, op::NOW, op::RANDOM, op::LOG, op::DONE, op::FAILED, op::THROW] {
            let call = encode(said::CALL, &[&op.to_le_bytes(), &0_u32.to_le_bytes()]);
            assert_eq!(decoder().push(&call), Err(MalformedFrame::Body), "{op}");
        }
        let outside = encode(said::CALL, &[&op::SLEEP.to_le_bytes(), &9_u32.to_le_bytes(), b"12345678"]);
        assert_eq!(decoder().push(&outside), Err(MalformedFrame::Body));
    }
}
