//! How much memory the C library's allocator keeps for itself.

/// The most arenas, each of which keeps what its threads freed. Glibc's default is eight for each processor.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: libc::c_int = 4;

/// From this size on, in bytes, an allocation has pages of its own, which go back to the system when it is freed; and at
/// the end of an arena no more than this stays free. Glibc's default starts here and grows to 32 MiB with what a process
/// frees, so that after a burst of large outputs their memory is kept in pieces.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const OWN_PAGES: libc::c_int = 128 * 1024;

/// Keeps the memory of a long-running process level: call it at the start, before there is a second thread. Elsewhere than
/// with glibc it does nothing.
pub(crate) fn configure() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: sets numbers of the allocator (mallopt(3)); one it does not accept leaves things as they are.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_PAGES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, OWN_PAGES);
    }
}
