//! What a worker process may not do, taken from it before it meets a script.
//!
//! [`zygote`] is for the process that workers are forked from: what it gives up, they never have.
//! [`worker`] is for the worker itself, right after it was forked; its last act is the system-call
//! filter ([`SyscallFilter`]). What the kernel does not offer is reported, and is for the embedder to judge.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use super::Report;

/// The channel's descriptor in a worker, its only one.
pub(super) const CHANNEL: i32 = 3;

/// How much a worker yields to other processes when processors are scarce.
const NICE: i32 = 10;

/// Address space that a worker may add to what it was forked with, bytes: for requests and answers that
/// pass through it. The guests' memories are reserved beforehand and do not count.
const ADDRESS_SPACE: u64 = 256 * 1024 * 1024;

/// Memory that a worker may make writable beside that, bytes: the two memories of a sandbox. They lie in
/// address space that was reserved beforehand, of which a guest that broke out could else use all.
const SANDBOX_MEMORY: u64 = 2 * crate::Limits::HARD_MAX.memory_bytes;

/// Processor time of a worker, seconds, after which the kernel ends it. The parent ends it long before:
/// this is for the case that it cannot.
const CPU_SECONDS: u64 = 300;

/// Descriptors that the zygote needs at once: the control socket, what it is sent, and some spare.
const ZYGOTE_FILES: u64 = 32;

/// Takes from the zygote what neither it nor a worker needs.
pub(super) fn zygote(report: &mut Report) {
    // SAFETY: plain system calls on this process; the process has one thread.
    unsafe {
        libc::umask(0o777);
        // Nobody of the same user may look into it or its workers, by ptrace or through /proc.
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
    // Workers are the first to go where memory is short, not the process that holds the leases.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    for (resource, limit) in [
        (libc::RLIMIT_CORE, 0),
        (libc::RLIMIT_FSIZE, 0),
        (libc::RLIMIT_NOFILE, ZYGOTE_FILES),
        (libc::RLIMIT_MEMLOCK, 0),
    ] {
        if let Err(error) = limit_to(resource, limit) {
            report.notes.push(format!("a resource limit ({resource}) cannot be set: {error}"));
        }
    }
    drop_capabilities();
    // SAFETY: a plain system call.
    report.no_new_privs = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } == 0;
    if !report.no_new_privs {
        report.notes.push("the kernel has no `no_new_privs`".to_owned());
    }
    report.landlock = landlock();
    if !report.landlock {
        report
            .notes
            .push("the kernel has no Landlock, or only a part of it: files are kept away by seccomp alone".to_owned());
    }
}

/// Makes the process that was just forked a worker: it keeps `channel` and nothing else.
pub(super) fn worker(
    channel: i32,
    parent: i32,
    zygote: MemoryBaseline,
    filter: Option<&SyscallFilter>,
) -> io::Result<()> {
    // SAFETY: plain system calls on this process, which has one thread. The descriptors that are closed
    // are those of values that are never used again: a worker never returns from here into the zygote.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() != parent {
            return Err(io::Error::other("the zygote is gone"));
        }
        if channel != CHANNEL && libc::dup2(channel, CHANNEL) < 0 {
            return Err(io::Error::last_os_error());
        }
        let (last, first) = (CHANNEL.unsigned_abs() - 1, CHANNEL.unsigned_abs() + 1);
        if libc::syscall(libc::SYS_close_range, 0_u32, last, 0_u32) != 0
            || libc::syscall(libc::SYS_close_range, first, u32::MAX, 0_u32) != 0
        {
            return Err(io::Error::last_os_error());
        }
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
    limit_to(libc::RLIMIT_NOFILE, u64::from(CHANNEL.unsigned_abs()) + 1)?;
    limit_to(libc::RLIMIT_NPROC, 0)?;
    limit_to(libc::RLIMIT_CPU, CPU_SECONDS)?;
    limit_to(libc::RLIMIT_AS, zygote.reserved.saturating_add(ADDRESS_SPACE))?;
    limit_to(libc::RLIMIT_DATA, zygote.writable.saturating_add(ADDRESS_SPACE + SANDBOX_MEMORY))?;
    match filter {
        Some(SyscallFilter(program)) => seccompiler::apply_filter(program).map_err(io::Error::other),
        None => Ok(()),
    }
}

