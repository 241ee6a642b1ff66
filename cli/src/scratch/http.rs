//! HTTP, by the executor's rules.

use async_trait::async_trait;
use lua_wasm_host::{CallContext, CallResult, Http, HttpRequest, HttpResponse};
use restroy_executor::OutboundHttp;
use restroy_sdk::time::Ambient;

/// Sends requests as an executor does: public addresses by https; this machine's own too when the
/// person allowed a plain http origin, which is how services under development are reached.
pub(crate) struct LocalHttp {
    /// Sends them.
    pub(crate) outbound: OutboundHttp,
    /// For idempotency keys.
    pub(crate) ambient: Ambient,
}

#[async_trait]
impl Http for LocalHttp {
    async fn send(&self, call: &CallContext, request: HttpRequest) -> CallResult<HttpResponse> {
        let key = call.idempotency_key.clone().unwrap_or_else(|| self.ambient.uuid().to_string());
        self.outbound.send(request, &key).await
    }
}
