//! What the scanner says that a tree takes is what it takes, by an allocator that counts.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

use restroy_model::json_bounds::{JsonLimits, measure};
use serde_json::Value;

struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came; only sizes are counted beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `GlobalAlloc::alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `GlobalAlloc::dealloc`'s contract.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test in this binary: another one's allocations would be counted too.
#[test]
fn a_tree_takes_no_more_than_was_measured() {
    let all = JsonLimits { nodes: usize::MAX, depth: 100 };
    for (name, text) in [
        ("objects of one field", format!("[{}0]", "{\"\":0},".repeat(100_000))),
        ("numbers", format!("[{}0]", "0,".repeat(300_000))),
        ("arrays of one", format!("[{}0]", "[0],".repeat(100_000))),
        ("empty objects", format!("[{}0]", "{},".repeat(100_000))),
        ("short strings", format!("[{}0]", "\"ab\",".repeat(100_000))),
        ("nested", format!("[{}0]", format!("{}0{},", "{\"a\":".repeat(90), "}".repeat(90)).repeat(1_000))),
        ("one wide object", {
            let fields: Vec<String> = (0..100_000).map(|n| format!("\"{n}\":{n}")).collect();
            format!("{{{}}}", fields.join(","))
        }),
        ("one long string", format!("\"{}\"", "x".repeat(1_000_000))),
    ] {
        let size = measure(text.as_bytes(), all).unwrap();
        let before = IN_USE.load(Ordering::Relaxed);
        let tree: Value = serde_json::from_str(&text).unwrap();
        let taken = IN_USE.load(Ordering::Relaxed) - before;
        drop(tree);
        assert!(taken <= size.tree_bytes, "{name}: {taken} bytes taken, {} measured", size.tree_bytes);
        assert!(size.tree_bytes <= 2 * taken + 4_096, "{name}: {taken} bytes taken, {} measured", size.tree_bytes);
    }
}

/// The limits of a body bound its tree.
const _: () = assert!(JsonLimits::BODY.nodes * WORST_NODE <= 64 * 1024 * 1024);
/// A node that takes the most: an object of one field within another.
const WORST_NODE: usize = 4 * (size_of::<(usize, String, Value)>() + size_of::<usize>() + 1) + 64;
