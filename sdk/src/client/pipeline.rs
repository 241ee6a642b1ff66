//! Pipelines, their definitions and versions.

use reqwest::Method;

use super::{Client, Paging, Result};
use crate::{
    api::{
        Page,
        pipeline::{Definition, NewPipeline, Pipeline, PutDefinition, Version},
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
        let body = NewPipeline { name: name.to_owned() };
        self.post(&["v1", "boards", &board.to_string(), "pipelines"]).creates().json(&body)?.fetch().await
    }

    /// A pipeline.
    pub async fn pipeline(&self, id: PipelineId) -> Result<Pipeline> {
        self.get(&["v1", "pipelines", &id.to_string()]).fetch().await
    }

    /// Deletes a pipeline; its runs are cancelled.
    pub async fn delete_pipeline(&self, id: PipelineId) -> Result<()> {
        self.request(Method::DELETE, &["v1", "pipelines", &id.to_string()]).done().await
    }

    /// Makes a version the one that runs start with.
    pub async fn publish(&self, pipeline: PipelineId, number: i64) -> Result<Version> {
        let path = ["v1", "pipelines", &pipeline.to_string(), "versions", &number.to_string(), "publish"];
        self.post(&path).fetch().await
    }

    /// Its newest definition with the sources.
    pub async fn definition(&self, pipeline: PipelineId) -> Result<Definition> {
        self.get(&["v1", "pipelines", &pipeline.to_string(), "definition"]).fetch().await
    }

    /// Gives it a new version.
    pub async fn put_definition(&self, pipeline: PipelineId, definition: &PutDefinition) -> Result<Version> {
        let path = ["v1", "pipelines", &pipeline.to_string(), "definition"];
        self.request(Method::PUT, &path).json(definition)?.fetch().await
    }

    /// Its versions, newest first.
    pub async fn versions(&self, pipeline: PipelineId, paging: &Paging) -> Result<Page<Version>> {
        self.get(&["v1", "pipelines", &pipeline.to_string(), "versions"]).page(paging).fetch().await
    }

    /// One version with its sources.
    pub async fn version(&self, pipeline: PipelineId, number: i64) -> Result<Definition> {
        self.get(&["v1", "pipelines", &pipeline.to_string(), "versions", &number.to_string()]).fetch().await
    }
}
