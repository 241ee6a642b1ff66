//! The process that workers are forked from, and what a worker does.
//!
//! It has one thread, and nothing in it ever belonged to a tenant: a fork of it is a clean start. It
//! ends when its parent does (its control socket is closed), and its workers end with it.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::{AsFd as _, FromRawFd as _, IntoRawFd as _, OwnedFd};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use wasmtime::{InstancePre, Module, Store};

use super::Report;
use super::channel::{ToParent, exit};
use super::frame::WorkerMessage;
use super::hardening::{self, CHANNEL, SyscallFilter};
use super::sockets::{receive, send};
use crate::dispatch::Dispatcher;
use crate::engine::{call_guest, link, new_store};
use crate::host::Host;
use crate::invocation::GuestRecords;
use crate::meter::WallClock;
use crate::sandbox::{self, GuestEnd, SandboxState, SandboxUsage};
use crate::shares::SLICE;
use crate::{Invocation, Limits, Source, compile};

/// Bytes at the start of a memory that are overwritten between two sandboxes of a worker instead of being
/// given back. Less than on threads, because in a process that was just forked each of those pages has to be
/// copied first: 384 KiB make a change of owner a quarter cheaper, and the next sandbox of the same owner twice as dear.
const MEMORY_KEPT: usize = 1024 * 1024;

/// The most memory that a sandbox may have had to be taken down only when the next one begins, bytes.
const MEMORY_DEFERRED: u64 = 4 * 1024 * 1024;

/// What the parent sends on the control socket, each with a descriptor but the last.
pub(super) mod order {
    /// The machine code, in a sealed file in memory. Answered with a [`Report`](super::Report).
    pub(in crate::process) const CODE: u8 = b'c';
    /// A worker's end of its channel. Answered with its process id, and a descriptor of the process.
    pub(in crate::process) const FORK: u8 = b'f';
    /// Workers have ended.
    pub(in crate::process) const REAP: u8 = b'r';
}

/// The longest message on the control socket.
pub(super) const MAX_MESSAGE: usize = 4_096;

/// The whole life of a worker process, from `main` on: call it before anything else, with no second
/// thread started, when the program was started with the arguments of
/// [`ProcessConfig`](super::ProcessConfig). Never returns.
pub fn sandbox_worker() -> ! {
    zygote(None)
}

/// The same, except that workers run `work` on their channel instead of serving: for tests, which play
/// a guest that has broken out and can execute what it wants.
#[doc(hidden)]
pub fn sandbox_worker_with(work: fn(File)) -> ! {
    zygote(Some(work))
}

fn zygote(work: Option<fn(File)>) -> ! {
    // Whatever else the parent left open is not ours.
    // SAFETY: this process has just started, and uses no other descriptor yet.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
    // SAFETY: descriptor 0 is open in every process that was started in good order, nobody else in this
    // one has it, and where it is not the control socket the first message fails.
    let control = unsafe { OwnedFd::from_raw_fd(0) };
    if let Err(error) = serve_parent(&control, work) {
        eprintln!(
            "restroy sandbox-worker is started by the executor itself, with a socket as its standard input: {error}"
        );
        std::process::exit(2);
    }
    std::process::exit(0)
}

fn serve_parent(control: &OwnedFd, work: Option<fn(File)>) -> std::io::Result<()> {
    let Some((order::CODE, Some(code))) = receive_order(control)? else {
        return Err(std::io::Error::other("no code came"));
    };
    let engine = compile::engine(1, MEMORY_KEPT).map_err(std::io::Error::other)?;
    let guest = load(&engine, File::from(code))?;
    warm_up(&engine, &guest)?;
    let mut report = Report::default();
    let memory = hardening::MemoryBaseline::now();
    hardening::zygote(&mut report);
    let filter = SyscallFilter::new();
    report.seccomp = filter.is_some();
    if !report.seccomp {
        report.notes.push("the kernel has no seccomp filters".to_owned());
    }
    send(control.as_fd(), &serde_json::to_vec(&report)?, None)?;
    // SAFETY: asks for a number.
    let own_id = unsafe { libc::getpid() };
    while let Some((order, descriptor)) = receive_order(control)? {
        reap();
        let (order::FORK, Some(channel)) = (order, descriptor) else { continue };
        // SAFETY: this process has one thread, so the child finds no lock held.
        let forked = unsafe { libc::fork() };
        if forked == 0 {
            let channel = channel.into_raw_fd();
            if hardening::worker(channel, own_id, memory, filter.as_ref()).is_err() {
                exit();
            }
            // SAFETY: the descriptor was put there a moment ago, and is this worker's only one.
            let channel = unsafe { File::from_raw_fd(CHANNEL) };
            match work {
                None => serve(channel, &engine, &guest),
                Some(work) => {
                    work(channel);
                    exit();
                }
            }
        }
        let answered = if forked > 0 {
            // It was not waited for, so the number is still its own.
            let process = rustix::process::Pid::from_raw(forked)
                .ok_or_else(|| std::io::Error::other("no process"))
                .and_then(|pid| Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?))?;
            send(control.as_fd(), &forked.to_le_bytes(), Some(process.as_fd()))
        } else {
            send(control.as_fd(), &[], None)
        };
        answered?;
    }
    Ok(())
}

