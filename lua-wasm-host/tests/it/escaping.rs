//! A guest that has broken out of WebAssembly: native code in a worker process. It can use the channel,
//! and nothing else.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use lua_wasm_host::escape::EscapedWorkers;

use crate::support::worker_config;

/// Only the names are of interest here; the worker has the same list with its deeds.
type Attack = (&'static str, unsafe fn() -> bool);

include!("../escape/list.rs");

/// What came of an attack.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Success,
    Refused,
    Killed,
}

fn attack(channel: &mut UnixStream, number: usize) -> Came {
    channel.write_all(&[u8::try_from(number).unwrap()]).unwrap();
    let mut answer = Vec::new();
    // A worker that was killed leaves an end, or a broken connection.
    let _ = channel.read_to_end(&mut answer);
    match answer.as_slice() {
        [1] => Came::Success,
        [0] => Came::Refused,
        [] => Came::Killed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn native_code_in_a_worker_can_do_nothing() {
    let workers = EscapedWorkers::start(&worker_config(&["escaped"])).unwrap();
    assert!(workers.report().seccomp, "{:?}", workers.report());
    let mut successes = Vec::new();
    for (number, (name, _)) in ATTACKS.iter().enumerate() {
        let mut worker = workers.worker().unwrap();
        let came = attack(&mut worker.channel, number);
        match number {
            0 => assert_eq!(came, Came::Success, "the workers of this test do what they are told"),
            _ if came == Came::Success => successes.push(*name),
            _ => {}
        }
    }
    assert_eq!(successes, Vec::<&str>::new());
}

/// The filter ends the process: nobody in it can try one call after the other until one works.
#[test]
fn what_is_not_allowed_ends_the_worker() {
    let workers = EscapedWorkers::start(&worker_config(&["escaped"])).unwrap();
    for name in ["open", "socket", "execve", "fork", "ptrace", "process_vm_readv", "signal to the parent", "io_uring"] {
        let number = ATTACKS.iter().position(|(attack, _)| *attack == name).unwrap();
        assert_eq!(attack(&mut workers.worker().unwrap().channel, number), Came::Killed, "{name}");
    }
}
