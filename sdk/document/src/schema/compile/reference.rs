//! References within a schema.

use serde_json::Value;

use super::{
    super::{
        MAX_ERRORS,
        message::cut,
        rule::{NodeId, Rule},
    },
    Builder,
};
use crate::suggest;

impl<'a> Builder<'a> {
    /// Makes rules of the references.
    pub(super) fn resolve(&mut self, root: &'a Value) {
        for (id, target) in std::mem::take(&mut self.references) {
            match self.target(root, target) {
                Ok(found) => {
                    let rules = &mut self.nodes[id].rules;
                    let at = rules.partition_point(|rule| rule.rank() <= Rule::Ref(found).rank());
                    rules.insert(at, Rule::Ref(found));
                }
                Err(detail) => self.error(id, "$ref", detail),
            }
            if self.errors.len() >= MAX_ERRORS {
                return;
            }
        }
    }

    fn target(&self, root: &Value, target: &str) -> Result<NodeId, String> {
        let shown = cut(target, 60);
        if !target.starts_with("#/$defs/") {
            return Err(format!("`{shown}` is not taken here: refer to `#/$defs/…` of the same schema"));
        }
        let decoded = percent_decoded(&target[1..]);
        let found = decoded
            .and_then(|path| root.pointer(&path))
            .and_then(|value| self.by_address.get(&std::ptr::from_ref(value)));
        found.copied().ok_or_else(|| {
            let name = target.trim_start_matches("#/$defs/");
            let known = root.get("$defs").and_then(Value::as_object);
            let hint = suggest::hint(name, known.into_iter().flat_map(|defs| defs.keys().map(String::as_str)));
            format!("`{shown}` leads to no schema{hint}")
        })
    }
}

/// `%20` and the like in the fragment of a reference.
fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let hex = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}
