//! Rules for objects.

use serde_json::{Map, Value};

use super::{
    check::{Checker, Matches, Mismatches},
    message::{self, Path, Segment},
    rule::{NodeId, Properties, Rule},
};

impl Rule {
    pub(super) fn is_for_objects(&self) -> bool {
        matches!(
            self,
            Self::Required(_)
                | Self::MinProperties(_)
                | Self::MaxProperties(_)
                | Self::DependentRequired(_)
                | Self::PropertyNames(_)
                | Self::Properties(_)
        )
    }
}

type Fields = Map<String, Value>;

impl Checker<'_> {
    pub(super) fn object(
        &mut self,
        rule: &Rule,
        fields: &Fields,
        path: Option<&Path<'_>>,
        faults: &mut Mismatches,
    ) -> Matches {
        match rule {
            Rule::Properties(properties) => self.properties(properties, fields, path, faults),
            Rule::PropertyNames(node) => self.names(*node, fields, path, faults),
            Rule::Required(names) => self.required(names, None, fields, path, faults),
            Rule::DependentRequired(all) => self.dependent(all, fields, path, faults),
            Rule::MinProperties(least) if fields.len() < *least => self.refuse(path, faults, || {
                let least = message::count(*least, "property", "properties");
                format!("must have at least {least}, not {} (`minProperties`)", fields.len())
            }),
            Rule::MaxProperties(most) if fields.len() > *most => self.refuse(path, faults, || {
                let most = message::count(*most, "property", "properties");
                format!("must have at most {most}, not {} (`maxProperties`)", fields.len())
            }),
            _ => Ok(true),
        }
    }

    fn required(
        &mut self,
        names: &[String],
        because: Option<&str>,
        fields: &Fields,
        path: Option<&Path<'_>>,
        faults: &mut Mismatches,
    ) -> Matches {
        let mut matches = true;
        for name in names {
            self.steps.read(name.len())?;
            if fields.contains_key(name) {
                continue;
            }
            matches = self.refuse(path, faults, || match because {
                None => format!("must have the property {} (`required`)", message::name(name)),
                Some(other) => format!(
                    "must have the property {} beside {} (`dependentRequired`)",
                    message::name(name),
                    message::name(other)
                ),
            })?;
            if faults.is_full() {
                break;
            }
        }
        Ok(matches)
    }

    fn dependent(
        &mut self,
        all: &[(String, Vec<String>)],
        fields: &Fields,
        path: Option<&Path<'_>>,
        faults: &mut Mismatches,
    ) -> Matches {
        let mut matches = true;
        for (name, names) in all {
            self.steps.read(name.len())?;
            if fields.contains_key(name) {
                matches &= self.required(names, Some(name), fields, path, faults)?;
            }
            if !matches && faults.is_full() {
                break;
            }
        }
        Ok(matches)
    }

    fn names(&mut self, node: NodeId, fields: &Fields, path: Option<&Path<'_>>, faults: &mut Mismatches) -> Matches {
        let mut matches = true;
        for name in fields.keys() {
            self.steps.read(name.len())?;
            let mut why = Mismatches::up_to(usize::from(!faults.is_full()));
            let value = Value::String(name.clone());
            if self.node(node, &value, path, &mut why)? {
                continue;
            }
            let reason = why.into_detail();
            matches = self.refuse(path, faults, || {
                format!(
                    "has the property {}, whose name {} (`propertyNames`)",
                    message::name(name),
                    message::cut(&reason, 200)
                )
            })?;
            if faults.is_full() {
                break;
            }
        }
        Ok(matches)
    }

    fn properties(
        &mut self,
        properties: &Properties,
        fields: &Fields,
        path: Option<&Path<'_>>,
        faults: &mut Mismatches,
    ) -> Matches {
        let mut matches = true;
        for (name, value) in fields {
            self.steps.read(name.len())?;
            matches &= self.property(properties, name, value, path, faults)?;
            if !matches && faults.is_full() {
                break;
            }
        }
        Ok(matches)
    }

    fn property(
        &mut self,
        properties: &Properties,
        name: &str,
        value: &Value,
        path: Option<&Path<'_>>,
        faults: &mut Mismatches,
    ) -> Matches {
        let here = Path { within: path, segment: Segment::Key(name) };
        let (mut matches, mut known) = (true, false);
        if let Some(node) = properties.named.get(name) {
            known = true;
            matches &= self.node(*node, value, Some(&here), faults)?;
        }
        for (pattern, node) in &properties.patterns {
            if self.is_match(*pattern, name)? {
                known = true;
                matches &= self.node(*node, value, Some(&here), faults)?;
            }
        }
        match properties.additional {
            Some(_) if !known && properties.closed => {
                if !faults.is_full() {
                    // The search for a name that was meant.
                    self.steps.take((properties.named.len() * name.len()).min(25_000))?;
                }
                self.refuse(Some(&here), faults, || unexpected(properties, name))
            }
            Some(node) if !known => Ok(self.node(node, value, Some(&here), faults)? && matches),
            _ => Ok(matches),
        }
    }
}

/// What is said about a property that is not allowed.
fn unexpected(properties: &Properties, name: &str) -> String {
    let hint = crate::suggest::hint(name, properties.named.keys().map(String::as_str));
    format!("is not a property that is allowed here (`additionalProperties`){hint}")
}
