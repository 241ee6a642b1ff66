//! Subschemas and references as a graph: no circle, and neither too deep nor too much when it is unfolded.

use super::{MAX_DEPTH, MAX_UNFOLDED, SchemaError, compile::Builder, rule::NodeId};

/// What is known of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum VisitState {
    Not,
    /// On the way to where the search is.
    Open,
    Done {
        depth: usize,
        unfolded: u64,
    },
}

/// Checks the graph, by depth first and without recursion, and marks each node whether defaults lie within.
pub(super) fn check(builder: &mut Builder<'_>) {
    let mut seen = vec![VisitState::Not; builder.nodes.len()];
    for root in 0..builder.nodes.len() {
        if seen[root] == VisitState::Not
            && let Err((id, detail)) = visit(builder, &mut seen, root)
        {
            let pointer = builder.pointer(id);
            builder.errors.push(SchemaError { pointer, detail });
            return;
        }
    }
    defaults(builder, &seen);
}

fn visit(builder: &Builder<'_>, seen: &mut [VisitState], root: NodeId) -> Result<(), (NodeId, String)> {
    // Each with its children, and how many of them are done.
    let mut open = vec![(root, children(builder, root), 0)];
    seen[root] = VisitState::Open;
    while let Some((id, below, next)) = open.last_mut() {
        if let Some(child) = below.get(*next).copied() {
            *next += 1;
            match seen[child] {
                VisitState::Done { .. } => {}
                VisitState::Open => {
                    return Err((
                        *id,
                        "refers to a schema that it lies in: recursive schemas are not supported".into(),
                    ));
                }
                VisitState::Not => {
                    seen[child] = VisitState::Open;
                    open.push((child, children(builder, child), 0));
                }
            }
            continue;
        }
        let (mut depth, mut unfolded) = (1, 1_u64);
        for child in &*below {
            if let VisitState::Done { depth: of_child, unfolded: child } = seen[*child] {
                depth = depth.max(1 + of_child);
                unfolded = unfolded.saturating_add(child);
            }
        }
        if depth > MAX_DEPTH {
            return Err((
                *id,
                format!("subschemas lie more than {MAX_DEPTH} deep within each other from here, references followed"),
            ));
        }
        if unfolded > MAX_UNFOLDED {
            return Err((
                *id,
                format!(
                    "with its references unfolded this comes to more than {MAX_UNFOLDED} subschemas: refer less often"
                ),
            ));
        }
        seen[*id] = VisitState::Done { depth, unfolded };
        open.pop();
    }
    Ok(())
}

fn children(builder: &Builder<'_>, id: NodeId) -> Vec<NodeId> {
    let mut children = Vec::new();
    for rule in &builder.nodes[id].rules {
        rule.children(&mut children);
    }
    children
}

/// From the shallow to the deep: a node has defaults within when one of its children is or has one.
fn defaults(builder: &mut Builder<'_>, seen: &[VisitState]) {
    use super::rule::Rule;
    let depth = |id: &NodeId| match seen[*id] {
        VisitState::Done { depth, .. } => depth,
        _ => 0,
    };
    let mut order: Vec<NodeId> = (0..builder.nodes.len()).collect();
    order.sort_by_key(depth);
    for id in order {
        let has =
            |nodes: &[super::rule::Node], child: NodeId| nodes[child].default.is_some() || nodes[child].has_defaults;
        let mut found = false;
        let mut rules = std::mem::take(&mut builder.nodes[id].rules);
        for rule in &mut rules {
            match rule {
                Rule::Ref(node) | Rule::Items { node, .. } => found |= has(&builder.nodes, *node),
                Rule::AllOf(nodes) | Rule::PrefixItems(nodes) => {
                    found |= nodes.iter().any(|node| has(&builder.nodes, *node));
                }
                Rule::Properties(properties) => {
                    let mut named: Vec<(String, NodeId)> = properties
                        .named
                        .iter()
                        .filter(|(_, node)| has(&builder.nodes, **node))
                        .map(|(name, node)| (name.clone(), *node))
                        .collect();
                    // Nodes are numbered in the schema's order.
                    named.sort_by_key(|(_, node)| *node);
                    found |= !named.is_empty();
                    properties.with_defaults = named;
                }
                _ => {}
            }
        }
        builder.nodes[id].rules = rules;
        builder.nodes[id].has_defaults = found;
    }
}
