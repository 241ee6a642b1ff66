//! What a schema is compiled to: nodes in one list, each with the rules that its keywords come to.

use std::collections::HashMap;

use serde_json::Value;

use super::{format::Format, number::Num};

/// A subschema: its place in [`super::Schema`]'s nodes.
pub(super) type NodeId = usize;
/// A pattern: its place in [`super::Schema`]'s patterns.
pub(super) type PatternId = usize;

/// A subschema.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) rules: Vec<Rule>,
    /// What stands for the value where it is absent.
    pub(super) default: Option<Default>,
    /// Whether it, or something that defaults are looked for in, has a default.
    pub(super) has_defaults: bool,
}

/// A default, and how long it is as JSON.
#[derive(Debug)]
pub(super) struct Default {
    pub(super) value: Value,
    pub(super) bytes: usize,
}

/// What a value must be.
#[derive(Debug)]
pub(super) enum Rule {
    /// `false`: nothing matches.
    Never,
    Type(Types),
    Enum(Box<Enumeration>),
    Const(Box<Value>),
    MultipleOf(Num),
    Minimum(Num),
    Maximum(Num),
    ExclusiveMinimum(Num),
    ExclusiveMaximum(Num),
    MinLength(usize),
    MaxLength(usize),
    Pattern(PatternId),
    Format(Format),
    MinItems(usize),
    MaxItems(usize),
    UniqueItems,
    PrefixItems(Vec<NodeId>),
    Items {
        from: usize,
        node: NodeId,
    },
    Contains {
        node: NodeId,
        least: usize,
        most: Option<usize>,
    },
    Required(Vec<String>),
    MinProperties(usize),
    MaxProperties(usize),
    DependentRequired(Vec<(String, Vec<String>)>),
    PropertyNames(NodeId),
    Properties(Box<Properties>),
    Ref(NodeId),
    AllOf(Vec<NodeId>),
    AnyOf(Vec<NodeId>),
    OneOf(Vec<NodeId>),
    Not(NodeId),
    If {
        test: NodeId,
        then: Option<NodeId>,
        otherwise: Option<NodeId>,
    },
}

/// `properties`, `patternProperties` and `additionalProperties`.
#[derive(Debug, Default)]
pub(super) struct Properties {
    pub(super) named: HashMap<String, NodeId>,
    pub(super) patterns: Vec<(PatternId, NodeId)>,
    pub(super) additional: Option<NodeId>,
    /// Whether `additional` is `false`: said in other words.
    pub(super) closed: bool,
    /// The names in the schema's order, for defaults; only those with some.
    pub(super) with_defaults: Vec<(String, NodeId)>,
}

/// `enum`: the values, and where those of a hash are.
#[derive(Debug)]
pub(super) struct Enumeration {
    pub(super) values: Vec<Value>,
    pub(super) by_hash: HashMap<u64, Vec<usize>>,
}

/// A set of JSON types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Types(u8);

/// The names of types, each with its bit.
const NAMES: [(&str, u8); 7] =
    [("null", 1), ("boolean", 2), ("integer", 4), ("number", 8), ("string", 16), ("array", 32), ("object", 64)];

impl Types {
    /// The type of a name.
    pub(super) fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, bit)| Self(*bit))
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn accepts(self, value: &Value) -> bool {
        let bit = match value {
            Value::Null => 1,
            Value::Bool(_) => 2,
            Value::Number(number) => {
                if self.0 & 8 != 0 {
                    return true;
                }
                return self.0 & 4 != 0 && Num::of(number).is_integer();
            }
            Value::String(_) => 16,
            Value::Array(_) => 32,
            Value::Object(_) => 64,
        };
        self.0 & bit != 0
    }

    /// The names of the types in the set.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(move |(_, bit)| self.0 & bit != 0).map(|(name, _)| *name)
    }
}

impl Rule {
    /// The subschemas that the rule may apply.
    pub(super) fn children(&self, to: &mut Vec<NodeId>) {
        match self {
            Self::Items { node, .. }
            | Self::Contains { node, .. }
            | Self::PropertyNames(node)
            | Self::Ref(node)
            | Self::Not(node) => to.push(*node),
            Self::PrefixItems(nodes) | Self::AllOf(nodes) | Self::AnyOf(nodes) | Self::OneOf(nodes) => {
                to.extend_from_slice(nodes);
            }
            Self::Properties(properties) => {
                to.extend(properties.named.values());
                to.extend(properties.patterns.iter().map(|(_, node)| *node));
                to.extend(properties.additional);
            }
            Self::If { test, then, otherwise } => {
                to.push(*test);
                to.extend(then);
                to.extend(otherwise);
            }
            _ => {}
        }
    }

    /// In which order rules are checked: what says most about a value first.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Never => 0,
            Self::Type(_) => 1,
            Self::Enum(_) | Self::Const(_) => 2,
            Self::Required(_) => 3,
            Self::Properties(_) | Self::PrefixItems(_) | Self::Items { .. } => 5,
            Self::Ref(_) | Self::AllOf(_) => 6,
            Self::AnyOf(_) | Self::OneOf(_) | Self::Not(_) | Self::If { .. } => 7,
            _ => 4,
        }
    }
}
