//! What native code in a worker tries. Each attack is one number on the channel; the worker answers with
//! one byte, if it lives: whether the attack had success.

use std::fs::File;
use std::io::{Read as _, Write as _};

/// An attack, by its place in this list. Gives whether it had success; not to return is one way to fail.
type Attack = (&'static str, unsafe fn() -> bool);

/// The number of the attacks, for the other side.
pub(crate) fn obey(mut channel: File) {
    let mut number = [0];
    if channel.read_exact(&mut number).is_err() {
        return;
    }
    let success = match ATTACKS.get(usize::from(number[0])) {
        // SAFETY: the process is there to be harmed.
        Some((_, attack)) => unsafe { attack() },
        None => return,
    };
    let _ = channel.write_all(&[u8::from(success)]);
}

include!("list.rs");
