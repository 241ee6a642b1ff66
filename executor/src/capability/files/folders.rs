//! The scratch folders of one executor: which are in use, which wait for their run to come back, and which nobody
//! knows.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cap_std::{ambient_authority, fs::Dir};
use restroy_sdk::ids::{RunId, TeamId};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    scratch::{Scratch, measure},
    shares::ScratchQuota,
};

/// How long a folder waits for its run to come back.
pub(crate) const KEPT: Duration = Duration::from_mins(5);

/// What becomes of a folder when a task ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FolderDisposition {
    /// The run has ended: nobody needs its files.
    Remove,
    /// The run continues, and may come back here.
    Keep,
}

/// The folders below a root that belongs to this executor alone.
#[derive(Debug)]
pub(crate) struct ScratchFolders {
    root: PathBuf,
    /// What one run may have, in bytes.
    limit: u64,
    shares: Arc<ScratchQuota>,
    state: Mutex<FolderState>,
}

#[derive(Debug, Default)]
struct FolderState {
    /// Folders of running tasks, and of how many: a run may come back before its last task here has let go.
    used: HashMap<RunId, (Arc<Scratch>, u32)>,
    /// Folders that wait, and until when.
    waiting: HashMap<RunId, (Arc<Scratch>, Instant)>,
    /// Folders of an executor that was here before: until when, and how much is in them.
    strange: HashMap<RunId, (Instant, u64)>,
}

/// Whose the folders are that nobody knows.
const NOBODY: TeamId = TeamId(Uuid::nil());

impl ScratchFolders {
    /// The folders below `root`, which together hold `total` bytes at most, each at most `limit`.
    pub(crate) fn new(root: &Path, limit: u64, total: u64) -> Self {
        let shares = Arc::new(ScratchQuota::new(total));
        Self { root: root.to_owned(), limit, shares, state: Mutex::default() }
    }

    /// The folder of a run, with what an earlier task of it left here. Not made before it is used.
    pub(crate) fn open(&self, run: RunId, team: TeamId) -> Arc<Scratch> {
        let mut state = self.state();
        if let Some((scratch, users)) = state.used.get_mut(&run) {
            *users += 1;
            return Arc::clone(scratch);
        }
        if let Some((_, bytes)) = state.strange.remove(&run) {
            // Booked anew, for its team, when it is opened.
            self.shares.release(NOBODY, bytes);
        }
        let scratch = match state.waiting.remove(&run) {
            Some((scratch, _)) => scratch,
            None => Arc::new(Scratch::new(&self.root, run, team, self.limit, Arc::clone(&self.shares))),
        };
        state.used.insert(run, (Arc::clone(&scratch), 1));
        scratch
    }

    /// A task is done with its run's folder. Removing blocks.
    pub(crate) fn release(&self, run: RunId, leave: FolderDisposition, now: Instant) {
        let mut state = self.state();
        let Some((scratch, users)) = state.used.get_mut(&run) else { return };
        *users -= 1;
        if *users > 0 {
            return;
        }
        let scratch = Arc::clone(scratch);
        state.used.remove(&run);
        match leave {
            FolderDisposition::Keep => {
                state.waiting.insert(run, (scratch, now + KEPT));
            }
            // Under the lock: nobody opens the folder while it goes.
            FolderDisposition::Remove => scratch.remove_all(),
        }
    }

    /// Removes the folders that nobody came back for. Blocks.
    pub(crate) fn remove_expired(&self, now: Instant) -> io::Result<()> {
        let mut state = self.state();
        state.waiting.retain(|_, (scratch, until)| {
            let waits = now < *until;
            if !waits {
                scratch.remove_all();
            }
            waits
        });
        for entry in std::fs::read_dir(&self.root)? {
            let entry = entry?;
            let Some(run) = entry.file_name().to_str().and_then(|name| name.parse::<RunId>().ok()) else { continue };
            if state.used.contains_key(&run) || state.waiting.contains_key(&run) || !entry.file_type()?.is_dir() {
                continue;
            }
            match state.strange.get(&run) {
                None => {
                    let bytes = measure(&Dir::open_ambient_dir(entry.path(), ambient_authority())?)?.reserved_bytes();
                    self.shares.reserve_existing(NOBODY, bytes);
                    state.strange.insert(run, (now + KEPT, bytes));
                }
                Some((until, _)) if now < *until => {}
                Some((_, bytes)) => {
                    tracing::info!(path = %entry.path().display(), "a scratch folder that nobody uses is removed");
                    std::fs::remove_dir_all(entry.path())?;
                    self.shares.release(NOBODY, *bytes);
                    state.strange.remove(&run);
                }
            }
        }
        Ok(())
    }

