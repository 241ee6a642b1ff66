//! What is to be done next: the decisions of a driver, without any doing.
//!
//! A [`GraphProgress`] is informed which steps ended and how, and says which are to start, which are skipped, and at last
//! how the run ends. It knows nothing of sandboxes, time or the network, and its decisions depend on how steps
//! ended only, not on the order in which they did.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
};

use restroy_sdk::document::{Document, When};

/// A step's place in the document.
pub(crate) type StepIndex = usize;

/// How a step ended, as far as others need to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepEnd {
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

impl StepEnd {
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
    /// The step starts. Its end is reported by [`GraphProgress::ended`].
    Start(StepIndex),
    /// The step is skipped; its end is [`StepEnd::NeedsFailed`] or [`StepEnd::NotCalledFor`] and needs no
    /// telling.
    Skip(StepIndex, StepEnd),
}

/// A document that is not a graph. Publishing refuses these, so it is our error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GraphError {
    /// A step needs one that is not there.
    Unknown {
        /// The step that has the dependency.
        step: String,
        /// The dependency, which the document does not define.
        needs: String,
    },
    /// Steps need one another.
    Cycle,
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { step, needs } => write!(f, "the step `{step}` needs `{needs}`, which is not there"),
            Self::Cycle => f.write_str("its steps depend on each other in a cycle"),
        }
    }
}

#[derive(Debug)]
struct GraphNode {
    needs: Vec<StepIndex>,
    needed_by: Vec<StepIndex>,
    when: When,
    continue_on_failure: bool,
}

/// The steps and what they need.
#[derive(Debug)]
pub(crate) struct Graph {
    nodes: Vec<GraphNode>,
}

impl Graph {
    /// The graph of a document; steps are numbered in its order.
    pub(crate) fn new(document: &Document) -> Result<Self, GraphError> {
        let index: HashMap<&str, StepIndex> =
            document.steps.keys().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
        let mut nodes = Vec::with_capacity(document.steps.len());
        for (name, step) in &document.steps {
            let mut needs = Vec::with_capacity(step.needs.len());
            for need in &step.needs {
                let unknown = || GraphError::Unknown { step: name.clone(), needs: need.clone() };
                let need = *index.get(need.as_str()).ok_or_else(unknown)?;
                if !needs.contains(&need) {
                    needs.push(need);
                }
            }
            let (when, continue_on_failure) = (step.when, step.continue_on_failure);
            nodes.push(GraphNode { needs, needed_by: Vec::new(), when, continue_on_failure });
        }
        for index in 0..nodes.len() {
            for need in nodes[index].needs.clone() {
                nodes[need].needed_by.push(index);
            }
        }
        let graph = Self { nodes };
        if graph.has_cycle() { Err(GraphError::Cycle) } else { Ok(graph) }
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
pub(crate) struct GraphProgress<'a> {
    graph: &'a Graph,
    ends: Vec<Option<StepEnd>>,
    /// How many of its needs each step still waits for.
    open: Vec<usize>,
    /// Steps whose needs have all ended and that were not decided on.
    free: VecDeque<StepIndex>,
    /// How many steps have not ended.
    left: usize,
}

impl<'a> GraphProgress<'a> {
    /// A run from where it stands: `ends` holds what ended earlier. Steps that are not among them
    /// start or are skipped, whatever was begun of them.
    pub(crate) fn new(graph: &'a Graph, ends: impl IntoIterator<Item = (StepIndex, StepEnd)>) -> Self {
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
    pub(crate) fn next_decision(&mut self) -> Option<Decision> {
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
        let any_failed = ends().any(StepEnd::failed);
        match node.when {
            When::Always => Decision::Start(step),
            When::AnyFailed if any_failed => Decision::Start(step),
            When::AllSucceeded if ends().all(StepEnd::succeeded) => Decision::Start(step),
            When::AllSucceeded if any_failed => Decision::Skip(step, StepEnd::NeedsFailed),
            When::AllSucceeded | When::AnyFailed => Decision::Skip(step, StepEnd::NotCalledFor),
        }
    }

    /// A step that was started ended.
    pub(crate) fn ended(&mut self, step: StepIndex, end: StepEnd) {
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
    pub(crate) fn failed_step(&self) -> Option<StepIndex> {
        (0..self.ends.len())
            .find(|step| self.ends[*step] == Some(StepEnd::Failed) && !self.graph.nodes[*step].continue_on_failure)
    }
}

#[cfg(test)]
mod tests;
