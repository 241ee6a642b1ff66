//! Scripts and their configuration.

use reqwest::Method;

use super::{Client, Paging, Result};
use crate::{
    api::{
        Page,
        script::{CheckResult, CheckScript, ConfigurationEntry, PutConfiguration, Script, ScriptVersion},
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

    /// Its configuration; of secrets only the names.
    pub async fn configuration(&self, script: ScriptId, paging: &Paging) -> Result<Page<ConfigurationEntry>> {
        self.get(&["v1", "scripts", &script.to_string(), "configuration"]).page(paging).fetch().await
    }

    /// Sets a key of its configuration.
    pub async fn put_configuration(
        &self,
        script: ScriptId,
        key: &str,
        value: &PutConfiguration,
    ) -> Result<ConfigurationEntry> {
        let path = ["v1", "scripts", &script.to_string(), "configuration", key];
        self.request(Method::PUT, &path).json(value)?.fetch().await
    }

    /// Takes a key out of its configuration: the document's default holds again.
    pub async fn delete_configuration(&self, script: ScriptId, key: &str) -> Result<()> {
        let path = ["v1", "scripts", &script.to_string(), "configuration", key];
        self.request(Method::DELETE, &path).done().await
    }
}
