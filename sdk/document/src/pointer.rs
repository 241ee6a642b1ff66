//! JSON pointers (RFC 6901).

/// The pointer of a member of what `parent` points to.
pub(super) fn member(parent: &str, name: &str) -> String {
    format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The pointer of an element of the list that `parent` points to; `index` counts from 0.
pub(super) fn element(parent: &str, index: usize) -> String {
    format!("{parent}/{index}")
}

/// The pointer to a file that came with the document.
pub(super) fn file(path: &str) -> String {
    member("/files", path)
}
