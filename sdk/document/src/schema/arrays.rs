//! Rules for arrays.

use serde_json::Value;

use super::{
    check::{Checker, Matches, Mismatches},
    equal,
    message::{self, Path, Segment},
    rule::{NodeId, Rule},
};

impl Rule {
    pub(super) fn is_for_arrays(&self) -> bool {
        matches!(
            self,
            Self::MinItems(_)
                | Self::MaxItems(_)
                | Self::UniqueItems
                | Self::PrefixItems(_)
                | Self::Items { .. }
                | Self::Contains { .. }
        )
    }
}

impl Checker<'_> {
    pub(super) fn array(
        &mut self,
        rule: &Rule,
        items: &[Value],
        path: Option<&Path<'_>>,
        faults: &mut Mismatches,
    ) -> Matches {
        match rule {
            Rule::PrefixItems(nodes) => self.prefix(nodes, items, path, faults),
            Rule::Items { from, node } => self.items(*node, *from, items, path, faults),
            Rule::Contains { node, least, most } => self.contains(*node, (*least, *most), items, path, faults),
            Rule::UniqueItems => {
                let repeated = equal::repeated(items, &self.schema.hasher, &mut self.steps)?;
                let Some((first, second)) = repeated else { return Ok(true) };
                self.refuse(path, faults, || {
                    format!("must not have equal items; those at {first} and {second} are (`uniqueItems`)")
                })
            }
            Rule::MinItems(least) if items.len() < *least => self.refuse(path, faults, || {
                format!(
                    "must have at least {}, not {} (`minItems`)",
                    message::count(*least, "item", "items"),
                    items.len()
                )
            }),
            Rule::MaxItems(most) if items.len() > *most => self.refuse(path, faults, || {
                format!(
                    "must have at most {}, not {} (`maxItems`)",
                    message::count(*most, "item", "items"),
                    items.len()
                )
            }),
            _ => Ok(true),
        }
    }

    fn prefix(
        &mut self,
        nodes: &[NodeId],
        items: &[Value],
        path: Option<&Path<'_>>,
        faults: &mut Mismatches,
    ) -> Matches {
        let mut matches = true;
        for (index, (node, item)) in nodes.iter().zip(items).enumerate() {
            let here = Path { within: path, segment: Segment::Index(index) };
            matches &= self.node(*node, item, Some(&here), faults)?;
            if !matches && faults.is_full() {
                break;
            }
        }
        Ok(matches)
    }

    fn items(
        &mut self,
        node: NodeId,
        from: usize,
        items: &[Value],
        path: Option<&Path<'_>>,
        faults: &mut Mismatches,
    ) -> Matches {
        let mut matches = true;
        for (index, item) in items.iter().enumerate().skip(from) {
            let here = Path { within: path, segment: Segment::Index(index) };
            matches &= self.node(node, item, Some(&here), faults)?;
            if !matches && faults.is_full() {
                break;
            }
        }
        Ok(matches)
    }

    fn contains(
        &mut self,
        node: NodeId,
        (least, most): (usize, Option<usize>),
        items: &[Value],
        path: Option<&Path<'_>>,
        faults: &mut Mismatches,
    ) -> Matches {
        let mut found = 0_usize;
        for item in items {
            found += usize::from(self.is_valid(node, item)?);
            if most.is_none() && found >= least {
                return Ok(true);
            }
            if most.is_some_and(|most| found > most) {
                break;
            }
        }
        if let Some(most) = most.filter(|most| found > *most) {
            let most = message::count(most, "item", "items");
            return self.refuse(path, faults, || {
                format!("must have at most {most} matching `contains`, not more (`maxContains`)")
            });
        }
        if found >= least {
            return Ok(true);
        }
        let least = message::count(least, "item", "items");
        self.refuse(path, faults, || {
            format!("must have at least {least} matching `contains`, not {found} (`contains`)")
        })
    }
}
