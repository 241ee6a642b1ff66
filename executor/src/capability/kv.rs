//! The board's key-value store: carried out by the control-plane.

use std::time::Duration;

use async_trait::async_trait;
use lua_wasm_host::{CallContext, CallError, CallResult, Kv, KvEntry};
use restroy_run_queue::run_api::CallKind;
use serde::Deserialize;
use serde_json::Value;

use super::attempt::{Attempting, refuse_secrets};

#[derive(Deserialize)]
struct Got {
    value: Value,
}

#[derive(Deserialize)]
struct Deleted {
    deleted: bool,
}

#[derive(Deserialize)]
struct Sum {
    value: i64,
}

#[derive(Deserialize)]
struct Swapped {
    swapped: bool,
}

#[derive(Deserialize)]
struct Listed {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    key: String,
    value: Value,
}

fn ttl_ms(ttl: Option<Duration>) -> Option<u64> {
    ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
}

impl Attempting {
    /// A value of a script, checked for secrets.
    fn value(&self, text: &str) -> CallResult<Value> {
        let value = serde_json::from_str(text)
            .map_err(|error| CallError::new("kv_bad_value", format!("the value is not JSON: {error}")))?;
        refuse_secrets("a kv value", self.task.masker.finds_in(&value))?;
        Ok(value)
    }

    fn key_name(&self, key: &str) -> CallResult<String> {
        refuse_secrets("a kv key", self.task.masker.finds(key.as_bytes()))?;
        Ok(key.to_owned())
    }
}

#[async_trait]
impl Kv for Attempting {
    async fn get(&self, call: &CallContext, key: &str) -> CallResult<Option<String>> {
        let got: Option<Got> = self.call(call, CallKind::KvGet { key: key.to_owned() }).await?;
        Ok(got.map(|got| got.value.to_string()))
    }

    async fn set(&self, call: &CallContext, key: &str, value: &str, ttl: Option<Duration>) -> CallResult<()> {
        let (key, value) = (self.key_name(key)?, self.value(value)?);
        self.call(call, CallKind::KvSet { key, value, ttl_ms: ttl_ms(ttl) }).await.map(|_: Value| ())
    }

    async fn delete(&self, call: &CallContext, key: &str) -> CallResult<bool> {
        let answer: Deleted = self.call(call, CallKind::KvDelete { key: key.to_owned() }).await?;
        Ok(answer.deleted)
    }

    async fn incr(&self, call: &CallContext, key: &str, by: i64, ttl: Option<Duration>) -> CallResult<i64> {
        let key = self.key_name(key)?;
        let sum: Sum = self.call(call, CallKind::KvIncr { key, by, ttl_ms: ttl_ms(ttl) }).await?;
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
        let key = self.key_name(key)?;
        let expected = expected.map(serde_json::from_str).transpose();
        let expected = expected
            .map_err(|error| CallError::new("kv_bad_value", format!("the expected value is not JSON: {error}")))?;
        let value = value.map(|value| self.value(value)).transpose()?;
        let answer: Swapped = self.call(call, CallKind::KvCas { key, expected, value, ttl_ms: ttl_ms(ttl) }).await?;
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
        let listed: Listed = self.call(call, kind).await?;
        Ok(listed.items.into_iter().map(|item| KvEntry { key: item.key, value: item.value.to_string() }).collect())
    }
}
