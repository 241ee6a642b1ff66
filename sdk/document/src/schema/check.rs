//! Rules against values. A check goes down the schema, so its recursion is as deep as the schema is
//! ([`super::MAX_DEPTH`]), whatever the value; each rule that is applied takes a step.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    CheckError, MAX_ERRORS, Schema, equal,
    message::{self, Path, kind, quote},
    number::Num,
    pattern::Caches,
    rule::{Enumeration, NodeId, Rule},
    steps::{Steps, StepsExhausted},
};
use restroy_model::problem::FieldError;

/// The steps of putting a mismatch into words.
const MESSAGE: usize = 200;
/// How many alternatives of an `anyOf` are explained.
const MAX_ALTERNATIVES: usize = 3;

/// Checks a value against a schema.
pub(super) fn check(schema: &Schema, value: &Value, steps: u64) -> Result<(), CheckError> {
    let mut faults = Mismatches::up_to(MAX_ERRORS);
    let mut checker = Checker { steps: Steps::up_to(steps), ..Checker::new(schema) };
    if checker.node(0, value, None, &mut faults)? {
        return Ok(());
    }
    Err(CheckError::Mismatch(faults.found))
}

/// The mismatches that are reported; with room for none, it is only said whether there are any.
#[derive(Debug)]
pub(super) struct Mismatches {
    found: Vec<FieldError>,
    most: usize,
}

impl Mismatches {
    pub(super) fn up_to(most: usize) -> Self {
        Self { found: Vec::new(), most }
    }

    /// Whether nothing is to be added.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= self.most
    }

    fn first(self) -> Option<FieldError> {
        self.found.into_iter().next()
    }

    /// What the first says, without its place.
    pub(super) fn into_detail(self) -> String {
        self.first().map(|fault| fault.detail).unwrap_or_default()
    }
}

/// Whether something matches, as far as that was found out.
pub(super) type Matches = Result<bool, StepsExhausted>;

/// A check under way.
#[derive(Debug)]
pub(super) struct Checker<'s> {
    pub(super) schema: &'s Schema,
    pub(super) steps: Steps,
    caches: Caches,
}

impl<'s> Checker<'s> {
    pub(super) fn new(schema: &'s Schema) -> Self {
        Self { schema, steps: Steps::new(), caches: Caches::default() }
    }

    /// The first mismatch of a value with a subschema.
    pub(super) fn first_mismatch(&mut self, id: NodeId, value: &Value) -> Result<Option<FieldError>, StepsExhausted> {
        let mut faults = Mismatches::up_to(1);
        Ok(if self.node(id, value, None, &mut faults)? { None } else { faults.first() })
    }

    /// Whether a value matches a subschema; why not goes to `errors`.
    pub(super) fn node(
        &mut self,
        id: NodeId,
        value: &Value,
        path: Option<&Path<'_>>,
        faults: &mut Mismatches,
    ) -> Matches {
        self.steps.take(1)?;
        let schema = self.schema;
        let mut matches = true;
        for rule in &schema.nodes[id].rules {
            matches &= self.rule(rule, value, path, faults)?;
            if !matches && faults.is_full() {
                return Ok(false);
            }
        }
        Ok(matches)
    }

    /// Whether a value matches, and nothing else.
    pub(super) fn is_valid(&mut self, id: NodeId, value: &Value) -> Matches {
        self.node(id, value, None, &mut Mismatches::up_to(0))
    }

    fn rule(&mut self, rule: &'s Rule, value: &Value, path: Option<&Path<'_>>, faults: &mut Mismatches) -> Matches {
        self.steps.take(1)?;
        match rule {
            Rule::Ref(node) => self.node(*node, value, path, faults),
            Rule::AllOf(nodes) => self.all_of(nodes, value, path, faults),
            Rule::AnyOf(nodes) => self.any_of(nodes, value, path, faults),
            Rule::OneOf(nodes) => self.one_of(nodes, value, path, faults),
            Rule::Not(node) => self.not(*node, value, path, faults),
            Rule::If { test, then, otherwise } => {
                let branch = if self.is_valid(*test, value)? { then } else { otherwise };
                branch.map_or(Ok(true), |branch| self.node(branch, value, path, faults))
            }
            _ => match value {
                Value::Object(fields) if rule.is_for_objects() => self.object(rule, fields, path, faults),
                Value::Array(items) if rule.is_for_arrays() => self.array(rule, items, path, faults),
                _ => self.scalar(rule, value, path, faults),
            },
        }
    }

