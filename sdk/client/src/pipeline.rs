//! Pipelines, their definitions and versions.

use reqwest::Method;

use super::{Client, Paging, Result};
use restroy_sdk::{
    api::{
        Page,
        pipeline::{
            Capabilities, Definition, MovePipeline, NewPipeline, Pipeline, PipelinePatch, PutDefinition,
            RestoreVersion, Version, VersionDiff, VersionWritten,
        },
        trigger::PipelineSchedule,
    },
    ids::{BoardId, PipelineId},
};

impl Client {
    /// A board's pipelines.
    pub async fn pipelines(&self, board: BoardId, paging: &Paging) -> Result<Page<Pipeline>> {
        self.get(&["v1", "boards", &board.to_string(), "pipelines"]).page(paging).fetch().await
    }

    /// Makes a pipeline; it can run once a definition is published.
    pub async fn create_pipeline(&self, board: BoardId, name: &str) -> Result<Pipeline> {
        let body = NewPipeline { name: name.to_owned(), description: String::new() };
        self.post(&["v1", "boards", &board.to_string(), "pipelines"]).creates().json(&body)?.fetch().await
    }

    /// A pipeline.
    pub async fn pipeline(&self, id: PipelineId) -> Result<Pipeline> {
        self.get(&["v1", "pipelines", &id.to_string()]).fetch().await
    }

    /// Renames or describes a pipeline.
    pub async fn update_pipeline(&self, id: PipelineId, patch: &PipelinePatch) -> Result<Pipeline> {
        self.request(Method::PATCH, &["v1", "pipelines", &id.to_string()]).json(patch)?.fetch().await
    }

    /// Puts a pipeline onto another board of its team.
    pub async fn move_pipeline(&self, id: PipelineId, board: BoardId) -> Result<Pipeline> {
        self.post(&["v1", "pipelines", &id.to_string(), "move"]).json(&MovePipeline { board })?.fetch().await
    }

    /// Brings a deleted pipeline back.
    pub async fn restore_pipeline(&self, id: PipelineId) -> Result<Pipeline> {
        self.post(&["v1", "pipelines", &id.to_string(), "restore"]).fetch().await
    }

    /// Deletes a pipeline; its runs are cancelled. With `revision`, only as it was at that one: else it is a
    /// `version_mismatch`.
    pub async fn delete_pipeline(&self, id: PipelineId, revision: Option<i64>) -> Result<()> {
        self.request(Method::DELETE, &["v1", "pipelines", &id.to_string()]).at_revision(revision).done().await
    }

    /// Makes a version the one that runs start with.
    pub async fn publish(&self, pipeline: PipelineId, number: i64) -> Result<VersionWritten> {
        let path = ["v1", "pipelines", &pipeline.to_string(), "versions", &number.to_string(), "publish"];
        self.post(&path).fetch().await
    }

    /// Its newest definition with the sources.
    pub async fn definition(&self, pipeline: PipelineId) -> Result<Definition> {
        self.get(&["v1", "pipelines", &pipeline.to_string(), "definition"]).fetch().await
    }

    /// Gives it a new version. With `latest`, only when that is still the number of its newest version (0 where
    /// there is none): else it is a `version_mismatch`.
    pub async fn put_definition(
        &self,
        pipeline: PipelineId,
        definition: &PutDefinition,
        latest: Option<i64>,
    ) -> Result<VersionWritten> {
        let path = ["v1", "pipelines", &pipeline.to_string(), "definition"];
        self.request(Method::PUT, &path).at_revision(latest).json(definition)?.fetch().await
    }

    /// Its versions, newest first.
    pub async fn versions(&self, pipeline: PipelineId, paging: &Paging) -> Result<Page<Version>> {
        self.get(&["v1", "pipelines", &pipeline.to_string(), "versions"]).page(paging).fetch().await
    }

    /// One version with its sources.
    pub async fn version(&self, pipeline: PipelineId, number: i64) -> Result<Definition> {
        self.get(&["v1", "pipelines", &pipeline.to_string(), "versions", &number.to_string()]).fetch().await
    }

    /// What differs from one of its versions to another.
    pub async fn diff_versions(&self, pipeline: PipelineId, from: i64, to: i64) -> Result<VersionDiff> {
        let (from, to) = (from.to_string(), to.to_string());
        self.get(&["v1", "pipelines", &pipeline.to_string(), "versions", &from, "diff", &to]).fetch().await
    }

    /// What a version may use.
    pub async fn capabilities(&self, pipeline: PipelineId, number: i64) -> Result<Capabilities> {
        let path = ["v1", "pipelines", &pipeline.to_string(), "versions", &number.to_string(), "capabilities"];
        self.get(&path).fetch().await
    }

    /// Makes an old version the newest one.
    pub async fn restore_version(
        &self,
        pipeline: PipelineId,
        number: i64,
        restore: &RestoreVersion,
    ) -> Result<VersionWritten> {
        let path = ["v1", "pipelines", &pipeline.to_string(), "versions", &number.to_string(), "restore"];
        self.post(&path).creates().json(restore)?.fetch().await
    }

    /// The schedules of its published version, sorted by name.
    pub async fn schedules(&self, pipeline: PipelineId) -> Result<Page<PipelineSchedule>> {
        self.get(&["v1", "pipelines", &pipeline.to_string(), "schedules"]).fetch().await
    }

    /// Pauses the schedule of that name: it starts no runs until it is resumed.
    pub async fn pause_schedule(&self, pipeline: PipelineId, name: &str) -> Result<PipelineSchedule> {
        self.post(&["v1", "pipelines", &pipeline.to_string(), "schedules", name, "pause"]).fetch().await
    }

    /// Resumes the schedule of that name.
    pub async fn resume_schedule(&self, pipeline: PipelineId, name: &str) -> Result<PipelineSchedule> {
        self.post(&["v1", "pipelines", &pipeline.to_string(), "schedules", name, "resume"]).fetch().await
    }
}
