//! Boards.

use reqwest::Method;

use super::{Client, Paging, Result};
use restroy_sdk::{
    api::{
        Page,
        board::{Board, BoardPatch, KvEntry, NewBoard, PutKv, PutOrder},
    },
    ids::{BoardId, PipelineId, TeamId},
};

impl Client {
    /// A team's boards.
    pub async fn boards(&self, team: TeamId, paging: &Paging) -> Result<Page<Board>> {
        self.get(&["v1", "teams", &team.to_string(), "boards"]).page(paging).fetch().await
    }

    /// Makes a board.
    pub async fn create_board(&self, team: TeamId, board: &NewBoard) -> Result<Board> {
        self.post(&["v1", "teams", &team.to_string(), "boards"]).creates().json(board)?.fetch().await
    }

    /// A board.
    pub async fn board(&self, id: BoardId) -> Result<Board> {
        self.get(&["v1", "boards", &id.to_string()]).fetch().await
    }

    /// Changes a board.
    pub async fn update_board(&self, id: BoardId, patch: &BoardPatch) -> Result<Board> {
        self.request(Method::PATCH, &["v1", "boards", &id.to_string()]).json(patch)?.fetch().await
    }

    /// Deletes a board with its pipelines.
    pub async fn delete_board(&self, id: BoardId) -> Result<()> {
        self.request(Method::DELETE, &["v1", "boards", &id.to_string()]).done().await
    }

    /// Brings a deleted board back, with its pipelines.
    pub async fn restore_board(&self, id: BoardId) -> Result<Board> {
        self.post(&["v1", "boards", &id.to_string(), "restore"]).fetch().await
    }

    /// Puts a pipeline before another of the board, or to the end.
    pub async fn order_pipeline(&self, board: BoardId, pipeline: PipelineId, before: Option<PipelineId>) -> Result<()> {
        let order = PutOrder { pipeline, before };
        self.request(Method::PUT, &["v1", "boards", &board.to_string(), "order"]).json(&order)?.done().await
    }

    /// What its scripts keep in its key-value store.
    pub async fn kv(&self, board: BoardId, paging: &Paging) -> Result<Page<KvEntry>> {
        self.get(&["v1", "boards", &board.to_string(), "kv"]).page(paging).fetch().await
    }

    /// What a key of the board's store holds.
    pub async fn kv_entry(&self, board: BoardId, key: &str) -> Result<KvEntry> {
        self.get(&["v1", "boards", &board.to_string(), "kv", key]).fetch().await
    }

    /// Writes a key of the board's store, whatever it held.
    pub async fn put_kv(&self, board: BoardId, key: &str, value: &PutKv) -> Result<KvEntry> {
        self.request(Method::PUT, &["v1", "boards", &board.to_string(), "kv", key]).json(value)?.fetch().await
    }

    /// Takes a key out of the board's store.
    pub async fn delete_kv(&self, board: BoardId, key: &str) -> Result<()> {
        self.request(Method::DELETE, &["v1", "boards", &board.to_string(), "kv", key]).done().await
    }
}
