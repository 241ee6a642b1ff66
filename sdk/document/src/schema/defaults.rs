//! Defaults for what is absent.

use serde_json::Value;

use super::{
    CheckError, MAX_DEFAULTS_BYTES, Schema,
    rule::{NodeId, Properties, Rule},
    steps::Steps,
};

/// Sets defaults in a value.
pub(super) fn apply(schema: &Schema, value: &mut Value, steps: u64) -> Result<(), CheckError> {
    Applier { schema, steps: Steps::up_to(steps), bytes_left: MAX_DEFAULTS_BYTES }.node(0, value)
}

struct Applier<'s> {
    schema: &'s Schema,
    steps: Steps,
    bytes_left: usize,
}

impl Applier<'_> {
    fn node(&mut self, id: NodeId, value: &mut Value) -> Result<(), CheckError> {
        self.steps.take(1)?;
        let node = &self.schema.nodes[id];
        if !node.has_defaults {
            return Ok(());
        }
        for rule in &node.rules {
            self.rule(rule, value)?;
        }
        Ok(())
    }

    fn rule(&mut self, rule: &Rule, value: &mut Value) -> Result<(), CheckError> {
        match rule {
            Rule::Ref(node) => self.node(*node, value),
            Rule::AllOf(nodes) => nodes.iter().try_for_each(|node| self.node(*node, value)),
            Rule::PrefixItems(nodes) => {
                let Value::Array(items) = value else { return Ok(()) };
                nodes.iter().zip(items).try_for_each(|(node, item)| self.node(*node, item))
            }
            Rule::Items { from, node } => {
                let Value::Array(items) = value else { return Ok(()) };
                items.iter_mut().skip(*from).try_for_each(|item| self.node(*node, item))
            }
            Rule::Properties(properties) => self.properties(properties, value),
            _ => Ok(()),
        }
    }

    fn properties(&mut self, properties: &Properties, value: &mut Value) -> Result<(), CheckError> {
        let Value::Object(fields) = value else { return Ok(()) };
        for (name, id) in &properties.with_defaults {
            self.steps.read(name.len())?;
            if !fields.contains_key(name)
                && let Some(default) = &self.schema.nodes[*id].default
            {
                let bytes = default.bytes + name.len() + 4;
                self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or(CheckError::DefaultsTooLarge)?;
                self.steps.take(bytes)?;
                fields.insert(name.clone(), default.value.clone());
            }
            if let Some(found) = fields.get_mut(name) {
                self.node(*id, found)?;
            }
        }
        Ok(())
    }
}
