//! What is to be done next: the decisions of a driver, without any doing.
//!
//! A [`Walk`] is told which steps ended and how, and says which are to start, which are skipped, and
//! at last how the run ends. It knows nothing of sandboxes, time or the network, and its decisions
//! depend on how steps ended only, not on the order in which they did.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
};

use restroy_sdk::document::{Document, When};

/// A step's place in the document.
pub(crate) type StepIndex = usize;

/// How a step ended, as far as others need to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It returned an output.
    Succeeded,
    /// Its `if` was false: for others it succeeded, with nil.
    NotWanted,
    /// It ran and did not succeed.
    Failed,
    /// It was skipped because something that it needs failed.
    NeedsFailed,
    /// It was skipped because what it is for (`when`) did not come about; nothing failed.
    NotCalledFor,
}

impl End {
    fn succeeded(self) -> bool {
        matches!(self, Self::Succeeded | Self::NotWanted)
    }

    fn failed(self) -> bool {
        matches!(self, Self::Failed | Self::NeedsFailed)
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The step starts. Its end is told by [`Walk::ended`].
    Start(StepIndex),
    /// The step is skipped; its end is [`End::NeedsFailed`] or [`End::NotCalledFor`] and needs no
    /// telling.
    Skip(StepIndex, End),
}

/// A document that is not a graph. Publishing refuses these, so it is our fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotAGraph {
    /// A step needs one that is not there.
    Unknown {
        /// Who.
        step: String,
        /// What.
        needs: String,
    },
    /// Steps need one another.
    Cycle,
}

impl fmt::Display for NotAGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { step, needs } => write!(f, "the step `{step}` needs `{needs}`, which is not there"),
            Self::Cycle => f.write_str("its steps need one another in a circle"),
        }
    }
}

#[derive(Debug)]
struct Node {
    needs: Vec<StepIndex>,
    needed_by: Vec<StepIndex>,
    when: When,
    continue_on_failure: bool,
}

/// The steps and what they need.
#[derive(Debug)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    /// The graph of a document; steps are numbered in its order.
    pub(crate) fn new(document: &Document) -> Result<Self, NotAGraph> {
        let index: HashMap<&str, StepIndex> =
            document.steps.keys().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
        let mut nodes = Vec::with_capacity(document.steps.len());
        for (name, step) in &document.steps {
            let mut needs = Vec::with_capacity(step.needs.len());
            for need in &step.needs {
                let unknown = || NotAGraph::Unknown { step: name.clone(), needs: need.clone() };
                let need = *index.get(need.as_str()).ok_or_else(unknown)?;
                if !needs.contains(&need) {
                    needs.push(need);
                }
            }
            let (when, continue_on_failure) = (step.when, step.continue_on_failure);
            nodes.push(Node { needs, needed_by: Vec::new(), when, continue_on_failure });
        }
        for index in 0..nodes.len() {
            for need in nodes[index].needs.clone() {
                nodes[need].needed_by.push(index);
            }
        }
        let graph = Self { nodes };
        if graph.has_cycle() { Err(NotAGraph::Cycle) } else { Ok(graph) }
    }

    /// What a step needs.
    pub(crate) fn needs(&self, step: StepIndex) -> &[StepIndex] {
        &self.nodes[step].needs
    }

    fn has_cycle(&self) -> bool {
        let mut open: Vec<usize> = self.nodes.iter().map(|node| node.needs.len()).collect();
        let mut free: Vec<StepIndex> = (0..self.nodes.len()).filter(|step| open[*step] == 0).collect();
        let mut reached = 0;
        while let Some(step) = free.pop() {
            reached += 1;
            for next in &self.nodes[step].needed_by {
                open[*next] -= 1;
                if open[*next] == 0 {
                    free.push(*next);
                }
            }
        }
        reached < self.nodes.len()
    }
}

