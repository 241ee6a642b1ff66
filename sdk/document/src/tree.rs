//! A document as it was written: every key, duplicates too, with its place where it is known.
//!
//! serde's own maps keep the last of two equal keys without a word, so both formats are first read
//! into this.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};

use restroy_model::problem::FieldError;

/// The longest text that is read, in bytes.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// A line and a column, both from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// A value and where it begins.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Option<Position>,
}

#[derive(Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) node: Node,
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) place: Option<Position>,
}

impl Node {
    /// What kind of value it is, for people.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// An error at the whole document, with its place if there is one.
fn document_error(detail: String, place: Option<Position>) -> FieldError {
    FieldError {
        pointer: String::new(),
        detail,
        line: place.map(|place| place.line),
        column: place.map(|place| place.column),
    }
}

fn bounded(text: &str) -> Result<(), FieldError> {
    if text.len() > MAX_BYTES {
        return Err(document_error(
            format!("the document has {} bytes; at most {MAX_BYTES} are taken", text.len()),
            None,
        ));
    }
    Ok(())
}

/// Reads JSON. Its values carry no places: a pointer says enough.
pub(super) fn from_json(text: &str) -> Result<Node, FieldError> {
    bounded(text)?;
    serde_json::from_str::<BareNode>(text).map(|bare| bare.0).map_err(|error| {
        let place = Position {
            line: u32::try_from(error.line()).unwrap_or(u32::MAX),
            column: u32::try_from(error.column()).unwrap_or(u32::MAX),
        };
        let text = error.to_string();
        let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
        document_error(format!("not JSON: {reason}"), (place.line > 0).then_some(place))
    })
}

/// Reads YAML, with the place of every key and value.
pub(super) fn from_yaml(text: &str) -> Result<Node, FieldError> {
    bounded(text)?;
    let options = serde_saphyr::options! {
        // Duplicates reach the tree, where they are reported with their pointer.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        budget: serde_saphyr::budget! {
            max_events: 200_000,
            max_nodes: 100_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_depth: 64,
            max_documents: 1,
            max_total_scalar_bytes: MAX_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 16,
            max_alias_expansions_per_anchor: 1_000,
        },
    };
    serde_saphyr::from_str_with_options::<PositionedNode>(text, options).map(|placed| placed.0).map_err(|error| {
        let place = error.location().and_then(position);
        // The place stands in the error: the message need not draw the snippet again.
        let text = error.without_snippet().to_string();
        let first = text.lines().next().unwrap_or_default();
        let reason = first.strip_prefix("error: ").unwrap_or(first);
        let reason = match reason.split_once(": ") {
            Some((start, rest)) if start.starts_with("line ") => rest,
            _ => reason.rsplit_once(" at line ").map_or(reason, |(reason, _)| reason),
        };
        let reason = if reason.contains("documents:") || reason.contains("multiple YAML documents") {
            "the file holds several documents: a pipeline is one, so remove the `---` between them"
        } else if reason.starts_with("budget breached") || reason.contains("alias") {
            "its aliases unfold to more than a pipeline may hold, or it is nested too deep"
        } else {
            reason
        };
        document_error(format!("not readable as YAML: {reason}"), place)
    })
}

fn position(location: serde_saphyr::Location) -> Option<Position> {
    let line = u32::try_from(location.line()).ok().filter(|line| *line > 0)?;
    Some(Position { line, column: u32::try_from(location.column()).unwrap_or(1) })
}

/// A node without a place.
struct BareNode(Node);

/// A node with its place.
struct PositionedNode(Node);

/// The inner side of a placed node, before its place is known.
struct InnerValue(Value);

struct BareKey(Key);
struct PositionedKey(Key);

impl From<BareNode> for Node {
    fn from(bare: BareNode) -> Self {
        bare.0
    }
}
impl From<PositionedNode> for Node {
    fn from(placed: PositionedNode) -> Self {
        placed.0
    }
}
impl From<BareKey> for Key {
    fn from(key: BareKey) -> Self {
        key.0
    }
}
impl From<PositionedKey> for Key {
    fn from(key: PositionedKey) -> Self {
        key.0
    }
}

impl<'de> Deserialize<'de> for BareNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = deserializer.deserialize_any(ValueVisitor::<Self, BareKey>(PhantomData))?;
        Ok(Self(Node { value, place: None }))
    }
}

impl<'de> Deserialize<'de> for BareKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Key { name: String::deserialize(deserializer)?, place: None }))
    }
}

impl<'de> Deserialize<'de> for InnerValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor::<PositionedNode, PositionedKey>(PhantomData)).map(Self)
    }
}

impl<'de> Deserialize<'de> for PositionedNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<InnerValue>::deserialize(deserializer)?;
        Ok(Self(Node { value: spanned.value.0, place: position(spanned.referenced) }))
    }
}

impl<'de> Deserialize<'de> for PositionedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<String>::deserialize(deserializer)?;
        Ok(Self(Key { name: spanned.value, place: position(spanned.referenced) }))
    }
}

struct ValueVisitor<N, K>(PhantomData<(N, K)>);

impl<'de, N, K> Visitor<'de> for ValueVisitor<N, K>
where
    N: Deserialize<'de> + Into<Node>,
    K: Deserialize<'de> + Into<Key>,
{
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON knows")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("infinity and NaN are not values of a document"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<N>()? {
            items.push(item.into());
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, node)) = access.next_entry::<K, N>()? {
            entries.push(Entry { key: key.into(), node: node.into() });
        }
        Ok(Value::Map(entries))
    }
}