    fn all_of(&mut self, nodes: &[NodeId], value: &Value, path: Option<&Path<'_>>, faults: &mut Mismatches) -> Matches {
        let mut matches = true;
        for node in nodes {
            matches &= self.node(*node, value, path, faults)?;
            if !matches && faults.is_full() {
                break;
            }
        }
        Ok(matches)
    }

    /// Looked at quietly first: reasons are found, and cost, only where nothing matched.
    fn any_of(&mut self, nodes: &[NodeId], value: &Value, path: Option<&Path<'_>>, faults: &mut Mismatches) -> Matches {
        for node in nodes {
            if self.is_valid(*node, value)? {
                return Ok(true);
            }
        }
        self.no_alternative("anyOf", nodes, value, path, faults)
    }

    fn one_of(&mut self, nodes: &[NodeId], value: &Value, path: Option<&Path<'_>>, faults: &mut Mismatches) -> Matches {
        let mut matched = None;
        for (at, node) in nodes.iter().enumerate() {
            if !self.is_valid(*node, value)? {
                continue;
            }
            let Some(first) = matched.replace(at) else { continue };
            return self.refuse(path, faults, || {
                format!(
                    "must match exactly one of {} alternatives, and matches number {} and number {} (`oneOf`)",
                    nodes.len(),
                    first + 1,
                    at + 1
                )
            });
        }
        if matched.is_some() {
            return Ok(true);
        }
        self.no_alternative("oneOf", nodes, value, path, faults)
    }

    fn no_alternative(
        &mut self,
        keyword: &str,
        nodes: &[NodeId],
        value: &Value,
        path: Option<&Path<'_>>,
        faults: &mut Mismatches,
    ) -> Matches {
        if faults.is_full() {
            return Ok(false);
        }
        let mut reasons = Vec::new();
        for node in nodes.iter().take(MAX_ALTERNATIVES) {
            let mut why = Mismatches::up_to(1);
            self.node(*node, value, path, &mut why)?;
            reasons.extend(why.first());
        }
        self.refuse(path, faults, || alternatives(keyword, nodes.len(), &reasons, path))
    }

    fn not(&mut self, node: NodeId, value: &Value, path: Option<&Path<'_>>, faults: &mut Mismatches) -> Matches {
        if !self.is_valid(node, value)? {
            return Ok(true);
        }
        self.refuse(path, faults, || "must not match the schema under `not`".into())
    }

    /// Reports a mismatch, if there is still room; never matches.
    pub(super) fn refuse(
        &mut self,
        path: Option<&Path<'_>>,
        faults: &mut Mismatches,
        detail: impl FnOnce() -> String,
    ) -> Matches {
        if !faults.is_full() {
            self.steps.take(MESSAGE)?;
            faults.found.push(FieldError::new(message::pointer(path), detail()));
        }
        Ok(false)
    }

    /// Rules for any value, strings and numbers.
    fn scalar(&mut self, rule: &Rule, value: &Value, path: Option<&Path<'_>>, faults: &mut Mismatches) -> Matches {
        match (rule, value) {
            (Rule::Never, _) => self.refuse(path, faults, || "is not allowed here".into()),
            (Rule::Type(types), _) => {
                if types.accepts(value) {
                    return Ok(true);
                }
                self.refuse(path, faults, || {
                    let found = match value {
                        // Only a fraction is a number and yet not what was asked for.
                        Value::Number(_) if types.names().any(|name| name == "integer") => {
                            format!("the fraction {}", quote(value))
                        }
                        _ => kind(value).to_owned(),
                    };
                    format!("must be {}, not {found} (`type`)", message::types(*types))
                })
            }
            (Rule::Enum(allowed), _) => self.enumeration(allowed, value, path, faults),
            (Rule::Const(only), _) => {
                if equal::equal(only, value, &mut self.steps)? {
                    return Ok(true);
                }
                self.refuse(path, faults, || format!("must be {}, not {} (`const`)", quote(only), quote(value)))
            }
            (_, Value::String(text)) => self.string(rule, text, path, faults),
            (_, Value::Number(number)) => self.number(rule, Num::of(number), value, path, faults),
            _ => Ok(true),
        }
    }