/// A run on its way through a graph.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    graph: &'a Graph,
    ends: Vec<Option<End>>,
    /// How many of its needs each step still waits for.
    open: Vec<usize>,
    /// Steps whose needs have all ended and that were not decided on.
    free: VecDeque<StepIndex>,
    /// How many steps have not ended.
    left: usize,
}

impl<'a> Walk<'a> {
    /// A run from where it stands: `ends` holds what ended earlier. Steps that are not among them
    /// start or are skipped, whatever was begun of them.
    pub(crate) fn new(graph: &'a Graph, ends: impl IntoIterator<Item = (StepIndex, End)>) -> Self {
        let mut walk = Self {
            graph,
            ends: vec![None; graph.nodes.len()],
            open: graph.nodes.iter().map(|node| node.needs.len()).collect(),
            free: VecDeque::new(),
            left: graph.nodes.len(),
        };
        for (step, end) in ends {
            if walk.ends[step].replace(end).is_none() {
                walk.left -= 1;
            }
        }
        for step in 0..graph.nodes.len() {
            if walk.ends[step].is_some() {
                for next in &graph.nodes[step].needed_by {
                    walk.open[*next] -= 1;
                }
            }
        }
        walk.free = (0..graph.nodes.len()).filter(|step| walk.open[*step] == 0 && walk.ends[*step].is_none()).collect();
        walk
    }

    /// What is to be done next; none when everything that can be done now was said.
    pub(crate) fn next(&mut self) -> Option<Decision> {
        let step = self.free.pop_front()?;
        let decision = self.decide(step);
        if let Decision::Skip(_, end) = decision {
            self.ended(step, end);
        }
        Some(decision)
    }

    fn decide(&self, step: StepIndex) -> Decision {
        let node = &self.graph.nodes[step];
        let ends = || node.needs.iter().filter_map(|need| self.ends[*need]);
        let any_failed = ends().any(End::failed);
        match node.when {
            When::Always => Decision::Start(step),
            When::AnyFailed if any_failed => Decision::Start(step),
            When::AllSucceeded if ends().all(End::succeeded) => Decision::Start(step),
            When::AllSucceeded if any_failed => Decision::Skip(step, End::NeedsFailed),
            When::AllSucceeded | When::AnyFailed => Decision::Skip(step, End::NotCalledFor),
        }
    }

    /// A step that was started ended.
    pub(crate) fn ended(&mut self, step: StepIndex, end: End) {
        if self.ends[step].replace(end).is_some() {
            return;
        }
        self.left -= 1;
        for next in &self.graph.nodes[step].needed_by {
            self.open[*next] -= 1;
            if self.open[*next] == 0 && self.ends[*next].is_none() {
                self.free.push_back(*next);
            }
        }
    }

    /// Whether every step has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// The first step, in the document's order, that makes the run fail.
    pub(crate) fn culprit(&self) -> Option<StepIndex> {
        (0..self.ends.len())
            .find(|step| self.ends[*step] == Some(End::Failed) && !self.graph.nodes[*step].continue_on_failure)
    }
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use proptest::prelude::*;
    use restroy_sdk::document::Step;

    use super::*;

    fn document(steps: impl IntoIterator<Item = (String, Step)>) -> Document {
        Document {
            restroy: 1,
            name: None,
            description: None,
            params: None,
            library: IndexMap::new(),
            steps: steps.into_iter().collect::<IndexMap<_, _>>(),
            concurrency: None,
            schedules: IndexMap::new(),
        }
    }

    fn step(needs: &[&str], when: When) -> Step {
        Step { needs: needs.iter().map(|need| (*need).to_owned()).collect(), when, ..Step::default() }
    }

    fn named(steps: &[(&str, Step)]) -> Document {
        document(steps.iter().map(|(name, step)| ((*name).to_owned(), step.clone())))
    }