    #[cfg(test)]
    /// What all folders take, in bytes.
    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        self.shares.used()
    }

    fn state(&self) -> MutexGuard<'_, FolderState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use lua_wasm_host::WriteAt;

    use super::*;

    const TEAM: TeamId = TeamId(Uuid::from_u128(1));

    fn run(n: u128) -> RunId {
        RunId(Uuid::from_u128(n))
    }

    fn names(root: &Path) -> usize {
        std::fs::read_dir(root).unwrap().count()
    }

    #[test]
    fn a_folder_goes_with_its_run_and_waits_for_one_that_comes_back() {
        let root = tempfile::tempdir().unwrap();
        let (folders, now) = (ScratchFolders::new(root.path(), 1_000_000, 10_000_000), Instant::now());
        let write = |n| {
            let scratch = folders.open(run(n), TEAM);
            scratch.write("a", WriteAt::End, b"hello").unwrap();
            scratch
        };
        let ended = write(1);
        folders.release(run(1), FolderDisposition::Remove, now);
        assert_eq!((names(root.path()), folders.used()), (0, 0));
        assert!(ended.write("a", WriteAt::End, b"late").is_err(), "what was under way makes it no more");
        assert_eq!(names(root.path()), 0);

        write(2);
        folders.release(run(2), FolderDisposition::Keep, now);
        folders.remove_expired(now + KEPT / 2).unwrap();
        let back = folders.open(run(2), TEAM);
        assert_eq!(back.read("a", 0, 10).unwrap(), b"hello");
        folders.remove_expired(now + KEPT * 2).unwrap();
        assert_eq!(names(root.path()), 1, "it is in use");
        // It is claimed again before this task has let go.
        folders.open(run(2), TEAM);
        folders.release(run(2), FolderDisposition::Remove, now);
        assert_eq!(names(root.path()), 1);
        folders.release(run(2), FolderDisposition::Keep, now);
        folders.remove_expired(now + KEPT).unwrap();
        assert_eq!((names(root.path()), folders.used()), (0, 0));
    }

    #[test]
    fn what_an_earlier_executor_left_counts_and_goes_after_minutes() {
        let root = tempfile::tempdir().unwrap();
        for n in [1, 2] {
            let left = root.path().join(run(n).to_string());
            std::fs::create_dir(&left).unwrap();
            std::fs::write(left.join("a"), vec![0; 100_000]).unwrap();
        }
        std::fs::create_dir(root.path().join("not ours")).unwrap();
        let (folders, now) = (ScratchFolders::new(root.path(), 1_000_000, 250_000), Instant::now());
        folders.remove_expired(now).unwrap();
        assert!(folders.used() >= 200_000);
        let scratch = folders.open(run(3), TEAM);
        assert_eq!(scratch.write("a", WriteAt::End, &vec![0; 60_000]).unwrap_err().code, "scratch_limit");
        // One of them comes back.
        assert_eq!(folders.open(run(1), TEAM).size("a").unwrap(), Some(100_000));
        folders.remove_expired(now + KEPT).unwrap();
        assert_eq!(names(root.path()), 3, "the other is gone");
        scratch.write("a", WriteAt::End, &[0; 5_000]).unwrap();
        folders.release(run(1), FolderDisposition::Remove, now);
        scratch.write("a", WriteAt::End, &vec![0; 60_000]).unwrap();
    }
}
