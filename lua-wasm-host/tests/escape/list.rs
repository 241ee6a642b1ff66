// Included by the worker that attacks, and by the test, which needs the names and no more.

fn path(text: &'static [u8]) -> *const libc::c_char {
    text.as_ptr().cast()
}

/// Every attack with its name. The first is none: it shows that a worker obeys.
#[allow(clippy::undocumented_unsafe_blocks, reason = "the process is there to be harmed")]
pub(crate) const ATTACKS: &[Attack] = &[
    ("nothing", || true),
    // Files.
    ("open", || unsafe { libc::open(path(b"/etc/passwd\0"), libc::O_RDONLY) >= 0 }),
    ("openat to write", || unsafe { libc::openat(libc::AT_FDCWD, path(b"/tmp/x\0"), libc::O_CREAT | libc::O_RDWR, 0o600) >= 0 }),
    ("openat2", || unsafe { let how = [0_u64; 3]; libc::syscall(libc::SYS_openat2, libc::AT_FDCWD, path(b"/\0"), how.as_ptr(), 24) >= 0 }),
    ("stat", || unsafe { let mut stat = std::mem::zeroed(); libc::stat(path(b"/\0"), &raw mut stat) == 0 }),
    ("unlink", || unsafe { libc::unlink(path(b"/tmp/x\0")) == 0 }),
    ("mkdir", || unsafe { libc::mkdir(path(b"/tmp/y\0"), 0o700) == 0 }),
    ("chroot", || unsafe { libc::chroot(path(b"/\0")) == 0 }),
    ("mount", || unsafe { libc::mount(path(b"none\0"), path(b"/tmp\0"), path(b"tmpfs\0"), 0, std::ptr::null()) == 0 }),
    ("own memory through /proc", || unsafe { libc::open(path(b"/proc/self/mem\0"), libc::O_RDWR) >= 0 }),
    ("the parent's memory through /proc", || unsafe { libc::open(path(b"/proc/1/mem\0"), libc::O_RDONLY) >= 0 }),
    ("the environment of others", || unsafe { libc::open(path(b"/proc/1/environ\0"), libc::O_RDONLY) >= 0 }),
    ("open_by_handle_at", || unsafe { libc::syscall(libc::SYS_open_by_handle_at, 3, 0, 0) >= 0 }),
    // Network.
    ("socket", || unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) >= 0 }),
    ("socket to the kernel", || unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, 0) >= 0 }),
    ("a pair of sockets", || unsafe { let mut pair = [0; 2]; libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()) == 0 }),
    ("connect on the channel", || unsafe { let address: libc::sockaddr = std::mem::zeroed(); libc::connect(3, &raw const address, 16) == 0 }),
    ("a descriptor over the channel", || unsafe { let header: libc::msghdr = std::mem::zeroed(); libc::sendmsg(3, &raw const header, 0) >= 0 }),
    ("a descriptor from the channel", || unsafe { let mut header: libc::msghdr = std::mem::zeroed(); libc::recvmsg(3, &raw mut header, libc::MSG_DONTWAIT) >= 0 }),
    // Programs and processes.
    ("execve", || unsafe { let none = [std::ptr::null()]; libc::execve(path(b"/bin/true\0"), none.as_ptr(), none.as_ptr()) == 0 }),
    ("execveat", || unsafe { libc::syscall(libc::SYS_execveat, 3, path(b"\0"), 0, 0, libc::AT_EMPTY_PATH) == 0 }),
    ("fork", || unsafe { libc::fork() >= 0 }),
    ("clone", || unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) >= 0 }),
    ("clone3", || unsafe { let arguments = [0_u64; 11]; libc::syscall(libc::SYS_clone3, arguments.as_ptr(), 88) >= 0 }),
    ("a thread", || std::thread::Builder::new().spawn(|| ()).is_ok()),
    ("unshare", || unsafe { libc::unshare(libc::CLONE_NEWUSER) == 0 }),
    ("setns", || unsafe { libc::setns(3, 0) == 0 }),
    // Other processes.
    ("signal to the parent", || unsafe { libc::kill(libc::getppid(), libc::SIGTERM) == 0 }),
    ("signal to all", || unsafe { libc::kill(-1, 0) == 0 }),
    ("signal to the group", || unsafe { libc::kill(0, 0) == 0 }),
    ("signal by thread", || unsafe { libc::syscall(libc::SYS_tgkill, 1, 1, 0) == 0 }),
    ("pidfd_open", || unsafe { libc::syscall(libc::SYS_pidfd_open, 1, 0) >= 0 }),
    ("pidfd_getfd", || unsafe { libc::syscall(libc::SYS_pidfd_getfd, 3, 0, 0) >= 0 }),
    ("ptrace", || unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) == 0 }),
    ("ptrace of another", || unsafe { libc::ptrace(libc::PTRACE_ATTACH, 1, 0, 0) == 0 }),
    ("process_vm_readv", || unsafe { libc::process_vm_readv(1, std::ptr::null(), 0, std::ptr::null(), 0, 0) >= 0 }),
    ("process_vm_writev", || unsafe { libc::process_vm_writev(1, std::ptr::null(), 0, std::ptr::null(), 0, 0) >= 0 }),
    ("prlimit of itself", || unsafe { let mut limit: libc::rlimit = std::mem::zeroed(); libc::prlimit(0, libc::RLIMIT_AS, std::ptr::null(), &raw mut limit) == 0 }),
    ("prctl", || unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) == 0 }),
    ("setuid", || unsafe { libc::setuid(0) == 0 }),
    // Memory that can be executed.
    ("mmap to execute", || unsafe { libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) != libc::MAP_FAILED }),
    ("mprotect to execute", || unsafe {
        let page = libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_EXEC) == 0
    }),
    ("pkey_mprotect to execute", || unsafe { libc::syscall(libc::SYS_pkey_mprotect, 0, 4096, libc::PROT_EXEC, -1) == 0 }),
    ("a file in memory", || unsafe { libc::memfd_create(path(b"x\0"), 0) >= 0 }),
    ("shared memory", || unsafe { libc::syscall(libc::SYS_shmget, 0, 4096, 0o600) >= 0 }),
    ("so much memory", || unsafe { libc::mmap(std::ptr::null_mut(), 1 << 30, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) != libc::MAP_FAILED }),
    // Other ways in.
    ("io_uring", || unsafe { let mut parameters = [0_u8; 256]; libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) >= 0 }),
    ("bpf", || unsafe { libc::syscall(libc::SYS_bpf, 0, 0, 0) >= 0 }),
    ("userfaultfd", || unsafe { libc::syscall(libc::SYS_userfaultfd, 0) >= 0 }),
    ("perf_event_open", || unsafe { libc::syscall(libc::SYS_perf_event_open, 0, 0, -1, -1, 0) >= 0 }),
    ("keyctl", || unsafe { libc::syscall(libc::SYS_keyctl, 0, -1, 0) >= 0 }),
    ("another filter", || unsafe { libc::syscall(libc::SYS_seccomp, 0, 0, 0) == 0 }),
    ("ioctl on the channel", || unsafe { let mut count = 0; libc::ioctl(3, libc::FIONREAD, &raw mut count) == 0 }),
    ("fcntl on the channel", || unsafe { libc::fcntl(3, libc::F_GETFL) >= 0 }),
    ("a copy of the channel", || unsafe { libc::dup(3) >= 0 }),
    // Descriptors that the zygote, its parent or a worker before it had.
    ("inherited descriptors, to read", || unsafe {
        (0..1_024).filter(|number| *number != 3).any(|number| { let mut byte = 0_u8; libc::read(number, (&raw mut byte).cast(), 1) >= 0 })
    }),
    ("inherited descriptors, to write", || unsafe {
        (0..1_024).filter(|number| *number != 3).any(|number| libc::write(number, b"x".as_ptr().cast(), 1) >= 0)
    }),
    ("standard error", || unsafe { libc::write(2, b"x".as_ptr().cast(), 1) >= 0 }),
    ("another call on the 32-bit side", || unsafe { libc::syscall(0x4000_0000 | libc::SYS_getpid) >= 0 }),
];
