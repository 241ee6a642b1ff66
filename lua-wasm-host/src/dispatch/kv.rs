//! The key-value store.

use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::{Answer, CallTime, Dispatcher, parse, require_service};
use crate::wire::op;
use crate::{CallError, CallKind, CallResult, Kv};

/// Longest key, bytes.
const MAX_KEY: usize = 512;
/// Most entries of one listing.
const MAX_LIST: u32 = 1_000;

#[derive(Deserialize)]
struct KvRequest {
    #[serde(default)]
    key: String,
    /// A JSON text; absent is not the same as `null`.
    value: Option<String>,
    expected: Option<String>,
    ttl: Option<f64>,
    by: Option<i64>,
    #[serde(default)]
    prefix: String,
    after: Option<String>,
    limit: Option<u32>,
}

impl Dispatcher {
    pub(super) async fn kv(&mut self, op: u32, head: &[u8]) -> CallResult<Answer> {
        let kv = require_service(self.host_context.grants.kv, "kv", self.host_context.kv.as_deref())?;
        let request: KvRequest = parse(head)?;
        if op == op::KV_LIST {
            return self.kv_list(kv, request, head.len()).await;
        }
        let key = request.key.as_str();
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(CallError::new("invalid_argument", format!("a key has 1 to {MAX_KEY} bytes")).into());
        }
        let value = request.value.as_deref();
        let expected = request.expected.as_deref();
        let ttl = ttl(request.ttl)?;
        self.check_value(value)?;
        self.check_value(expected)?;
        let context = |kind| self.context(kind, key.to_owned(), &[head], None);
        let size = head.len();
        let answer = match op {
            op::KV_GET => {
                let call = context(CallKind::KvGet);
                let act = kv.get(&call, key);
                let found = self
                    .perform(&call, CallTime::Stands, size, act, |found| (found.as_ref().map_or(0, String::len), None))
                    .await?;
                found.map_or(json!({}), |value| json!({ "value": value }))
            }
            op::KV_SET => {
                let call = context(CallKind::KvSet);
                let act = kv.set(&call, key, value.unwrap_or("null"), ttl);
                self.perform(&call, CallTime::Stands, size, act, |()| (0, None)).await?;
                json!({})
            }
            op::KV_DELETE => {
                let call = context(CallKind::KvDelete);
                let act = kv.delete(&call, key);
                json!({ "existed": self.perform(&call, CallTime::Stands, size, act, |_| (0, None)).await? })
            }
            op::KV_INCR => {
                let call = context(CallKind::KvIncr);
                let act = kv.incr(&call, key, request.by.unwrap_or(1), ttl);
                json!({ "value": self.perform(&call, CallTime::Stands, size, act, |_| (8, None)).await? })
            }
            _ => {
                let call = context(CallKind::KvCas);
                let act = kv.compare_and_set(&call, key, expected, value, ttl);
                json!({ "swapped": self.perform(&call, CallTime::Stands, size, act, |_| (1, None)).await? })
            }
        };
        Ok(Answer::head(&answer)?)
    }

    async fn kv_list(&self, kv: &dyn Kv, request: KvRequest, size: usize) -> CallResult<Answer> {
        let limit = request.limit.unwrap_or(100).clamp(1, MAX_LIST);
        let call = self.context(CallKind::KvList, request.prefix.clone(), &[], None);
        let act = kv.list(&call, &request.prefix, request.after.as_deref(), limit);
        let entries = self
            .perform(&call, CallTime::Stands, size, act, |entries| {
                (entries.iter().map(|entry| entry.key.len() + entry.value.len()).sum(), None)
            })
            .await?;
        // A page ends where the next entry would carry more than a call may.
        let mut room = self.limits.host_call_bytes;
        let mut listed = Vec::new();
        for entry in entries {
            let size = (entry.key.len() + entry.value.len()) as u64;
            if size > room {
                break;
            }
            room -= size;
            listed.push(json!({ "key": entry.key, "value": entry.value }));
        }
        Ok(Answer::head(&json!({ "entries": listed }))?)
    }

    fn check_value(&self, value: Option<&str>) -> Result<(), CallError> {
        let Some(value) = value else { return Ok(()) };
        let limit = self.limits.kv_value_bytes;
        if value.len() as u64 > limit {
            let limit = crate::outcome::bytes(limit);
            return Err(CallError::new(
                "kv_value_limit",
                format!("the value has {} bytes (limit: {limit})", value.len()),
            ));
        }
        serde_json::from_str::<IgnoredAny>(value)
            .map(|_| ())
            .map_err(|_| CallError::new("invalid_argument", "a value is a JSON text"))
    }
}

fn ttl(seconds: Option<f64>) -> Result<Option<Duration>, CallError> {
    let Some(seconds) = seconds else { return Ok(None) };
    match Duration::try_from_secs_f64(seconds) {
        Ok(ttl) if !ttl.is_zero() => Ok(Some(ttl)),
        _ => Err(CallError::new("invalid_argument", "ttl takes a number of seconds above 0")),
    }
}