/// The system calls of a worker, compiled: whatever is not on the list ends the process.
pub(super) struct SyscallFilter(BpfProgram);

impl SyscallFilter {
    /// None where this processor or kernel is not known to have it.
    pub(super) fn new() -> Option<Self> {
        let arch = TargetArch::try_from(std::env::consts::ARCH).ok()?;
        let rules = rules().ok()?;
        let filter = SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch).ok()?;
        let program = BpfProgram::try_from(filter).ok()?;
        is_offered().then_some(Self(program))
    }
}

/// Whether the kernel takes filters that end the process.
fn is_offered() -> bool {
    const SECCOMP_GET_ACTION_AVAIL: libc::c_uint = 2;
    let action: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    // SAFETY: reads four bytes at `action`, which outlives the call.
    unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) == 0 }
}

fn rules() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let always = Vec::new;
    // The channel alone can be read and written.
    let on_channel = |call: i64| {
        let is =
            SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, u64::from(CHANNEL.unsigned_abs()))?;
        Ok::<_, seccompiler::BackendError>((call, vec![SeccompRule::new(vec![is])?]))
    };
    // Memory never becomes executable. (The protection is the third argument.)
    let not_executable = |call: i64| {
        let bit = libc::PROT_EXEC.unsigned_abs().into();
        let is = SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bit), 0)?;
        Ok::<_, seccompiler::BackendError>((call, vec![SeccompRule::new(vec![is])?]))
    };
    Ok([
        on_channel(libc::SYS_read)?,
        on_channel(libc::SYS_write)?,
        on_channel(libc::SYS_recvfrom)?,
        not_executable(libc::SYS_mmap)?,
        not_executable(libc::SYS_mprotect)?,
        (libc::SYS_munmap, always()),
        (libc::SYS_mremap, always()),
        (libc::SYS_madvise, always()),
        (libc::SYS_brk, always()),
        (libc::SYS_futex, always()),
        (libc::SYS_sched_yield, always()),
        (libc::SYS_clock_gettime, always()),
        (libc::SYS_getrandom, always()),
        // Traps of the guest: its memory and its stack end in guard pages.
        (libc::SYS_rt_sigreturn, always()),
        (libc::SYS_rt_sigprocmask, always()),
        (libc::SYS_sigaltstack, always()),
        (libc::SYS_exit, always()),
        (libc::SYS_exit_group, always()),
    ]
    .into_iter()
    .collect())
}

/// No file, no network, no signal to others, as far as this kernel's Landlock goes. Whether all that
/// concerns files is in force.
fn landlock() -> bool {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope,
    };
    let restricted = (|| {
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(ABI::V5))?
            .handle_access(AccessNet::from_all(ABI::V5))?
            .scope(Scope::AbstractUnixSocket | Scope::Signal)?
            .create()?
            .restrict_self()
    })();
    restricted.is_ok_and(|status| status.ruleset != RulesetStatus::NotEnforced)
}

/// Root in a container is still root: it gives up what that means.
fn drop_capabilities() {
    #[repr(C)]
    struct CapabilityHeader {
        version: u32,
        pid: i32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let header = CapabilityHeader { version: VERSION_3, pid: 0 };
    let none = [0_u32; 6];
    // SAFETY: version 3 reads two structures of three words each at `none`, and the header; both outlive
    // the call. Where it fails there was nothing to give up, or no_new_privs and seccomp stand anyway.
    unsafe {
        for capability in 0..=63 {
            libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
        }
        libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr());
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the type of a resource differs between C libraries")]
fn limit_to(resource: libc::__rlimit_resource_t, limit: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
    // SAFETY: reads the structure, which outlives the call.
    if unsafe { libc::setrlimit(resource, &raw const limit) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What memory the zygote has, bytes: its workers start with as much.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemoryBaseline {
    /// Address space.
    reserved: u64,
    /// What of it is private and writable.
    writable: u64,
}

impl MemoryBaseline {
    /// Of this process.
    pub(super) fn now() -> Self {
        // SAFETY: asks for a constant.
        let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4_096);
        let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        // Where it cannot be known, no limit is set.
        let field = |at: usize| {
            let pages = text.split_whitespace().nth(at).and_then(|pages| pages.parse::<u64>().ok());
            pages.map_or(u64::MAX / 2, |pages| pages.saturating_mul(page))
        };
        Self { reserved: field(0), writable: field(5) }
    }
}