    /// Walks to the end; `fate` says how each started step ends.
    fn finish(graph: &Graph, fate: impl Fn(StepIndex) -> End) -> (Vec<Decision>, Vec<End>, Option<StepIndex>) {
        let mut walk = Walk::new(graph, []);
        let mut decisions = Vec::new();
        while let Some(decision) = walk.next() {
            decisions.push(decision);
            if let Decision::Start(step) = decision {
                walk.ended(step, fate(step));
            }
        }
        assert!(walk.is_over());
        let culprit = walk.culprit();
        (decisions, walk.ends.iter().map(|end| end.unwrap()).collect(), culprit)
    }

    #[test]
    fn a_failure_skips_what_depends_on_it_and_calls_for_its_handlers() {
        let graph = Graph::new(&named(&[
            ("a", step(&[], When::AllSucceeded)),
            ("b", step(&["a"], When::AllSucceeded)),
            ("c", step(&["b"], When::AnyFailed)),
            ("d", step(&["b"], When::Always)),
            ("e", step(&["c"], When::AllSucceeded)),
        ]))
        .unwrap();
        let (_, ends, culprit) = finish(&graph, |step| if step == 0 { End::Failed } else { End::Succeeded });
        assert_eq!(ends, [End::Failed, End::NeedsFailed, End::Succeeded, End::Succeeded, End::Succeeded]);
        assert_eq!(culprit, Some(0));

        let (_, ends, culprit) = finish(&graph, |_| End::Succeeded);
        assert_eq!(ends, [End::Succeeded, End::Succeeded, End::NotCalledFor, End::Succeeded, End::NotCalledFor]);
        assert_eq!(culprit, None);
    }

    #[test]
    fn a_step_that_was_not_wanted_counts_as_succeeded() {
        let graph = Graph::new(&named(&[
            ("a", step(&[], When::AllSucceeded)),
            ("b", step(&["a"], When::AllSucceeded)),
            ("c", step(&["a"], When::AnyFailed)),
        ]))
        .unwrap();
        let (_, ends, culprit) = finish(&graph, |step| if step == 0 { End::NotWanted } else { End::Succeeded });
        assert_eq!(ends, [End::NotWanted, End::Succeeded, End::NotCalledFor]);
        assert_eq!(culprit, None);
    }

    #[test]
    fn a_failure_that_may_be_does_not_fail_the_run() {
        let mut lenient = step(&[], When::AllSucceeded);
        lenient.continue_on_failure = true;
        let graph = Graph::new(&named(&[("a", lenient), ("b", step(&["a"], When::AllSucceeded))])).unwrap();
        let (_, ends, culprit) = finish(&graph, |_| End::Failed);
        assert_eq!(ends, [End::Failed, End::NeedsFailed]);
        assert_eq!(culprit, None);
    }

    #[test]
    fn what_is_no_graph_is_refused() {
        let cycle = named(&[("a", step(&["b"], When::Always)), ("b", step(&["a"], When::Always))]);
        assert_eq!(Graph::new(&cycle).unwrap_err(), NotAGraph::Cycle);
        let itself = named(&[("a", step(&["a"], When::Always))]);
        assert_eq!(Graph::new(&itself).unwrap_err(), NotAGraph::Cycle);
        let unknown = named(&[("a", step(&["x"], When::Always))]);
        assert!(matches!(Graph::new(&unknown), Err(NotAGraph::Unknown { needs, .. }) if needs == "x"));
    }

    /// Graphs whose steps need earlier ones, with a fate for each step.
    fn worlds() -> impl Strategy<Value = (Document, Vec<End>)> {
        let when = prop_oneof![
            4 => Just(When::AllSucceeded),
            1 => Just(When::AnyFailed),
            1 => Just(When::Always),
        ];
        let fate = prop_oneof![4 => Just(End::Succeeded), 2 => Just(End::Failed), 1 => Just(End::NotWanted)];
        prop::collection::vec(
            (prop::collection::vec(any::<prop::sample::Index>(), 0..4), when, fate, any::<bool>()),
            1..14,
        )
        .prop_map(|steps| {
            let mut fates = Vec::new();
            let mut named = Vec::new();
            for (index, (needs, when, fate, lenient)) in steps.into_iter().enumerate() {
                let needs = if index == 0 { Vec::new() } else { needs };
                let needs = needs.iter().map(|need| format!("s{}", need.index(index))).collect();
                let step = Step { needs, when, continue_on_failure: lenient, ..Step::default() };
                named.push((format!("s{index}"), step));
                fates.push(fate);
            }
            (document(named), fates)
        })
    }

