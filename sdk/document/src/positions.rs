//! Where in a YAML text a JSON pointer leads: for errors that are found after reading.

use std::collections::HashMap;

use super::{
    pointer,
    tree::{self, Node, Position, Value},
};

/// The places of a YAML document's keys and values by JSON pointer.
#[derive(Debug, Default)]
pub struct PositionMap(HashMap<String, Position>);

impl PositionMap {
    /// The places of a YAML text; none when it cannot be read.
    pub fn from_yaml(text: &str) -> Self {
        let mut places = Self::default();
        if let Ok(node) = tree::from_yaml(text) {
            places.add("", node.place, &node);
        }
        places
    }

    /// Where `pointer` leads: its own place or that of what encloses it.
    pub fn find(&self, pointer: &str) -> Option<Position> {
        let mut rest = pointer;
        loop {
            if let Some(place) = self.0.get(rest) {
                return Some(*place);
            }
            rest = &rest[..rest.rfind('/')?];
        }
    }

    fn add(&mut self, at: &str, place: Option<Position>, node: &Node) {
        if let Some(place) = place {
            self.0.entry(at.to_owned()).or_insert(place);
        }
        match &node.value {
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.add(&pointer::element(at, index), item.place, item);
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    // A scalar is pointed at itself; of a mapping or list, the key says more.
                    let nested = matches!(entry.node.value, Value::List(_) | Value::Map(_) | Value::Null);
                    let place = if nested { entry.key.place } else { entry.node.place };
                    self.add(&pointer::member(at, &entry.key.name), place, &entry.node);
                }
            }
            _ => {}
        }
    }
}
