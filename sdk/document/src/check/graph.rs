//! The graph that the steps' `needs` draw.

use std::collections::VecDeque;

use petgraph::{
    algo::tarjan_scc,
    graph::{DiGraph, NodeIndex},
};

use super::step_pointer;
use restroy_model::problem::FieldError;

use crate::{Document, pointer};

/// One error for every knot of steps that wait for each other, with one whole cycle of it.
pub(super) fn check(document: &Document, faults: &mut Vec<FieldError>) {
    let mut graph: DiGraph<(), ()> = DiGraph::new();
    for _ in &document.steps {
        graph.add_node(());
    }
    for (index, (name, step)) in document.steps.iter().enumerate() {
        // A step that needs itself is reported where it stands.
        for needed in step.needs.iter().filter(|needed| *needed != name) {
            if let Some(needed) = document.steps.get_index_of(needed) {
                graph.add_edge(NodeIndex::new(index), NodeIndex::new(needed), ());
            }
        }
    }
    let mut knots: Vec<Vec<usize>> = tarjan_scc(&graph)
        .into_iter()
        .filter(|knot| knot.len() > 1)
        .map(|knot| knot.into_iter().map(NodeIndex::index).collect())
        .collect();
    for knot in &mut knots {
        knot.sort_unstable();
    }
    knots.sort_unstable();
    for knot in knots {
        let cycle = cycle(&graph, &knot);
        let name = |index: usize| document.steps.get_index(index).map_or("", |(name, _)| name.as_str());
        let (first, second) = (cycle[0], cycle[1 % cycle.len()]);
        let path: Vec<_> = cycle.iter().chain([&first]).map(|index| format!("`{}`", name(*index))).collect();
        let position = document
            .steps
            .get_index(first)
            .and_then(|(_, step)| step.needs.iter().position(|needed| needed == name(second)));
        let needs = pointer::member(&step_pointer(name(first)), "needs");
        faults.push(FieldError::new(
            position.map_or(needs.clone(), |position| pointer::element(&needs, position)),
            format!("a cycle: {}; remove one of these dependencies", path.join(" needs ")),
        ));
    }
}

/// A shortest cycle through the first step of a knot, each needing the next.
fn cycle(graph: &DiGraph<(), ()>, knot: &[usize]) -> Vec<usize> {
    let start = knot[0];
    let mut came_from = std::collections::HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in graph.neighbors(NodeIndex::new(node)).map(NodeIndex::index) {
            if next == start {
                let mut path = vec![node];
                while let Some(previous) = came_from.get(&path[path.len() - 1]) {
                    path.push(*previous);
                }
                path.reverse();
                return path;
            }
            if knot.binary_search(&next).is_ok() && !came_from.contains_key(&next) {
                came_from.insert(next, node);
                queue.push_back(next);
            }
        }
    }
    // Not reached: in a strongly connected component every step leads back to itself.
    knot.to_vec()
}

/// The steps' names, each after all that it needs; among those that are free to go, the author's
/// order. Steps on a cycle are left out, and needs of unknown steps are passed over: a checked
/// document has neither.
pub fn order(document: &Document) -> Vec<&str> {
    let mut waits: Vec<usize> = vec![0; document.steps.len()];
    let mut dependants: Vec<Vec<usize>> = vec![Vec::new(); document.steps.len()];
    for (index, step) in document.steps.values().enumerate() {
        for needed in step.needs.iter().filter_map(|needed| document.steps.get_index_of(needed)) {
            waits[index] += 1;
            dependants[needed].push(index);
        }
    }
    let mut free: std::collections::BTreeSet<usize> = (0..waits.len()).filter(|index| waits[*index] == 0).collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(index) = free.pop_first() {
        order.extend(document.steps.get_index(index).map(|(name, _)| name.as_str()));
        for dependant in &dependants[index] {
            waits[*dependant] -= 1;
            if waits[*dependant] == 0 {
                free.insert(*dependant);
            }
        }
    }
    order
}
