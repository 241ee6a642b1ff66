//! From JSON to rules. Subschemas are a queue, not a recursion: however deep they lie, no stack is used.

mod operand;
mod reference;

use std::{
    collections::{HashMap, VecDeque},
    hash::RandomState,
};

use serde_json::{Map, Value};

use self::operand::{boolean, count, format, number, object, string, types, value_bytes};
use super::{
    MAX_ERRORS, MAX_PATTERNS, MAX_PATTERNS_BYTES, MAX_SUBSCHEMAS, Schema, SchemaError, check, equal, graph, keyword,
    message::{self, cut, kind},
    pattern::{self, MAX_UNICODE_CLASSES, Pattern},
    rule::{Default as DefaultValue, Enumeration, Node, NodeId, PatternId, Properties, Rule},
    steps::Steps,
};

/// Compiles a schema, or says everything that is wrong with it.
pub(super) fn compile(schema: &Value) -> Result<Schema, Vec<SchemaError>> {
    let mut builder = Builder::default();
    builder.add(schema, None, SubschemaStep::default());
    while let Some((id, value)) = builder.queue.pop_front() {
        builder.subschema(id, value);
        if builder.errors.len() >= MAX_ERRORS {
            return Err(builder.errors);
        }
    }
    builder.resolve(schema);
    if builder.errors.is_empty() {
        graph::check(&mut builder);
    }
    if !builder.errors.is_empty() {
        builder.errors.truncate(MAX_ERRORS);
        return Err(builder.errors);
    }
    builder.finish()
}

/// How a subschema lies within the one around it.
#[derive(Debug, Clone, Default)]
pub(super) struct SubschemaStep {
    keyword: &'static str,
    within: Option<String>,
}

