//! One sandbox in a worker, seen from the process that started it: feeds it, serves its calls, ends it.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsFd as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::Workers;
use super::frame::{FrameBounds, FrameDecoder, MalformedFrame, WorkerMessage, answer, encode};
use super::pool::Process;
use super::sockets::Spin;
use crate::dispatch::Dispatcher;
use crate::host::{StopError, encode_answer};
use crate::meter::{RunAllowance, StopReason, WallClock, run_metered};
use crate::sandbox::{GuestEnd, SandboxResult, SandboxUsage};
use crate::shares::{Owner, ProcessorShares};
use crate::{Limits, StepError};

/// How often processor time is looked at while a sandbox nears its limit.
const CPU_LOOK: Duration = Duration::from_millis(10);

/// How much of what a worker says is read at once.
const READ: usize = 16 * 1024;

/// Why a worker cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkerLost {
    #[error("it ended, or was ended for what it tried")]
    Ended,
    #[error("it broke the protocol: {0}")]
    Malformed(#[from] MalformedFrame),
    #[error("it cannot be reached: {0}")]
    Io(#[from] io::Error),
}

/// Runs a sandbox in a worker. Gives what it used, and its processor time.
pub(crate) async fn run_in_worker(
    workers: &Workers,
    dispatcher: &mut Dispatcher,
    records: &[u8],
    clock: &WallClock,
    allowed: RunAllowance<'_>,
    cancel: &CancellationToken,
) -> (SandboxResult, SandboxUsage, Duration) {
    loop {
        match attempt(workers, dispatcher, records, clock, allowed, cancel).await {
            AttemptResult::Done(came, spent, cpu) => return (came, spent, cpu),
            // Nothing came of it, and it is nobody's error: it had been kept for more work, and ended meanwhile.
            AttemptResult::NeverBegan => {}
        }
    }
}

/// What an attempt to have a sandbox run came to.
enum AttemptResult {
    Done(SandboxResult, SandboxUsage, Duration),
    /// The worker had served before, and ended before it said anything.
    NeverBegan,
}

async fn attempt(
    workers: &Workers,
    dispatcher: &mut Dispatcher,
    records: &[u8],
    clock: &WallClock,
    allowed: RunAllowance<'_>,
    cancel: &CancellationToken,
) -> AttemptResult {
    let nothing = SandboxUsage::default();
    let limits = dispatcher.limits().clone();
    let (owner, shares) = (allowed.owner, allowed.shares);
    let mut worker = match cancel.run_until_cancelled(workers.get(owner)).await {
        None => return AttemptResult::Done(SandboxResult::Stopped(StopReason::Cancelled), nothing, Duration::ZERO),
        Some(Ok(worker)) => worker,
        Some(Err(error)) => {
            let why = format!("no worker can be started: {error}");
            return AttemptResult::Done(SandboxResult::Lost(why), nothing, Duration::ZERO);
        }
    };
    let Some(channel) = worker.channel.take() else {
        return AttemptResult::Done(
            SandboxResult::Lost("a worker without a channel".to_owned()),
            nothing,
            Duration::ZERO,
        );
    };
    let _watch = workers.watch(&worker, &limits, clock, cancel);
    let process = Arc::clone(worker.process());
    let before = process.cpu();
    let has_served = worker.has_served;
    let mut began = false;
    let run = async {
        let over = wait_for_cpu_limit(&process, before + limits.cpu_time);
        let mut served = pin!(serve(channel, records, dispatcher, &limits, clock, (shares, owner), &mut began));
        tokio::select! {
            served = &mut served => Ok(served),
            () = over => Err(StopReason::CpuTime),
        }
    };
    // Its turn is looked after in `serve`; here, limits are.
    let (driven, own) = run_metered(run, RunAllowance { owner: None, ..allowed }, clock, cancel).await;
    let cpu = process.cpu().saturating_sub(before);
    let estimate = || {
        // What it used is not known from it any more; a unit of fuel is about a nanosecond.
        let fuel = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX).min(limits.fuel);
        SandboxUsage { fuel, ..nothing }
    };
    let (came, spent) = match driven {
        Ok(Ok(Ok(ServedWorker { channel, end, spent, stopped }))) => {
            worker.channel = Some(channel);
            worker.has_served = true;
            workers.put(owner, worker);
            let spent = SandboxUsage {
                fuel: spent.fuel.min(limits.fuel),
                memory_peak: spent.memory_peak.min(limits.memory_bytes),
                ..spent
            };
            (SandboxResult::Ended(end, stopped), spent)
        }
        Ok(Ok(Err(WorkerLost::Ended | WorkerLost::Io(_)))) if has_served && !began => return AttemptResult::NeverBegan,
        Ok(Ok(Err(lost))) => (SandboxResult::Lost(lost.to_string()), estimate()),
        // The worker is dropped, and so killed.
        Ok(Err(stop)) | Err(stop) => (SandboxResult::Stopped(stop), estimate()),
    };
    AttemptResult::Done(came, spent, own + cpu)
}

