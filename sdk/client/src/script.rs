//! Scripts.

use super::{Client, Paging, Result};
use restroy_sdk::{
    api::{
        Page,
        script::{CheckResult, CheckScript, Script, ScriptVersion},
    },
    ids::{PipelineId, ScriptId},
};

impl Client {
    /// A pipeline's scripts.
    pub async fn scripts(&self, pipeline: PipelineId, paging: &Paging) -> Result<Page<Script>> {
        self.get(&["v1", "pipelines", &pipeline.to_string(), "scripts"]).page(paging).fetch().await
    }

    /// A script.
    pub async fn script(&self, id: ScriptId) -> Result<Script> {
        self.get(&["v1", "scripts", &id.to_string()]).fetch().await
    }

    /// Its versions with their sources, newest first.
    pub async fn script_versions(&self, id: ScriptId, paging: &Paging) -> Result<Page<ScriptVersion>> {
        self.get(&["v1", "scripts", &id.to_string(), "versions"]).page(paging).fetch().await
    }

    /// Whether a source compiles; it is not kept.
    pub async fn check_script(&self, id: ScriptId, source: &str) -> Result<CheckResult> {
        let body = CheckScript { source: source.to_owned() };
        self.post(&["v1", "scripts", &id.to_string(), "check"]).json(&body)?.fetch().await
    }
}
