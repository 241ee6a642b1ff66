//! What a schema may cost, whatever is in it: stack, steps, memory.

use serde_json::{Map, Value, json};

use super::{
    super::{CheckError, MAX_DEPTH, Schema, check::Checker},
    compiled,
};

/// The stack on which compiling and checking must do.
const SMALL_STACK: usize = 256 * 1024;

fn on_a_small_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(SMALL_STACK).spawn_scoped(scope, work).unwrap().join().unwrap()
    })
}

/// Each keyword that applies a subschema, around one, and a value whose part that one is applied to.
type Applicator = (&'static str, Wrap, Wrap);
/// Puts something around a schema or value.
type Wrap = fn(Value) -> Value;

const APPLICATORS: &[Applicator] = &[
    ("properties", |schema| json!({ "properties": { "a": schema } }), |value| json!({ "a": value })),
    ("patternProperties", |schema| json!({ "patternProperties": { "a": schema } }), |value| json!({ "a": value })),
    ("additionalProperties", |schema| json!({ "additionalProperties": schema }), |value| json!({ "a": value })),
    ("propertyNames", |schema| json!({ "propertyNames": schema }), |value| value),
    ("items", |schema| json!({ "items": schema }), |value| json!([value])),
    ("prefixItems", |schema| json!({ "prefixItems": [schema] }), |value| json!([value])),
    ("contains", |schema| json!({ "contains": schema }), |value| json!([value])),
    ("maxContains", |schema| json!({ "contains": schema, "maxContains": 1 }), |value| json!([value])),
    ("allOf", |schema| json!({ "allOf": [schema] }), |value| value),
    ("anyOf", |schema| json!({ "anyOf": [false, schema] }), |value| value),
    ("oneOf", |schema| json!({ "oneOf": [false, schema] }), |value| value),
    ("not", |schema| json!({ "not": schema }), |value| value),
    ("if", |schema| json!({ "if": schema, "then": {} }), |value| value),
    ("then", |schema| json!({ "if": true, "then": schema }), |value| value),
    ("else", |schema| json!({ "if": false, "else": schema }), |value| value),
    ("items, uniqueItems", |schema| json!({ "items": schema, "uniqueItems": true }), |value| json!([value])),
    ("default", |schema| json!({ "properties": { "a": schema }, "default": {} }), |value| json!({ "a": value })),
];

fn nested(depth: usize, wrap: Wrap, inner: Value) -> Value {
    (0..depth).fold(inner, |inner, _| wrap(inner))
}

#[test]
fn every_applicator_works_at_the_greatest_depth_on_a_small_stack() {
    for (name, schema, value) in APPLICATORS {
        let deep = nested(MAX_DEPTH - 1, *schema, json!({ "type": "null" }));
        for inner in [json!(null), json!(1), json!({}), json!([])] {
            let mut value = nested(MAX_DEPTH - 1, *value, inner);
            let done = on_a_small_stack(|| {
                let schema = Schema::compile(&deep)?;
                let _ = schema.apply_defaults(&mut value);
                Ok::<_, Vec<_>>(schema.check(&value).is_err_and(|error| !matches!(error, CheckError::Mismatch(_))))
            });
            assert_eq!(done, Ok(false), "{name}");
        }
    }
}

#[test]
fn deeper_ones_are_refused_on_a_small_stack() {
    for (name, schema, _) in APPLICATORS {
        for depth in [MAX_DEPTH, 100, 150] {
            let deep = nested(depth, *schema, json!({}));
            let errors = on_a_small_stack(|| Schema::compile(&deep).err()).unwrap_or_else(|| panic!("{name} {depth}"));
            assert!(errors[0].detail.contains("more than 64 deep"), "{name} {depth}: {errors:?}");
        }
        // The review's: deep by references, 8 KB, which aborted the process.
        let mut defs = Map::new();
        for n in 0..20 {
            let next = json!({ "$ref": format!("#/$defs/d{}", n + 1) });
            defs.insert(format!("d{n}"), nested(15, *schema, next));
        }
        defs.insert("d20".into(), json!({}));
        let deep = json!({ "allOf": [{ "$ref": "#/$defs/d0" }], "$defs": defs });
        let errors =
            on_a_small_stack(|| Schema::compile(&deep).err()).unwrap_or_else(|| panic!("{name} by references"));
        assert!(errors[0].detail.contains("more than 64 deep"), "{name}: {errors:?}");
    }
}

/// How many steps a check takes; `None` when it is more than it may.
fn steps(schema: &Value, value: &Value) -> Option<u64> {
    let schema = compiled(schema);
    let mut checker = Checker::new(&schema);
    checker.is_valid(0, value).ok().map(|_| checker.steps.taken())
}

#[test]
fn work_is_counted() {
    assert!(steps(&json!({ "type": "null" }), &json!(null)).unwrap() < 10);
    // Each element compared with each alternative: 1000 × 1000.
    let any: Vec<Value> = (0..1_000).map(|n| json!({ "const": n })).collect();
    let all = json!({ "items": { "anyOf": any } });
    let taken = steps(&all, &json!(vec![-1; 1_000])).unwrap();
    assert!(taken < 10_000, "the first mismatch ends it: {taken}");
    let taken = steps(&all, &json!(vec![999; 1_000])).unwrap();
    assert!((2_000_000..5_000_000).contains(&taken), "{taken}");
    assert_eq!(steps(&all, &json!(vec![999; 20_000])), None);
    assert_eq!(compiled(&all).check(&json!(vec![999; 20_000])), Err(CheckError::TooMuchWork));
    // Equality of long values, once for each alternative.
    let long: Vec<Value> = (0..1_000).map(|n| json!({ "const": vec![n; 1_000] })).collect();
    assert!(steps(&json!({ "items": { "anyOf": long } }), &json!(vec![vec![7; 1_000]; 100])).is_some());
    // Lists are hashed once, not compared with each other.
    let items: Vec<usize> = (0..100_000).collect();
    assert!(steps(&json!({ "uniqueItems": true }), &json!(items)).unwrap() < 1_000_000);
    let items: Vec<Value> = (0..1_000).map(|n| json!([vec![0; 1_000], n])).collect();
    assert!(steps(&json!({ "uniqueItems": true }), &json!(items)).unwrap() < 3_000_000);
    // And again at every level.
    let schema = nested(60, |schema| json!({ "uniqueItems": true, "items": schema }), json!({}));
    let value = nested(60, |value| json!([value]), json!((0..100_000).collect::<Vec<_>>()));
    assert_eq!(steps(&schema, &value).map(|_| ()), Some(()));
    let schema = nested(60, |schema| json!({ "allOf": [schema], "uniqueItems": true }), json!({}));
    assert_eq!(steps(&schema, &json!((0..200_000).collect::<Vec<_>>())), None);
    // Names, patterns and texts.
    let required: Vec<String> = (0..4_000).map(|n| format!("p{n}")).collect();
    let schema = json!({ "items": { "not": { "required": required } } });
    let object: Map<String, Value> = (0..4_000).map(|n| (format!("p{n}"), json!(0))).collect();
    assert!(steps(&schema, &json!([object])).unwrap() > 4_000);
    let patterns: Map<String, Value> = (0..100).map(|n| (format!("a{n}b"), json!({}))).collect();
    let fields: Map<String, Value> = (0..20_000).map(|n| (format!("field{n}"), json!(0))).collect();
    assert_eq!(steps(&json!({ "patternProperties": patterns }), &json!(fields)), None);
    assert_eq!(
        steps(&json!({ "allOf": vec![json!({ "maxLength": 5_000_000 }); 4_000] }), &json!("x".repeat(1_000_000))),
        None
    );
}

#[test]
fn patterns_that_make_automata_grow_are_counted() {
    // A deterministic automaton of this has 2^n states.
    for pattern in ["(a|b)*a(a|b){200}c", "(x+x+)+y", "(.*)(.*)(.*)(.*)(.*)z", "[ab]*a[ab]{300}$", "(a?){300}a{300}b"] {
        let text: String =
            (0_u64..1_000_000).map(|n| if n.wrapping_mul(n).count_ones() % 2 == 0 { 'a' } else { 'b' }).collect();
        // Either it is done within its steps, or it is refused: never for long.
        let _ = steps(&json!({ "pattern": pattern }), &json!(text));
    }
    let short = steps(&json!({ "pattern": "^[a-z0-9-]{1,50}$" }), &json!("newsletter-2026")).unwrap();
    assert!(short < 3_000, "{short}");
    let many = steps(&json!({ "items": { "pattern": "^[a-z0-9-]{1,50}$" } }), &json!(vec!["newsletter-2026"; 20_000]))
        .unwrap();
    assert!(many < 2_000_000, "{many}");
}

#[test]
fn alternatives_within_alternatives_end() {
    // What took 2.7^n in a library: the reasons of each level are looked for once.
    let cases: [(usize, Wrap); 3] = [
        (10, |schema| json!({ "anyOf": [schema, { "allOf": [schema] }] })),
        (10, |schema| json!({ "oneOf": [schema, { "not": schema }] })),
        (7, |schema| json!({ "if": schema, "then": schema, "else": schema })),
    ];
    for (depth, wrap) in cases {
        let _ = compiled(&nested(depth, wrap, json!({ "type": "null" }))).check(&json!(1));
    }
    let mut defs = Map::new();
    for n in 0..13 {
        let next = json!({ "$ref": format!("#/$defs/d{}", n + 1) });
        defs.insert(format!("d{n}"), json!({ "anyOf": [next, next] }));
    }
    defs.insert("d13".into(), json!({ "type": "null" }));
    let unfolds = Schema::compile(&json!({ "$ref": "#/$defs/d0", "$defs": defs }));
    assert!(unfolds.is_err(), "2^13 × 2 subschemas and more");
}

#[test]
fn a_compiled_schema_says_what_it_takes() {
    let small = compiled(&json!({ "type": "object" })).memory_bytes();
    let large = compiled(&json!({ "enum": vec!["x".repeat(1_000); 100], "pattern": "[a-z]{500}" })).memory_bytes();
    assert!(small < 2_000 && large > 110_000, "{small} {large}");
}