    proptest! {
        #[test]
        fn every_step_is_decided_once_and_after_what_it_needs(
            (document, fates) in worlds(),
            order in prop::collection::vec(any::<prop::sample::Index>(), 40),
        ) {
            let graph = Graph::new(&document).unwrap();
            let (_, ends, culprit) = finish(&graph, |step| fates[step]);

            // The same with many steps under way at once, ending in any order.
            let mut walk = Walk::new(&graph, []);
            let mut under_way: Vec<StepIndex> = Vec::new();
            let mut decided = vec![0; fates.len()];
            let mut order = order.iter().cycle();
            loop {
                while let Some(decision) = walk.next() {
                    let step = match decision {
                        Decision::Start(step) => {
                            under_way.push(step);
                            step
                        }
                        Decision::Skip(step, _) => step,
                    };
                    decided[step] += 1;
                    prop_assert!(graph.needs(step).iter().all(|need| walk.ends[*need].is_some()));
                    prop_assert!(!graph.needs(step).iter().any(|need| under_way.contains(need)));
                }
                if under_way.is_empty() {
                    break;
                }
                let step = under_way.swap_remove(order.next().unwrap().index(under_way.len()));
                walk.ended(step, fates[step]);
            }
            prop_assert!(walk.is_over());
            prop_assert!(decided.iter().all(|times| *times == 1));
            prop_assert_eq!(walk.ends.iter().map(|end| end.unwrap()).collect::<Vec<_>>(), ends);
            prop_assert_eq!(walk.culprit(), culprit);
        }

        #[test]
        fn a_takeover_comes_to_the_same_end_and_starts_nothing_twice(
            (document, fates) in worlds(),
            stop_after in 0..30_usize,
        ) {
            let graph = Graph::new(&document).unwrap();
            let (_, ends, culprit) = finish(&graph, |step| fates[step]);
            let mut first = Walk::new(&graph, []);
            for _ in 0..stop_after {
                if let Some(Decision::Start(step)) = first.next() {
                    first.ended(step, fates[step]);
                }
            }
            let committed: Vec<_> =
                first.ends.iter().enumerate().filter_map(|(step, end)| end.map(|end| (step, end))).collect();
            let mut second = Walk::new(&graph, committed.iter().copied());
            while let Some(decision) = second.next() {
                match decision {
                    Decision::Start(step) => {
                        prop_assert!(!committed.iter().any(|(done, _)| *done == step));
                        second.ended(step, fates[step]);
                    }
                    Decision::Skip(step, _) => prop_assert!(!committed.iter().any(|(done, _)| *done == step)),
                }
            }
            prop_assert!(second.is_over());
            prop_assert_eq!(second.ends.iter().map(|end| end.unwrap()).collect::<Vec<_>>(), ends);
            prop_assert_eq!(second.culprit(), culprit);
        }

        #[test]
        fn the_run_fails_exactly_when_a_step_does_that_may_not((document, fates) in worlds()) {
            let graph = Graph::new(&document).unwrap();
            let (decisions, _, culprit) = finish(&graph, |step| fates[step]);
            let fatal = decisions.iter().any(|decision| match decision {
                Decision::Start(step) => fates[*step] == End::Failed && !document.steps[*step].continue_on_failure,
                Decision::Skip(..) => false,
            });
            prop_assert_eq!(culprit.is_some(), fatal);
        }
    }
}
