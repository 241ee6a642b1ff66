//! Runs.

use futures_util::Stream;
use reqwest::Method;

use super::{Client, Paging, Result, stream};
use restroy_sdk::{
    api::{
        Page,
        run::{Artifact, NewRun, Run, StepRun},
    },
    event::Event,
    ids::{ArtifactId, PipelineId, RunId},
};

impl Client {
    /// Starts a run of the pipeline's published version.
    pub async fn start_run(&self, pipeline: PipelineId, run: &NewRun) -> Result<Run> {
        self.post(&["v1", "pipelines", &pipeline.to_string(), "runs"]).creates().json(run)?.fetch().await
    }

    /// A pipeline's runs, newest first.
    pub async fn runs(&self, pipeline: PipelineId, paging: &Paging) -> Result<Page<Run>> {
        self.get(&["v1", "pipelines", &pipeline.to_string(), "runs"]).page(paging).fetch().await
    }

    /// A run.
    pub async fn run(&self, id: RunId) -> Result<Run> {
        self.get(&["v1", "runs", &id.to_string()]).fetch().await
    }

    /// Every attempt at its steps.
    pub async fn steps(&self, run: RunId, paging: &Paging) -> Result<Page<StepRun>> {
        self.get(&["v1", "runs", &run.to_string(), "steps"]).page(paging).fetch().await
    }

    /// Ends an active run.
    pub async fn cancel(&self, run: RunId) -> Result<Run> {
        self.post(&["v1", "runs", &run.to_string(), "cancel"]).fetch().await
    }

    /// Keeps a run from retention.
    pub async fn keep_run(&self, run: RunId) -> Result<Run> {
        self.request(Method::PUT, &["v1", "runs", &run.to_string(), "keep"]).fetch().await
    }

    /// Keeps a run no longer than its pipeline's retention says.
    pub async fn unkeep_run(&self, run: RunId) -> Result<Run> {
        self.request(Method::DELETE, &["v1", "runs", &run.to_string(), "keep"]).fetch().await
    }

    /// Deletes a run that has ended.
    pub async fn delete_run(&self, run: RunId) -> Result<()> {
        self.request(Method::DELETE, &["v1", "runs", &run.to_string()]).done().await
    }

    /// The events after the one numbered `after` (0: from the first), a page of them.
    pub async fn events(&self, run: RunId, after: i64) -> Result<Page<Event>> {
        self.get(&["v1", "runs", &run.to_string(), "events"]).query("after", &after).fetch().await
    }

    /// The events after the one numbered `after` as they happen, each once and in order, until
    /// `run.finished`. A broken connection is taken up again where it broke; what cannot be taken up
    /// is the last item, an error.
    pub fn stream(&self, run: RunId, after: i64) -> impl Stream<Item = Result<Event>> + Send + use<> {
        stream::events(self.clone(), run, after)
    }

    /// The files that a run kept.
    pub async fn artifacts(&self, run: RunId, paging: &Paging) -> Result<Page<Artifact>> {
        self.get(&["v1", "runs", &run.to_string(), "artifacts"]).page(paging).fetch().await
    }

    /// What is in one of them.
    pub async fn artifact(&self, run: RunId, artifact: ArtifactId) -> Result<Vec<u8>> {
        self.get(&["v1", "runs", &run.to_string(), "artifacts", &artifact.to_string()]).bytes().await
    }
}
