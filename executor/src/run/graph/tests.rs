//! What it does, case by case.

use indexmap::IndexMap;
use proptest::prelude::*;
use restroy_sdk::document::{Step, StepKind};

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

fn script() -> Step {
    Step::new(StepKind::Script("a.lua".to_owned()))
}

fn step(needs: &[&str], when: When) -> Step {
    Step { needs: needs.iter().map(|need| (*need).to_owned()).collect(), when, ..script() }
}

fn named(steps: &[(&str, Step)]) -> Document {
    document(steps.iter().map(|(name, step)| ((*name).to_owned(), step.clone())))
}

/// Walks to the end; `fate` says how each started step ends.
fn finish(graph: &Graph, fate: impl Fn(StepIndex) -> StepEnd) -> (Vec<Decision>, Vec<StepEnd>, Option<StepIndex>) {
    let mut walk = GraphProgress::new(graph, []);
    let mut decisions = Vec::new();
    while let Some(decision) = walk.next_decision() {
        decisions.push(decision);
        if let Decision::Start(step) = decision {
            walk.ended(step, fate(step));
        }
    }
    assert!(walk.is_over());
    let culprit = walk.failed_step();
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
    let (_, ends, culprit) = finish(&graph, |step| if step == 0 { StepEnd::Failed } else { StepEnd::Succeeded });
    assert_eq!(
        ends,
        [StepEnd::Failed, StepEnd::NeedsFailed, StepEnd::Succeeded, StepEnd::Succeeded, StepEnd::Succeeded]
    );
    assert_eq!(culprit, Some(0));

    let (_, ends, culprit) = finish(&graph, |_| StepEnd::Succeeded);
    assert_eq!(
        ends,
        [StepEnd::Succeeded, StepEnd::Succeeded, StepEnd::NotCalledFor, StepEnd::Succeeded, StepEnd::NotCalledFor]
    );
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
    let (_, ends, culprit) = finish(&graph, |step| if step == 0 { StepEnd::NotWanted } else { StepEnd::Succeeded });
    assert_eq!(ends, [StepEnd::NotWanted, StepEnd::Succeeded, StepEnd::NotCalledFor]);
    assert_eq!(culprit, None);
}

#[test]
fn a_failure_that_may_be_does_not_fail_the_run() {
    let mut lenient = step(&[], When::AllSucceeded);
    lenient.continue_on_failure = true;
    let graph = Graph::new(&named(&[("a", lenient), ("b", step(&["a"], When::AllSucceeded))])).unwrap();
    let (_, ends, culprit) = finish(&graph, |_| StepEnd::Failed);
    assert_eq!(ends, [StepEnd::Failed, StepEnd::NeedsFailed]);
    assert_eq!(culprit, None);
}

#[test]
fn an_invalid_graph_is_refused() {
    let cycle = named(&[("a", step(&["b"], When::Always)), ("b", step(&["a"], When::Always))]);
    assert_eq!(Graph::new(&cycle).unwrap_err(), GraphError::Cycle);
    let itself = named(&[("a", step(&["a"], When::Always))]);
    assert_eq!(Graph::new(&itself).unwrap_err(), GraphError::Cycle);
    let unknown = named(&[("a", step(&["x"], When::Always))]);
    assert!(matches!(Graph::new(&unknown), Err(GraphError::Unknown { needs, .. }) if needs == "x"));
}

/// Graphs whose steps need earlier ones, with a fate for each step.
fn worlds() -> impl Strategy<Value = (Document, Vec<StepEnd>)> {
    let when = prop_oneof![
        4 => Just(When::AllSucceeded),
        1 => Just(When::AnyFailed),
        1 => Just(When::Always),
    ];
    let fate = prop_oneof![4 => Just(StepEnd::Succeeded), 2 => Just(StepEnd::Failed), 1 => Just(StepEnd::NotWanted)];
    prop::collection::vec((prop::collection::vec(any::<prop::sample::Index>(), 0..4), when, fate, any::<bool>()), 1..14)
        .prop_map(|steps| {
            let mut fates = Vec::new();
            let mut named = Vec::new();
            for (index, (needs, when, fate, lenient)) in steps.into_iter().enumerate() {
                let needs = if index == 0 { Vec::new() } else { needs };
                let needs = needs.iter().map(|need| format!("s{}", need.index(index))).collect();
                let step = Step { needs, when, continue_on_failure: lenient, ..script() };
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
        let mut walk = GraphProgress::new(&graph, []);
        let mut under_way: Vec<StepIndex> = Vec::new();
        let mut decided = vec![0; fates.len()];
        let mut order = order.iter().cycle();
        loop {
            while let Some(decision) = walk.next_decision() {
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
        prop_assert_eq!(walk.failed_step(), culprit);
    }

    #[test]
    fn a_takeover_comes_to_the_same_end_and_starts_nothing_twice(
        (document, fates) in worlds(),
        stop_after in 0..30_usize,
    ) {
        let graph = Graph::new(&document).unwrap();
        let (_, ends, culprit) = finish(&graph, |step| fates[step]);
        let mut first = GraphProgress::new(&graph, []);
        for _ in 0..stop_after {
            if let Some(Decision::Start(step)) = first.next_decision() {
                first.ended(step, fates[step]);
            }
        }
        let committed: Vec<_> =
            first.ends.iter().enumerate().filter_map(|(step, end)| end.map(|end| (step, end))).collect();
        let mut second = GraphProgress::new(&graph, committed.iter().copied());
        while let Some(decision) = second.next_decision() {
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
        prop_assert_eq!(second.failed_step(), culprit);
    }

    #[test]
    fn the_run_fails_exactly_when_a_step_does_that_may_not((document, fates) in worlds()) {
        let graph = Graph::new(&document).unwrap();
        let (decisions, _, culprit) = finish(&graph, |step| fates[step]);
        let fatal = decisions.iter().any(|decision| match decision {
            Decision::Start(step) => fates[*step] == StepEnd::Failed && !document.steps[*step].continue_on_failure,
            Decision::Skip(..) => false,
        });
        prop_assert_eq!(culprit.is_some(), fatal);
    }
}
