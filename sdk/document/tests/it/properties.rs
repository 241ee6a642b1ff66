//! What holds of every document.

use std::collections::{BTreeMap, HashMap};

use indexmap::IndexMap;
use proptest::{collection::vec, prelude::*};
use restroy_document::{
    Allow, Backoff, Concurrency, Document, DurationText, Misfire, OnConflict, Overlap, Retry, Schedule, Step, StepKind,
    When, check, order, read_json, read_yaml, to_yaml,
};

/// Texts that tempt a YAML reader to see something else in them.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("yes".to_owned()),
        Just("007".to_owned()),
        Just("1e3".to_owned()),
        Just("<<".to_owned()),
        Just("# x".to_owned()),
        Just("a: b\n- c".to_owned()),
        Just("{{ x }}".to_owned()),
        Just(" x ".to_owned()),
        "[ -~]{0,20}",
        "[a-zа-я\n\t\"'\\\\]{0,12}",
    ]
}

fn key() -> impl Strategy<Value = String> {
    "[A-Za-z_][A-Za-z0-9_]{0,8}"
}

fn span() -> impl Strategy<Value = DurationText> {
    (0..10_000_000u64).prop_map(DurationText::from_millis)
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1.0e6..1.0e6f64).prop_map(Into::into),
        text().prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            vec((key(), inner), 0..4).prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

fn schema() -> impl Strategy<Value = serde_json::Value> {
    vec((key(), json()), 0..4).prop_map(|members| serde_json::Value::Object(members.into_iter().collect()))
}

fn retry() -> impl Strategy<Value = Retry> {
    let backoff = prop_oneof![Just(Backoff::Exponential), Just(Backoff::Linear), Just(Backoff::Constant)];
    (0..20u32, backoff, span(), span()).prop_map(|(max_attempts, backoff, initial, max)| Retry {
        max_attempts,
        backoff,
        initial,
        max,
    })
}

fn allow() -> impl Strategy<Value = Allow> {
    (vec(text(), 0..3), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(http, kv, email, files)| Allow {
        http,
        kv,
        email,
        files,
    })
}

fn script_step() -> impl Strategy<Value = Step> {
    let when = prop_oneof![Just(When::AllSucceeded), Just(When::AnyFailed), Just(When::Always)];
    let what = (
        text().prop_map(StepKind::Script),
        vec(key(), 0..3),
        proptest::option::of(text()),
        proptest::option::of(text()),
        proptest::option::of(any::<u32>()),
        when,
        any::<bool>(),
    );
    let how = (
        vec((key(), text()), 0..3),
        proptest::option::of(schema()),
        vec(key(), 0..3),
        allow(),
        proptest::option::of(retry()),
        proptest::option::of(span()),
    );
    (what, how).prop_map(
        |(
            (kind, needs, condition, for_each, max_parallel, when, continue_on_failure),
            (config, inputs_schema, secrets, allow, retry, timeout),
        )| Step {
            kind,
            inputs_schema,
            needs,
            condition,
            for_each,
            max_parallel,
            when,
            continue_on_failure,
            config: config.into_iter().collect(),
            secrets,
            allow,
            retry,
            timeout,
        },
    )
}

/// A step of any kind, with the fields that its kind has.
fn step() -> impl Strategy<Value = Step> {
    (script_step(), proptest::option::of(span())).prop_map(|(script, sleep)| match sleep {
        Some(duration) => Step {
            needs: script.needs,
            condition: script.condition,
            when: script.when,
            continue_on_failure: script.continue_on_failure,
            ..Step::new(StepKind::Sleep(duration))
        },
        None => script,
    })
}

fn schedule() -> impl Strategy<Value = Schedule> {
    (text(), proptest::option::of(text()), any::<bool>(), any::<bool>()).prop_map(
        |(cron, timezone, misfire, overlap)| Schedule {
            cron,
            timezone,
            misfire: if misfire { Misfire::Skip } else { Misfire::RunOnce },
            overlap: if overlap { Overlap::Allow } else { Overlap::Skip },
        },
    )
}

fn document() -> impl Strategy<Value = Document> {
    let concurrency = (any::<u32>(), any::<bool>(), proptest::option::of(text())).prop_map(|(limit, skip, key)| {
        Concurrency { limit, on_conflict: if skip { OnConflict::Skip } else { OnConflict::CancelRunning }, key }
    });
    (
        any::<u32>(),
        proptest::option::of(text()),
        proptest::option::of(text()),
        proptest::option::of(schema()),
        vec((key(), any::<u32>()), 0..3),
        vec((key(), step()), 0..5),
        proptest::option::of(concurrency),
        vec((key(), schedule()), 0..3),
    )
        .prop_map(|(restroy, name, description, params, library, steps, concurrency, schedules)| Document {
            restroy,
            name,
            description,
            params,
            library: library.into_iter().collect(),
            steps: steps.into_iter().collect(),
            concurrency,
            schedules: schedules.into_iter().collect(),
        })
}

