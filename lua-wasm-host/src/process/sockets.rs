//! Messages with a descriptor, over the zygote's control socket; reads that spin before they block; and files in
//! memory.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Room for the control data of one descriptor, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// A pair of connected sockets that keep messages apart.
pub(super) fn message_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut pair = [0; 2];
    // SAFETY: writes two descriptors, which nobody else has.
    unsafe {
        checked(libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, pair.as_mut_ptr()))?;
        Ok((OwnedFd::from_raw_fd(pair[0]), OwnedFd::from_raw_fd(pair[1])))
    }
}

/// Bounds how long a receive may take.
pub(super) fn set_receive_timeout(socket: BorrowedFd<'_>, most: Duration) -> io::Result<()> {
    let time = libc::timeval { tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX), tv_usec: 0 };
    let size = libc::socklen_t::try_from(size_of_val(&time)).map_err(io::Error::other)?;
    // SAFETY: reads the structure, which outlives the call.
    let set = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVTIMEO, (&raw const time).cast(), size)
    };
    checked(set).map(|_| ())
}

/// Sends a message, with a descriptor if there is one.
pub(super) fn send(socket: BorrowedFd<'_>, message: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut control = Control([0; 64]);
    let mut part = libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
    // SAFETY: all-zero is a valid header: no name, no parts, no control data.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    if let Some(descriptor) = descriptor {
        let size = u32::try_from(size_of::<i32>()).unwrap_or(4);
        // SAFETY: `control` is large enough for a header and one descriptor, and aligned for it.
        unsafe {
            header.msg_control = (&raw mut control.0).cast();
            header.msg_controllen = libc::CMSG_SPACE(size) as _;
            let first = libc::CMSG_FIRSTHDR(&raw const header);
            (*first).cmsg_level = libc::SOL_SOCKET;
            (*first).cmsg_type = libc::SCM_RIGHTS;
            (*first).cmsg_len = libc::CMSG_LEN(size) as _;
            libc::CMSG_DATA(first).cast::<i32>().write_unaligned(descriptor.as_raw_fd());
        }
    }
    // SAFETY: the header points to what outlives the call; nothing of it is written.
    retry_interrupted(|| unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) })
        .map(|_| ())
}

/// Receives a message with at most one descriptor. A length of 0 is the end.
pub(super) fn receive(socket: BorrowedFd<'_>, message: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut control = Control([0; 64]);
    let mut part = libc::iovec { iov_base: message.as_mut_ptr().cast(), iov_len: message.len() };
    // SAFETY: all-zero is a valid header.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control.0).cast();
    // Room for one descriptor, so that no second one can come.
    // SAFETY: computes a number.
    header.msg_controllen = unsafe { libc::CMSG_SPACE(4) } as _;
    // SAFETY: the header points to buffers of the lengths that it says, which outlive the call.
    let length =
        retry_interrupted(|| unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) })?;
    // SAFETY: the kernel filled in the header and the control data; what it says is a descriptor is one,
    // and nobody else has it.
    let descriptor = unsafe {
        let first = libc::CMSG_FIRSTHDR(&raw const header);
        let is_descriptor = !first.is_null()
            && (*first).cmsg_level == libc::SOL_SOCKET
            && (*first).cmsg_type == libc::SCM_RIGHTS
            && (*first).cmsg_len >= libc::CMSG_LEN(4) as _;
        is_descriptor.then(|| OwnedFd::from_raw_fd(libc::CMSG_DATA(first).cast::<i32>().read_unaligned()))
    };
    Ok((length, descriptor))
}

/// How long a reader looks for what is about to arrive before it blocks. To wake a thread on an idle processor costs
/// several times as much, on virtual machines above all.
const SPIN: Duration = Duration::from_micros(25);
/// How many reads block at once after one that looked in vain.
const SPARED: u32 = 16;

/// Decides when a reader spins: as long as it pays. For one reader at a time.
#[derive(Debug, Default)]
pub(super) struct Spin {
    spared: AtomicU32,
}

impl Spin {
    /// Reads what arrives at once or within [`SPIN`]; nothing when it takes longer, or did a moment ago. In
    /// between other threads of this processor run. A length of 0 is the end.
    pub(super) fn read(&self, socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let spared = self.spared.load(Ordering::Relaxed);
        if spared > 0 {
            self.spared.store(spared - 1, Ordering::Relaxed);
            return Ok(None);
        }
        let start = Instant::now();
        loop {
            if let Some(length) = receive_now(socket, buffer)? {
                return Ok(Some(length));
            }
            if start.elapsed() >= SPIN {
                self.spared.store(SPARED, Ordering::Relaxed);
                return Ok(None);
            }
            std::thread::yield_now();
        }
    }
}

/// Receives what is there; nothing when nothing is.
fn receive_now(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    let (start, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: writes at most `length` bytes to the buffer, which outlives the call.
    let received = retry_interrupted(|| unsafe { libc::recv(socket.as_raw_fd(), start, length, libc::MSG_DONTWAIT) });
    match received {
        Ok(length) => Ok(Some(length)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// A file in memory that nobody can change any more.
pub(super) fn sealed_file(content: &[u8]) -> io::Result<OwnedFd> {
    use std::io::Write as _;

    // SAFETY: the name is a string; the descriptor is new, and nobody else has it.
    let mut file = unsafe {
        let file = libc::memfd_create(c"sandbox-code".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING);
        std::fs::File::from_raw_fd(checked(file)?)
    };
    file.write_all(content)?;
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
    // SAFETY: a plain system call on a descriptor that is open.
    checked(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
    Ok(file.into())
}

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn retry_interrupted(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        if let Ok(length) = usize::try_from(call()) {
            return Ok(length);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_reader_spins_only_while_it_pays() {
        let (one, other) = message_pair().unwrap();
        let (spin, mut buffer) = (Spin::default(), [0; 8]);
        send(one.as_fd(), b"a", None).unwrap();
        assert_eq!(spin.read(other.as_fd(), &mut buffer).unwrap(), Some(1));
        assert_eq!(spin.read(other.as_fd(), &mut buffer).unwrap(), None, "nothing came in time");
        send(one.as_fd(), b"bc", None).unwrap();
        for _ in 0..SPARED {
            assert_eq!(spin.read(other.as_fd(), &mut buffer).unwrap(), None, "it is left to a read that blocks");
        }
        assert_eq!(spin.read(other.as_fd(), &mut buffer).unwrap(), Some(2));
        drop(one);
        assert_eq!(spin.read(other.as_fd(), &mut buffer).unwrap(), Some(0), "the end");
    }

    #[test]
    fn messages_carry_descriptors() {
        let (one, other) = message_pair().unwrap();
        let file = sealed_file(b"content").unwrap();
        send(one.as_fd(), b"a", Some(file.as_fd())).unwrap();
        send(one.as_fd(), b"bc", None).unwrap();
        let mut message = [0; 16];
        let (length, descriptor) = receive(other.as_fd(), &mut message).unwrap();
        assert_eq!(&message[..length], b"a");
        let mut text = String::new();
        let mut received = std::fs::File::from(descriptor.unwrap());
        std::io::Seek::rewind(&mut received).unwrap();
        std::io::Read::read_to_string(&mut received, &mut text).unwrap();
        assert_eq!(text, "content");
        assert!(std::io::Write::write(&mut received, b"x").is_err(), "it is sealed");
        let (length, descriptor) = receive(other.as_fd(), &mut message).unwrap();
        assert_eq!(&message[..length], b"bc");
        assert!(descriptor.is_none());
        drop(one);
        assert_eq!(receive(other.as_fd(), &mut message).unwrap().0, 0);
    }
}