    fn enumeration(
        &mut self,
        allowed: &Enumeration,
        value: &Value,
        path: Option<&Path<'_>>,
        faults: &mut Mismatches,
    ) -> Matches {
        let hash = equal::hash(value, &self.schema.hasher, &mut self.steps)?;
        for at in allowed.by_hash.get(&hash).into_iter().flatten() {
            if equal::equal(&allowed.values[*at], value, &mut self.steps)? {
                return Ok(true);
            }
        }
        self.refuse(path, faults, || format!("{}, not {} (`enum`)", message::one_of(&allowed.values), quote(value)))
    }

    fn number(
        &mut self,
        rule: &Rule,
        number: Num,
        value: &Value,
        path: Option<&Path<'_>>,
        faults: &mut Mismatches,
    ) -> Matches {
        let (matches, expected, bound, keyword) = match rule {
            Rule::Minimum(bound) => (number.compare(*bound).is_ge(), "at least", bound, "minimum"),
            Rule::Maximum(bound) => (number.compare(*bound).is_le(), "at most", bound, "maximum"),
            Rule::ExclusiveMinimum(bound) => {
                (number.compare(*bound).is_gt(), "greater than", bound, "exclusiveMinimum")
            }
            Rule::ExclusiveMaximum(bound) => (number.compare(*bound).is_lt(), "less than", bound, "exclusiveMaximum"),
            Rule::MultipleOf(divisor) => {
                self.steps.take(64)?;
                (number.is_multiple_of(*divisor), "a multiple of", divisor, "multipleOf")
            }
            _ => return Ok(true),
        };
        if matches {
            return Ok(true);
        }
        self.refuse(path, faults, || format!("must be {expected} {bound}, not {} (`{keyword}`)", quote(value)))
    }

    fn string(&mut self, rule: &Rule, text: &str, path: Option<&Path<'_>>, faults: &mut Mismatches) -> Matches {
        match rule {
            Rule::MinLength(_) | Rule::MaxLength(_) => self.length(rule, text, path, faults),
            Rule::Pattern(id) => {
                let schema = self.schema;
                if self.is_match(*id, text)? {
                    return Ok(true);
                }
                self.refuse(path, faults, || {
                    let pattern = message::cut(schema.patterns[*id].text(), 100);
                    let text = message::cut(text, 40);
                    format!("must match the pattern `{pattern}`; {} does not (`pattern`)", quote(&Value::String(text)))
                })
            }
            Rule::Format(format) => {
                self.steps.take(format.steps(text))?;
                if format.matches(text) {
                    return Ok(true);
                }
                self.refuse(path, faults, || {
                    let text = message::cut(text, 40);
                    format!(
                        "must be {}, not {} (`format: {}`)",
                        format.expected(),
                        quote(&Value::String(text)),
                        format.name()
                    )
                })
            }
            _ => Ok(true),
        }
    }

    fn length(&mut self, rule: &Rule, text: &str, path: Option<&Path<'_>>, faults: &mut Mismatches) -> Matches {
        self.steps.read(text.len())?;
        let length = text.chars().count();
        let (matches, expected, bound, keyword) = match rule {
            Rule::MinLength(least) => (length >= *least, "at least", *least, "minLength"),
            Rule::MaxLength(most) => (length <= *most, "at most", *most, "maxLength"),
            _ => return Ok(true),
        };
        if matches {
            return Ok(true);
        }
        let bound = message::count(bound, "character", "characters");
        self.refuse(path, faults, || format!("must have {expected} {bound}, not {length} (`{keyword}`)"))
    }

    /// Whether a text matches a pattern.
    pub(super) fn is_match(&mut self, id: usize, text: &str) -> Matches {
        self.caches.is_match(id, &self.schema.patterns[id], text, &mut self.steps)
    }
}

/// Why none of the alternatives matched.
fn alternatives(keyword: &str, count: usize, reasons: &[FieldError], path: Option<&Path<'_>>) -> String {
    let here = message::pointer(path);
    let mut text = format!("must match one of {count} alternatives (`{keyword}`)");
    for (at, reason) in reasons.iter().enumerate() {
        let within = reason.pointer.strip_prefix(here.as_str()).filter(|within| !within.is_empty());
        let within = within.map(|within| format!("`{within}` ")).unwrap_or_default();
        let separator = if at == 0 { ':' } else { ';' };
        let _ = write!(text, "{separator} {}) {within}{}", at + 1, message::cut(&reason.detail, 120));
    }
    if count > reasons.len() {
        text.push_str("; …");
    }
    text
}
