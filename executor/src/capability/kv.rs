//! The board's key-value store: carried out by the control-plane.

use std::time::Duration;

use async_trait::async_trait;
use lua_wasm_host::{CallContext, CallError, CallFailure, CallResult, Kv, KvEntry};
use restroy_run_queue::run_api::CallKind;
use serde::Deserialize;
use serde_json::Value;

use super::attempt::{AttemptContext, secret_in_output};
use crate::{
    json::{self, JsonProblem, MAX_VALUES, TREE_BYTES},
    mask::{Budget, Masker},
    memory::{MemoryGuard, TASK_MEMORY_LIMIT},
};

#[derive(Deserialize)]
struct GetAnswer {
    value: Value,
}

#[derive(Deserialize)]
struct DeleteAnswer {
    deleted: bool,
}

#[derive(Deserialize)]
struct IncrAnswer {
    value: i64,
}

#[derive(Deserialize)]
struct CompareAndSetAnswer {
    swapped: bool,
}

#[derive(Deserialize)]
struct ListAnswer {
    items: Vec<ListItem>,
}

#[derive(Deserialize)]
struct ListItem {
    key: String,
    value: Value,
}

fn ttl_ms(ttl: Option<Duration>) -> Option<u64> {
    ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
}

impl AttemptContext {
    /// A value of a script, checked for secrets before a tree is made of it; and what the tree holds.
    async fn value(&self, text: &str) -> CallResult<(Value, MemoryGuard)> {
        let check = |text: &String, masker: &Masker, budget: &Budget| json::check(text, masker, budget);
        let (checked, text) = self.search_within_budget(text.len(), text.to_owned(), check).await?;
        let values = match checked {
            Ok(values) => values,
            Err(JsonProblem::Secret) => return Err(secret_in_output("a kv value").into()),
            Err(JsonProblem::TooMany) => {
                let message = format!("the value has too many parts (limit: {MAX_VALUES} values and keys)");
                return Err(CallError::new("kv_value_limit", message).into());
            }
            Err(JsonProblem::NotJson(error)) => return Err(not_json("value", &error)),
        };
        let held = self.task.memory.guard(text.len() + values * TREE_BYTES);
        let held = held.map_err(|error| CallError::retryable(TASK_MEMORY_LIMIT, error.to_string()))?;
        let value = serde_json::from_str(&text).map_err(|error| not_json("value", &error.to_string()))?;
        Ok((value, held))
    }

    async fn key_name(&self, key: &str) -> CallResult<String> {
        let find = |key: &String, masker: &Masker, budget: &Budget| masker.contains_secret(key.as_bytes(), budget);
        self.refuse_secrets("a kv key", key.len(), key.to_owned(), find).await
    }
}

fn not_json(what: &str, why: &str) -> CallFailure {
    CallError::new("kv_bad_value", format!("the {what} is not JSON: {why}")).into()
}

#[async_trait]
impl Kv for AttemptContext {
    async fn get(&self, call: &CallContext, key: &str) -> CallResult<Option<String>> {
        let got: Option<GetAnswer> = self.call(call, CallKind::KvGet { key: key.to_owned() }).await?;
        Ok(got.map(|got| got.value.to_string()))
    }

    async fn set(&self, call: &CallContext, key: &str, value: &str, ttl: Option<Duration>) -> CallResult<()> {
        let key = self.key_name(key).await?;
        let (value, _held) = self.value(value).await?;
        self.call(call, CallKind::KvSet { key, value, ttl_ms: ttl_ms(ttl) }).await.map(|_: Value| ())
    }

    async fn delete(&self, call: &CallContext, key: &str) -> CallResult<bool> {
        let answer: DeleteAnswer = self.call(call, CallKind::KvDelete { key: key.to_owned() }).await?;
        Ok(answer.deleted)
    }

    async fn incr(&self, call: &CallContext, key: &str, by: i64, ttl: Option<Duration>) -> CallResult<i64> {
        let key = self.key_name(key).await?;
        let sum: IncrAnswer = self.call(call, CallKind::KvIncr { key, by, ttl_ms: ttl_ms(ttl) }).await?;
        Ok(sum.value)
    }

    async fn compare_and_set(
        &self,
        call: &CallContext,
        key: &str,
        expected: Option<&str>,
        value: Option<&str>,
        ttl: Option<Duration>,
    ) -> CallResult<bool> {
        let key = self.key_name(key).await?;
        // What is expected is not stored, so a secret in it is no matter; it is as large a tree.
        let expected = match expected {
            Some(text) => {
                let values = json::check(text, &Masker::default(), &Budget::default());
                let values = values.map_err(|_| not_json("expected value", "it is not JSON, or has too many parts"))?;
                let held = self.task.memory.guard(text.len() + values * TREE_BYTES);
                let held = held.map_err(|error| CallError::retryable(TASK_MEMORY_LIMIT, error.to_string()))?;
                let value = serde_json::from_str(text);
                Some((value.map_err(|error| not_json("expected value", &error.to_string()))?, held))
            }
            None => None,
        };
        let value = match value {
            Some(value) => Some(self.value(value).await?),
            None => None,
        };
        let (expected, _expected_held) = expected.unzip();
        let (value, _held) = value.unzip();
        let answer: CompareAndSetAnswer =
            self.call(call, CallKind::KvCas { key, expected, value, ttl_ms: ttl_ms(ttl) }).await?;
        Ok(answer.swapped)
    }

    async fn list(
        &self,
        call: &CallContext,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> CallResult<Vec<KvEntry>> {
        let kind = CallKind::KvList { prefix: prefix.to_owned(), after: after.map(str::to_owned), limit };
        let listed: ListAnswer = self.call(call, kind).await?;
        Ok(listed.items.into_iter().map(|item| KvEntry { key: item.key, value: item.value.to_string() }).collect())
    }
}