/// What is compiled so far.
#[derive(Debug, Default)]
pub(super) struct Builder<'a> {
    pub(super) nodes: Vec<Node>,
    pub(super) errors: Vec<SchemaError>,
    /// Where each node lies: the one around it, and how.
    places: Vec<(Option<NodeId>, SubschemaStep)>,
    queue: VecDeque<(NodeId, &'a Value)>,
    /// The nodes by where their JSON is, for references.
    by_address: HashMap<*const Value, NodeId>,
    references: Vec<(NodeId, &'a str)>,
    patterns: Vec<Pattern>,
    pattern_bytes: usize,
    pattern_ids: HashMap<String, PatternId>,
    unicode_classes: usize,
    hasher: RandomState,
    bytes: usize,
    full: bool,
}

impl<'a> Builder<'a> {
    /// Takes a subschema down to be compiled.
    fn add(&mut self, value: &'a Value, around: Option<NodeId>, step: SubschemaStep) -> NodeId {
        let id = self.nodes.len();
        if id >= MAX_SUBSCHEMAS {
            if !self.full {
                self.full = true;
                let detail = format!("a schema has at most {MAX_SUBSCHEMAS} subschemas; this one has more");
                self.errors.push(SchemaError { pointer: String::new(), detail });
            }
            return 0;
        }
        self.nodes.push(Node::default());
        self.places.push((around, step));
        self.by_address.insert(std::ptr::from_ref(value), id);
        self.queue.push_back((id, value));
        id
    }

    /// Where a subschema is in the document.
    pub(super) fn pointer(&self, id: NodeId) -> String {
        let (mut steps, mut at) = (Vec::new(), Some(id));
        while let Some(id) = at {
            let Some((around, step)) = self.places.get(id) else { break };
            if around.is_some() {
                steps.push(step);
            }
            at = *around;
        }
        let mut out = String::new();
        for SubschemaStep { keyword, within } in steps.into_iter().rev() {
            out.push('/');
            out.push_str(keyword);
            if let Some(within) = within {
                out.push('/');
                out.push_str(&escaped(within));
            }
        }
        out
    }

    fn error(&mut self, id: NodeId, keyword: &str, detail: impl Into<String>) {
        if self.errors.len() > MAX_ERRORS {
            return;
        }
        let mut pointer = self.pointer(id);
        if !keyword.is_empty() {
            pointer.push('/');
            pointer.push_str(&escaped(keyword));
        }
        self.errors.push(SchemaError { pointer, detail: detail.into() });
    }

    fn subschema(&mut self, id: NodeId, value: &'a Value) {
        let fields = match value {
            Value::Bool(true) => return,
            Value::Bool(false) => {
                self.nodes[id].rules.push(Rule::Never);
                return;
            }
            Value::Object(fields) => fields,
            other => {
                let detail = format!("a schema is an object, `true` or `false`, not {}", kind(other));
                self.error(id, "", detail);
                return;
            }
        };
        let mut rules = Vec::new();
        for (name, value) in fields {
            match self.keyword(id, name, value, fields) {
                Ok(rule) => rules.extend(rule),
                Err(detail) => self.error(id, name, detail),
            }
            if self.errors.len() >= MAX_ERRORS {
                return;
            }
        }
        match self.properties(id, fields) {
            Ok(rule) => rules.extend(rule),
            Err((keyword, detail)) => self.error(id, &keyword, detail),
        }
        rules.sort_by_key(Rule::rank);
        self.bytes += rules.len() * size_of::<Rule>();
        self.nodes[id].rules = rules;
    }

    /// The rule that a keyword comes to, if it is a keyword of its own.
    fn keyword(
        &mut self,
        id: NodeId,
        name: &'a str,
        value: &'a Value,
        beside: &'a Map<String, Value>,
    ) -> Result<Option<Rule>, String> {
        Ok(Some(match name {
            "type" => Rule::Type(types(value)?),
            "enum" => Rule::Enum(Box::new(self.enumeration(value)?)),
            "const" => {
                self.bytes += value_bytes(value);
                Rule::Const(Box::new(value.clone()))
            }
            "multipleOf" => match number(value)? {
                divisor if divisor.is_positive() => Rule::MultipleOf(divisor),
                _ => return Err("`multipleOf` must be greater than 0".into()),
            },
            "minimum" => Rule::Minimum(number(value)?),
            "maximum" => Rule::Maximum(number(value)?),
            "exclusiveMinimum" => Rule::ExclusiveMinimum(number(value)?),
            "exclusiveMaximum" => Rule::ExclusiveMaximum(number(value)?),
            "minLength" => Rule::MinLength(count(value)?),
            "maxLength" => Rule::MaxLength(count(value)?),
            "minItems" => Rule::MinItems(count(value)?),
            "maxItems" => Rule::MaxItems(count(value)?),
            "minProperties" => Rule::MinProperties(count(value)?),
            "maxProperties" => Rule::MaxProperties(count(value)?),
            "pattern" => Rule::Pattern(self.pattern(string(value)?)?),
            "format" => Rule::Format(format(string(value)?)?),
            "uniqueItems" => {
                if !boolean(value)? {
                    return Ok(None);
                }
                Rule::UniqueItems
            }
            "prefixItems" => Rule::PrefixItems(self.list(id, "prefixItems", value)?),
            "items" => {
                if value.is_array() {
                    return Err("`items` is one schema for all items; a schema for each place is `prefixItems`".into());
                }
                let from = beside.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len);
                Rule::Items { from, node: self.one(id, "items", value) }
            }
            "contains" => {
                let least = beside.get("minContains").map_or(Ok(1), count).unwrap_or(1);
                let most = beside.get("maxContains").and_then(|most| count(most).ok());
                Rule::Contains { node: self.one(id, "contains", value), least, most }
            }
            "minContains" | "maxContains" => {
                count(value)?;
                return Ok(None);
            }
            "required" => Rule::Required(self.names(value)?),
            "dependentRequired" => {
                let mut all = Vec::new();
                for (name, names) in object(value)? {
                    self.bytes += name.len() + 48;
                    all.push((name.clone(), self.names(names)?));
                }
                Rule::DependentRequired(all)
            }
            "propertyNames" => Rule::PropertyNames(self.one(id, "propertyNames", value)),
            "$ref" => {
                self.references.push((id, string(value)?));
                return Ok(None);
            }
            "allOf" => Rule::AllOf(self.list(id, "allOf", value)?),
            "anyOf" => Rule::AnyOf(self.list(id, "anyOf", value)?),
            "oneOf" => Rule::OneOf(self.list(id, "oneOf", value)?),
            "not" => Rule::Not(self.one(id, "not", value)),
            "if" => Rule::If {
                test: self.one(id, "if", value),
                then: beside.get("then").map(|then| self.one(id, "then", then)),
                otherwise: beside.get("else").map(|otherwise| self.one(id, "else", otherwise)),
            },
            "then" | "else" => {
                if !beside.contains_key("if") {
                    return Err(format!("`{name}` has no effect without `if`"));
                }
                return Ok(None);
            }
            "default" => {
                let bytes = value.to_string().len();
                self.bytes += value_bytes(value);
                self.nodes[id].default = Some(DefaultValue { value: value.clone(), bytes });
                return Ok(None);
            }
            "$schema" => {
                if id != 0 {
                    return Err("`$schema` belongs at the top of the schema".into());
                }
                let given = string(value)?;
                if given.trim_end_matches('#') != keyword::DRAFT {
                    return Err(format!(
                        "schemas follow JSON Schema 2020-12: omit `$schema`, or write `{}`",
                        keyword::DRAFT
                    ));
                }
                return Ok(None);
            }
            "$defs" => {
                for (name, value) in object(value)? {
                    self.add(value, Some(id), SubschemaStep { keyword: "$defs", within: Some(name.clone()) });
                }
                return Ok(None);
            }
            "$comment" | "title" | "description" => {
                string(value)?;
                return Ok(None);
            }
            "examples" => {
                if !value.is_array() {
                    return Err(format!("must be an array of values, not {}", kind(value)));
                }
                return Ok(None);
            }
            "deprecated" | "readOnly" | "writeOnly" => {
                boolean(value)?;
                return Ok(None);
            }
            // Taken together, once all are read.
            "properties" | "patternProperties" | "additionalProperties" => return Ok(None),
            _ => return Err(keyword::alternative(name)),
        }))
    }

    /// `properties`, `patternProperties` and `additionalProperties`, which depend on each other.
    fn properties(&mut self, id: NodeId, fields: &'a Map<String, Value>) -> Result<Option<Rule>, (String, String)> {
        let mut rule = Properties::default();
        let mut any = false;
        let at = |keyword: &str| {
            let keyword = keyword.to_owned();
            move |detail: String| (keyword, detail)
        };
        if let Some(value) = fields.get("properties") {
            any = true;
            for (name, value) in object(value).map_err(at("properties"))? {
                self.bytes += name.len() + 64;
                let step = SubschemaStep { keyword: "properties", within: Some(name.clone()) };
                rule.named.insert(name.clone(), self.add(value, Some(id), step));
            }
        }
        if let Some(value) = fields.get("patternProperties") {
            any = true;
            for (text, value) in object(value).map_err(at("patternProperties"))? {
                let pattern = self
                    .pattern(text)
                    .map_err(|detail| ("patternProperties".to_owned(), format!("{}: {detail}", message::name(text))))?;
                let step = SubschemaStep { keyword: "patternProperties", within: Some(text.clone()) };
                rule.patterns.push((pattern, self.add(value, Some(id), step)));
            }
        }
        if let Some(value) = fields.get("additionalProperties") {
            any = true;
            rule.closed = *value == Value::Bool(false);
            rule.additional = Some(self.one(id, "additionalProperties", value));
        }
        Ok(any.then(|| Rule::Properties(Box::new(rule))))
    }

    fn one(&mut self, id: NodeId, keyword: &'static str, value: &'a Value) -> NodeId {
        self.add(value, Some(id), SubschemaStep { keyword, within: None })
    }

    fn list(&mut self, id: NodeId, keyword: &'static str, value: &'a Value) -> Result<Vec<NodeId>, String> {
        let Value::Array(items) = value else {
            return Err(format!("must be an array of schemas, not {}", kind(value)));
        };
        if items.is_empty() {
            return Err("must have at least one schema".into());
        }
        self.bytes += items.len() * size_of::<NodeId>();
        let step = |at: usize| SubschemaStep { keyword, within: Some(at.to_string()) };
        Ok(items.iter().enumerate().map(|(at, item)| self.add(item, Some(id), step(at))).collect())
    }

    fn names(&mut self, value: &Value) -> Result<Vec<String>, String> {
        let wrong = |found: &Value| format!("must be an array of names of properties, not {}", kind(found));
        let Value::Array(items) = value else { return Err(wrong(value)) };
        let mut names = Vec::with_capacity(items.len());
        for item in items {
            let Value::String(name) = item else {
                return Err(format!("names of properties are strings; one of these is {}", kind(item)));
            };
            self.bytes += name.len() + size_of::<String>();
            names.push(name.clone());
        }
        Ok(names)
    }

    fn enumeration(&mut self, value: &Value) -> Result<Enumeration, String> {
        let Value::Array(values) = value else {
            return Err(format!("must be an array of the values that are allowed, not {}", kind(value)));
        };
        if values.is_empty() {
            return Err("must have at least one value: with none, nothing matches".into());
        }
        let mut by_hash: HashMap<u64, Vec<usize>> = HashMap::with_capacity(values.len());
        let mut steps = Steps::new();
        for (at, value) in values.iter().enumerate() {
            let hash = equal::hash(value, &self.hasher, &mut steps).map_err(|_| "has too many values".to_owned())?;
            by_hash.entry(hash).or_default().push(at);
            self.bytes += value_bytes(value) + 64;
        }
        Ok(Enumeration { values: values.clone(), by_hash })
    }

    fn pattern(&mut self, text: &str) -> Result<PatternId, String> {
        if let Some(id) = self.pattern_ids.get(text) {
            return Ok(*id);
        }
        if self.patterns.len() >= MAX_PATTERNS {
            return Err(format!("a schema has at most {MAX_PATTERNS} different patterns; this one has more"));
        }
        self.unicode_classes += pattern::unicode_classes(text);
        if self.unicode_classes > MAX_UNICODE_CLASSES {
            return Err(format!(
                "the patterns of a schema have at most {MAX_UNICODE_CLASSES} classes such as `\\p{{L}}`; these have more"
            ));
        }
        let pattern = Pattern::compile(text)?;
        self.pattern_bytes += pattern.bytes;
        if self.pattern_bytes > MAX_PATTERNS_BYTES {
            return Err(format!(
                "the patterns of a schema take at most {MAX_PATTERNS_BYTES} bytes compiled; these take more: use fewer, or \
                 shorter repeats"
            ));
        }
        let id = self.patterns.len();
        self.patterns.push(pattern);
        self.pattern_ids.insert(text.to_owned(), id);
        Ok(id)
    }

    fn finish(self) -> Result<Schema, Vec<SchemaError>> {
        let bytes = self.bytes + self.nodes.len() * size_of::<Node>() + self.pattern_bytes;
        let places = self.places;
        let schema = Schema { nodes: self.nodes, patterns: self.patterns, hasher: self.hasher, memory_bytes: bytes };
        // A default that would be refused is a mistake to be found now, not when a run starts.
        let mut errors = Vec::new();
        let mut checker = check::Checker::new(&schema);
        for (id, node) in schema.nodes.iter().enumerate() {
            let Some(default) = &node.default else { continue };
            let detail = match checker.first_mismatch(id, &default.value) {
                Ok(None) => continue,
                Ok(Some(fault)) if fault.pointer.is_empty() => format!("the default {}", fault.detail),
                Ok(Some(fault)) => format!("the default does not match: `{}` {}", fault.pointer, fault.detail),
                Err(_) => "checking the defaults takes too many steps: make them smaller".into(),
            };
            let places = Builder { places: places.clone(), ..Builder::default() };
            errors.push(SchemaError { pointer: format!("{}/default", places.pointer(id)), detail });
            if errors.len() >= MAX_ERRORS {
                break;
            }
        }
        if errors.is_empty() { Ok(schema) } else { Err(errors) }
    }
}

/// A part of a JSON pointer.
fn escaped(segment: &str) -> String {
    cut(segment, 100).replace('~', "~0").replace('/', "~1")
}
