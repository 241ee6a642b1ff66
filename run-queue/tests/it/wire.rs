//! The run API's bodies: what the type system cannot say about their JSON.

use restroy_run_queue::run_api::CallKind;
use serde_json::{Value, json};

#[test]
fn compare_and_set_distinguishes_null_from_absent() {
    let call: CallKind =
        serde_json::from_value(json!({"method": "kv_cas", "key": "k", "expected": null, "ttl_ms": null})).unwrap();
    let CallKind::KvCas { expected, value, .. } = &call else { panic!("another call") };
    assert_eq!(*expected, Some(Value::Null));
    assert_eq!(*value, None);
    let again = serde_json::to_value(&call).unwrap();
    assert_eq!(again.get("expected"), Some(&Value::Null));
    assert_eq!(again.get("value"), None);
}

#[test]
fn unknown_fields_are_ignored() {
    let call: CallKind = serde_json::from_value(json!({"method": "kv_get", "key": "k", "later": true})).unwrap();
    assert!(matches!(call, CallKind::KvGet { key } if key == "k"));
}