/// Returns when a process has used more than so much processor time.
async fn wait_for_cpu_limit(process: &Process, until: Duration) {
    loop {
        // It has one thread, so it cannot use time faster than it passes.
        let left = until.saturating_sub(process.cpu());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.max(CPU_LOOK)).await;
    }
}

struct ServedWorker {
    channel: std::os::unix::net::UnixStream,
    end: GuestEnd,
    spent: SandboxUsage,
    stopped: StopError,
}

async fn serve(
    channel: std::os::unix::net::UnixStream,
    records: &[u8],
    dispatcher: &mut Dispatcher,
    limits: &Limits,
    clock: &WallClock,
    (shares, owner): (&ProcessorShares, Option<Owner>),
    began: &mut bool,
) -> Result<ServedWorker, WorkerLost> {
    let mut channel = UnixStream::from_std(channel)?;
    let mut ticket = acquire_share(clock, shares, owner).await;
    let as_json = serde_json::to_vec(limits).map_err(io::Error::other)?;
    let length = u32::try_from(as_json.len()).map_err(io::Error::other)?.to_le_bytes();
    channel.write_all(&encode(answer::START, &[&length, &as_json, records])).await?;
    let mut decoder = FrameDecoder::new(FrameBounds::from_limits(limits));
    let mut buffer = vec![0; READ];
    let mut stopped: Option<Box<StepError>> = None;
    let spin = Spin::default();
    // Whether the next call may come at once: not while the script has only begun, nor after a call that waited.
    let mut soon = false;
    loop {
        let said = loop {
            let arrived = if soon { spin.read(channel.as_fd(), &mut buffer)? } else { None };
            let length = match arrived {
                Some(length) => length,
                None => channel.read(&mut buffer).await?,
            };
            if length == 0 {
                return Err(WorkerLost::Ended);
            }
            *began = true;
            if let Some(said) = decoder.push(&buffer[..length])? {
                break said;
            }
        };
        // Once told to stop there is one thing left to say.
        if stopped.is_some() && !matches!(said, WorkerMessage::End { end: GuestEnd::ByHost, .. }) {
            return Err(MalformedFrame::Unasked.into());
        }
        soon = true;
        let reply = match said {
            WorkerMessage::Now => encode(answer::NUMBER, &[&dispatcher.now().to_le_bytes()]),
            WorkerMessage::Random(length) => {
                let mut bytes = vec![0; length as usize];
                dispatcher.random(&mut bytes);
                encode(answer::BYTES, &[&bytes])
            }
            WorkerMessage::Log { level, text } => match dispatcher.log(level, &text) {
                Ok(()) => encode(answer::GO, &[]),
                Err(error) => {
                    stopped = Some(Box::new(error));
                    encode(answer::STOP, &[])
                }
            },
            WorkerMessage::Call { op, head, body } => {
                let mut call = pin!(dispatcher.call(op, &head, body));
                let at_once = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
                let answered = match at_once {
                    Poll::Ready(answered) => answered,
                    Poll::Pending => {
                        soon = false;
                        drop(ticket.take());
                        let answered = call.await;
                        ticket = acquire_share(clock, shares, owner).await;
                        answered
                    }
                };
                match encode_answer(answered) {
                    Ok(bytes) => encode(answer::BYTES, &[&bytes]),
                    Err(why) => {
                        stopped = why;
                        encode(answer::STOP, &[])
                    }
                }
            }
            WorkerMessage::Slice => {
                soon = false;
                if shares.contended() {
                    drop(ticket.take());
                    ticket = acquire_share(clock, shares, owner).await;
                }
                encode(answer::GO, &[])
            }
            WorkerMessage::End { end, spent } => {
                let too_long = matches!(&end, GuestEnd::Value(json) if json.len() as u64 > limits.output_bytes);
                if too_long || (matches!(end, GuestEnd::ByHost) && stopped.is_none()) {
                    return Err(MalformedFrame::Body.into());
                }
                return Ok(ServedWorker { channel: channel.into_std()?, end, spent, stopped });
            }
        };
        channel.write_all(&reply).await?;
    }
}

/// Waits until it is a sandbox's turn. The time does not count.
async fn acquire_share(
    clock: &WallClock,
    shares: &ProcessorShares,
    owner: Option<Owner>,
) -> Option<crate::shares::ShareTicket> {
    let _stopped = clock.stop();
    shares.ticket(owner).await
}
