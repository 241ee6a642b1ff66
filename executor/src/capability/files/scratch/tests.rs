//! What it does, case by case.

use uuid::Uuid;

use super::*;

fn in_folder(root: &Path, limit: u64) -> Scratch {
    let (run, team) = (RunId(Uuid::nil()), TeamId(Uuid::nil()));
    Scratch::new(root, run, team, limit, Arc::new(ScratchQuota::new(1 << 30)))
}

fn scratch(limit: u64) -> (tempfile::TempDir, Scratch) {
    let root = tempfile::tempdir().unwrap();
    let scratch = in_folder(root.path(), limit);
    (root, scratch)
}

fn code<T: std::fmt::Debug>(result: Result<T, CallError>) -> String {
    result.unwrap_err().code.into_owned()
}

#[test]
fn files_are_written_read_listed_and_removed() {
    let (root, scratch) = scratch(1000);
    assert_eq!(scratch.size("a/b.txt").unwrap(), None);
    assert_eq!(scratch.write("a/b.txt", WriteAt::End, b"hello").unwrap(), 5);
    assert_eq!(scratch.write("a/b.txt", WriteAt::End, b" you").unwrap(), 9);
    assert_eq!(scratch.write("a/b.txt", WriteAt::Offset(0), b"J").unwrap(), 1);
    assert_eq!(scratch.read("a/b.txt", 0, 100).unwrap(), b"Jello you");
    assert_eq!(scratch.read("a/b.txt", 6, 2).unwrap(), b"yo");
    assert_eq!(scratch.read("a/b.txt", 99, 2).unwrap(), b"");
    scratch.create("c").unwrap();
    let listed = scratch.list("").unwrap();
    assert_eq!(
        listed.iter().map(|file| (file.path.as_str(), file.size)).collect::<Vec<_>>(),
        [("a/b.txt", 9), ("c", 0)]
    );
    assert_eq!(scratch.list("a/").unwrap().len(), 1);
    assert!(scratch.remove("a/b.txt").unwrap());
    assert!(!scratch.remove("a/b.txt").unwrap());
    assert_eq!(code(scratch.read("a/b.txt", 0, 1)), "file_not_found");
    scratch.remove_all();
    assert!(std::fs::read_dir(root.path()).unwrap().next().is_none());
}

#[test]
fn no_path_leads_out() {
    let (root, scratch) = scratch(1000);
    std::fs::write(root.path().join("outside"), "secret").unwrap();
    scratch.create("inside").unwrap();
    for path in [
        "../outside",
        "a/../../outside",
        "/etc/passwd",
        "./a",
        "a//b",
        "",
        "..",
        ".",
        "a/..",
        "..\\outside",
        "a\0b",
        "a\nb",
        "1/2/3/4/5/6/7/8/9",
        &"x".repeat(256),
    ] {
        assert_eq!(code(scratch.size(path)), "file_bad_path", "{path:?}");
        assert_eq!(code(scratch.read(path, 0, 10)), "file_bad_path", "{path:?}");
        assert_eq!(code(scratch.create(path)), "file_bad_path", "{path:?}");
        assert_eq!(code(scratch.write(path, WriteAt::End, b"x")), "file_bad_path", "{path:?}");
        assert_eq!(code(scratch.remove(path)), "file_bad_path", "{path:?}");
    }
    assert_eq!(std::fs::read(root.path().join("outside")).unwrap(), b"secret");
}

#[cfg(unix)]
#[test]
fn no_link_is_followed() {
    use std::os::unix::fs::symlink;

    let (root, scratch) = scratch(1000);
    std::fs::write(root.path().join("outside"), "secret").unwrap();
    scratch.create("inside").unwrap();
    let folder = root.path().join(Uuid::nil().to_string());
    symlink("../outside", folder.join("link")).unwrap();
    symlink(root.path(), folder.join("folder")).unwrap();
    symlink("inside", folder.join("own")).unwrap();
    for path in ["link", "folder/outside", "own"] {
        assert!(scratch.read(path, 0, 10).is_err(), "{path}");
        assert!(scratch.write(path, WriteAt::End, b"x").is_err(), "{path}");
        assert!(scratch.create(path).is_err(), "{path}");
    }
    assert!(scratch.list("").unwrap().iter().all(|file| file.path == "inside"));
    assert_eq!(std::fs::read(root.path().join("outside")).unwrap(), b"secret");
    // Removing a link removes the link.
    assert!(scratch.remove("link").unwrap());
    assert!(root.path().join("outside").exists());
}

#[test]
fn the_quota_holds_and_is_given_back() {
    let (_root, scratch) = scratch(10);
    scratch.write("a", WriteAt::End, b"123456").unwrap();
    assert_eq!(code(scratch.write("b", WriteAt::End, b"12345")), "scratch_limit");
    assert_eq!(code(scratch.write("a", WriteAt::Offset(100), b"1")), "scratch_limit");
    assert_eq!(code(scratch.write("a", WriteAt::Offset(u64::MAX), b"1")), "scratch_limit");
    scratch.write("a", WriteAt::Offset(0), b"6543210").unwrap();
    scratch.write("b", WriteAt::End, b"123").unwrap();
    scratch.create("a").unwrap();
    scratch.write("b", WriteAt::End, b"4567890").unwrap();
    scratch.remove("b").unwrap();
    scratch.write("a", WriteAt::End, b"1234567890").unwrap();
}

#[test]
fn a_second_look_counts_what_is_there() {
    let (root, first) = scratch(10);
    first.write("x/a", WriteAt::End, b"123456").unwrap();
    drop(first);
    let second = in_folder(root.path(), 10);
    assert_eq!(second.read("x/a", 0, 10).unwrap(), b"123456");
    assert_eq!(code(second.write("b", WriteAt::End, b"12345")), "scratch_limit");
}

#[test]
fn files_are_counted() {
    let (_root, scratch) = scratch(1000);
    for n in 0..MOST_ENTRIES {
        scratch.create(&format!("{n}")).unwrap();
    }
    assert_eq!(code(scratch.create("one-more")), "scratch_limit");
    scratch.remove("0").unwrap();
    scratch.create("one-more").unwrap();
    scratch.create("one-more").unwrap();
}

#[test]
fn the_books_hold_what_is_there() {
    let root = tempfile::tempdir().unwrap();
    let (run, team) = (RunId(Uuid::nil()), TeamId(Uuid::nil()));
    let shares = Arc::new(ScratchQuota::new(1 << 20));
    let scratch = Scratch::new(root.path(), run, team, 1 << 19, Arc::clone(&shares));
    scratch.write("x/a", WriteAt::End, &[0; 1_000]).unwrap();
    assert_eq!(shares.used(), 1_000 + 2 * ENTRY_BYTES);
    scratch.create("x/a").unwrap();
    scratch.write("b", WriteAt::End, &[0; 10]).unwrap();
    assert_eq!(shares.used(), 10 + 3 * ENTRY_BYTES);
    scratch.remove("b").unwrap();
    assert_eq!(shares.used(), 2 * ENTRY_BYTES);
    // Another team takes its part: this one's share shrinks, below what its own folder may hold.
    shares.reserve_existing(TeamId(Uuid::max()), 900_000);
    assert_eq!(code(scratch.write("b", WriteAt::End, &vec![0; 100_000])), "scratch_limit");
    scratch.remove_all();
    assert_eq!(shares.used(), 900_000);
    assert_eq!(code(scratch.write("b", WriteAt::End, b"1")), "file_failed");
}