/// Takes note of workers that ended, so that their numbers are free again.
fn reap() {
    // SAFETY: waits for children of this process only, and does not block.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
}

fn load(engine: &wasmtime::Engine, mut code: File) -> std::io::Result<InstancePre<SandboxState>> {
    let mut bytes = Vec::new();
    code.rewind()?;
    code.read_to_end(&mut bytes)?;
    // SAFETY: the code comes from the process that started this one, over a socket that only it has; it
    // compiled it, or has it from a place that only it writes to, and sealed it.
    let module = unsafe { Module::deserialize(engine, &bytes) }.map_err(std::io::Error::other)?;
    link(engine, &module).map_err(std::io::Error::other)
}

/// Runs a sandbox, so that workers find made what is made on first use.
fn warm_up(engine: &wasmtime::Engine, guest: &InstancePre<SandboxState>) -> std::io::Result<()> {
    let limits = Limits::default();
    let invocation = Invocation::script(Source::new("warm-up", "return 1"));
    let records = GuestRecords::for_run(&invocation, &limits).into_parts().0;
    let dispatcher = Dispatcher::new(compile::compile_only_context(), limits.clone(), WallClock::default());
    let mut ended = GuestEnd::ByHost;
    drop(run(engine, guest, Host::Here(Box::new(dispatcher)), &limits, records, || true, |end, _| ended = end));
    match ended {
        GuestEnd::Value(_) => Ok(()),
        end => Err(std::io::Error::other(format!("the first sandbox failed: {end:?}"))),
    }
}

/// A worker: one sandbox after the other, until the parent has no more.
fn serve(channel: File, engine: &wasmtime::Engine, guest: &InstancePre<SandboxState>) -> ! {
    let parent = Arc::new(ToParent::new(channel));
    // The first sandbox is taken down when the second begins: cleaning up writes to every page that is kept for
    // the next, each of which has to be copied first, and many a worker never has a second.
    let mut first = None;
    let mut is_first = true;
    loop {
        let (limits, records) = parent.start();
        drop(first.take());
        let Ok(limits) = serde_json::from_slice::<Limits>(&limits) else { exit() };
        let host = Host::Parent(Arc::clone(&parent));
        let may_continue = || parent.request_slice().is_ok();
        let mut peak = 0;
        let store = run(engine, guest, host, &limits, records, may_continue, |end, usage| {
            peak = usage.memory_peak;
            parent.send(&WorkerMessage::End { end, spent: usage });
        });
        if is_first && peak <= MEMORY_DEFERRED {
            first = store;
        }
        is_first = false;
    }
}

/// Runs a sandbox on this thread. `go_on` is asked after each slice of time; `ended` is told the end, before
/// the sandbox is taken down, so that nobody waits for that: it is taken down when what is returned is dropped.
fn run(
    engine: &wasmtime::Engine,
    guest: &InstancePre<SandboxState>,
    host: Host,
    limits: &Limits,
    records: Vec<u8>,
    go_on: impl Fn() -> bool,
    ended: impl FnOnce(GuestEnd, SandboxUsage),
) -> Option<Store<SandboxState>> {
    let mut store = match new_store(engine, SandboxState::new(host, limits.clone(), records)) {
        Ok(store) => store,
        Err(error) => {
            ended(GuestEnd::Broken(error.to_string()), SandboxUsage::default());
            return None;
        }
    };
    let called = {
        let mut call = pin!(call_guest(guest, &mut store));
        let mut context = Context::from_waker(Waker::noop());
        let mut since = Instant::now();
        loop {
            match call.as_mut().poll(&mut context) {
                Poll::Ready(called) => break Some(called),
                // Calls do not wait here, so it can continue at once.
                Poll::Pending if since.elapsed() >= SLICE => {
                    if !go_on() {
                        break None;
                    }
                    since = Instant::now();
                }
                Poll::Pending => {}
            }
        }
    };
    let end = called.map_or(GuestEnd::ByHost, |called| sandbox::guest_end(&mut store, called));
    let spent = sandbox::usage(&store);
    ended(end, spent);
    Some(store)
}

/// Receives an order; nothing at the end.
fn receive_order(control: &OwnedFd) -> std::io::Result<Option<(u8, Option<OwnedFd>)>> {
    let mut message = [0; MAX_MESSAGE];
    let (length, descriptor) = receive(control.as_fd(), &mut message)?;
    Ok((length > 0).then_some((message[0], descriptor)))
}