/// Needs of up to twelve steps, each of earlier ones only, under shuffled names.
fn acyclic() -> impl Strategy<Value = Vec<Vec<usize>>> {
    vec(vec(any::<prop::sample::Index>(), 0..4), 1..12).prop_map(|needs| {
        needs
            .into_iter()
            .enumerate()
            .map(|(step, needs)| {
                let mut needs: Vec<_> =
                    needs.into_iter().filter(|_| step > 0).map(|index| index.index(step.max(1))).collect();
                needs.sort_unstable();
                needs.dedup();
                needs
            })
            .collect()
    })
}

/// A document with these needs; the steps stand in the order of `places`.
fn graph(needs: &[Vec<usize>], places: &[usize]) -> Document {
    let name = |step: &usize| format!("s{step}");
    let step = |step: &usize| Step {
        needs: needs[*step].iter().map(name).collect(),
        ..Step::new(StepKind::Script("a.lua".into()))
    };
    let steps: IndexMap<_, _> = places.iter().map(|place| (name(place), step(place))).collect();
    Document {
        restroy: 1,
        name: None,
        description: None,
        params: None,
        library: IndexMap::new(),
        steps,
        concurrency: None,
        schedules: IndexMap::new(),
    }
}

fn files() -> BTreeMap<String, String> {
    BTreeMap::from([("a.lua".into(), String::new())])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_gives_back_what_was_written(document in document()) {
        let json = serde_json::to_string(&document).expect("JSON");
        let read = read_json(&json).expect("readable");
        prop_assert_eq!(&read, &document);
        prop_assert_eq!(serde_json::to_string(&read).expect("JSON"), json, "the order of keys");
    }

    #[test]
    fn yaml_gives_back_what_was_written(document in document()) {
        let yaml = to_yaml(&document).expect("YAML");
        let read = read_yaml(&yaml).map_err(|faults| TestCaseError::fail(format!("{faults:?}\n{yaml}")))?;
        prop_assert_eq!(&read, &document, "{}", yaml);
        // Maps are equal whatever the order of their keys; the texts are not.
        let json = |document: &Document| serde_json::to_string(document).expect("JSON");
        prop_assert_eq!(json(&read), json(&document), "the order of keys: {}", yaml);
    }

    #[test]
    fn reading_survives_anything(text in "\\PC{0,200}") {
        let _ = (read_json(&text), read_yaml(&text));
    }

    #[test]
    fn an_acyclic_graph_is_taken_and_ordered((needs, places) in acyclic().prop_flat_map(|needs| {
        let places = Just((0..needs.len()).collect::<Vec<_>>()).prop_shuffle();
        (Just(needs), places)
    })) {
        let document = graph(&needs, &places);
        prop_assert_eq!(check(&document, &files()), vec![]);
        let order = order(&document);
        prop_assert_eq!(order.len(), needs.len());
        let position: HashMap<_, _> = order.iter().enumerate().map(|(position, name)| (*name, position)).collect();
        for (name, step) in &document.steps {
            for needed in &step.needs {
                prop_assert!(position[needed.as_str()] < position[name.as_str()], "{needed} before {name}");
            }
        }
    }

    #[test]
    fn a_cycle_is_found_and_named((mut needs, first, length) in acyclic()
        .prop_filter("two steps", |needs| needs.len() > 1)
        .prop_flat_map(|needs| {
            let last = needs.len() - 1;
            (Just(needs), 0..last)
        })
        .prop_flat_map(|(needs, first)| {
            let length = 2..=needs.len() - first;
            (Just(needs), Just(first), length)
        }))
    {
        // A ring over neighbouring steps, one of which needs a later one.
        for (step, needs) in needs.iter_mut().enumerate().skip(first).take(length) {
            let next = if step + 1 == first + length { first } else { step + 1 };
            if !needs.contains(&next) {
                needs.push(next);
            }
        }
        let places: Vec<_> = (0..needs.len()).collect();
        let document = graph(&needs, &places);
        let faults = check(&document, &files());
        prop_assert!(!faults.is_empty());
        for fault in faults {
            let path = fault.detail.strip_prefix("a cycle: ").and_then(|rest| rest.split(';').next());
            let path: Vec<_> = path.expect("a cycle").split(" needs ").map(|name| name.trim_matches('`')).collect();
            prop_assert_eq!(path.first(), path.last());
            for pair in path.windows(2) {
                let needed = &document.steps[pair[0]].needs;
                prop_assert!(needed.iter().any(|name| name == pair[1]), "{} needs {}", pair[0], pair[1]);
            }
        }
        prop_assert!(order(&document).len() < document.steps.len());
    }
}
