//! The order of the pipelines on a board, made by hand: each has a position, with gaps between
//! neighbours, so that a move writes one row. Where a gap is used up, all positions of the board are dealt
//! anew in one statement, which leaves the order as it is; the board counts how often (its epoch).
//!
//! Moves are made in transactions that hold the team's row ([`super::Db::begin_team_exclusive`]): one after the
//! other, each sees what the others did.

use std::{fmt, str::FromStr};

use restroy_sdk::ids::{BoardId, PipelineId};
use sqlx::{query, query_as, query_scalar};

use super::TeamTx;
use crate::sql;

/// Between neighbours that nobody put anything between.
const GAP: i64 = 1 << 32;

/// A place in a board's order, as a cursor carries it. When the positions were dealt anew since, the pipeline's own
/// position says where that place is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderPosition {
    pub(super) epoch: i64,
    pub(super) position: i64,
    pub(super) id: PipelineId,
}

impl OrderPosition {
    /// Position and id to continue after.
    pub(super) async fn current(
        self,
        tx: &mut TeamTx,
        board: BoardId,
        epoch: i64,
    ) -> Result<(i64, PipelineId), sqlx::Error> {
        if self.epoch == epoch {
            return Ok((self.position, self.id));
        }
        Ok((position(tx, board, self.id).await?.unwrap_or(self.position), self.id))
    }
}

impl fmt::Display for OrderPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.epoch, self.position, self.id)
    }
}

/// A text is not a place.
#[derive(Debug, thiserror::Error)]
#[error("not a place")]
pub struct ParsePositionError;

impl FromStr for OrderPosition {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, ParsePositionError> {
        let mut parts = text.splitn(3, '.');
        let mut next = || parts.next().ok_or(ParsePositionError);
        let (epoch, position, id) = (next()?, next()?, next()?);
        Ok(Self {
            epoch: epoch.parse().map_err(|_| ParsePositionError)?,
            position: position.parse().map_err(|_| ParsePositionError)?,
            id: id.parse().map_err(|_| ParsePositionError)?,
        })
    }
}

/// How often the board's positions were dealt anew; 0 for a board that is not there.
pub(super) async fn epoch(tx: &mut TeamTx, board: BoardId) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    let epoch: Option<i64> = sql!(
        &mut **tx,
        fetch_optional,
        query_scalar("SELECT order_epoch FROM boards WHERE team_id = $1 AND id = $2").bind(team).bind(board)
    )?;
    Ok(epoch.unwrap_or_default())
}

/// Where a pipeline of the board stands, deleted or not.
async fn position(tx: &mut TeamTx, board: BoardId, id: PipelineId) -> Result<Option<i64>, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_optional,
        query_scalar("SELECT position FROM pipelines WHERE team_id = $1 AND board_id = $2 AND id = $3")
            .bind(team)
            .bind(board)
            .bind(id)
    )
}

/// What stands after a pipeline of the board; nothing when it is the last. What was deleted does not count.
pub async fn next(tx: &mut TeamTx, board: BoardId, pipeline: PipelineId) -> Result<Option<PipelineId>, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_optional,
        query_scalar(
            "SELECT n.id FROM pipelines p
             JOIN pipelines n ON n.team_id = p.team_id AND n.board_id = p.board_id AND n.deleted_at IS NULL
                             AND (n.position, n.id) > (p.position, p.id)
             WHERE p.team_id = $1 AND p.board_id = $2 AND p.id = $3
             ORDER BY n.position, n.id LIMIT 1"
        )
        .bind(team)
        .bind(board)
        .bind(pipeline)
    )
}

/// The position behind all of the board's.
pub(super) async fn end(tx: &mut TeamTx, board: BoardId) -> Result<i64, sqlx::Error> {
    let last = last(tx, board).await?;
    if let Some(end) = last.checked_add(GAP) {
        return Ok(end);
    }
    rebalance_positions(tx, board).await?;
    Ok(self::last(tx, board).await?.saturating_add(GAP))
}

async fn last(tx: &mut TeamTx, board: BoardId) -> Result<i64, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_one,
        query_scalar("SELECT coalesce(max(position), 0) FROM pipelines WHERE team_id = $1 AND board_id = $2")
            .bind(team)
            .bind(board)
    )
}

/// Puts a pipeline of the board before another one, or to the end. False when `before` is not on the
/// board.
pub async fn move_before(
    tx: &mut TeamTx,
    board: BoardId,
    pipeline: PipelineId,
    before: Option<PipelineId>,
) -> Result<bool, sqlx::Error> {
    let position = match before {
        None => end(tx, board).await?,
        Some(before) => {
            let Some(position) = gap_before(tx, board, pipeline, before).await? else { return Ok(false) };
            position
        }
    };
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("UPDATE pipelines SET position = $4 WHERE team_id = $1 AND board_id = $2 AND id = $3")
            .bind(team)
            .bind(board)
            .bind(pipeline)
            .bind(position)
    )?;
    Ok(true)
}

/// A free position before a pipeline that is not deleted.
async fn gap_before(
    tx: &mut TeamTx,
    board: BoardId,
    moving: PipelineId,
    before: PipelineId,
) -> Result<Option<i64>, sqlx::Error> {
    if let Some((low, high)) = neighbours(tx, board, moving, before).await? {
        if let Some(middle) = between(low, high) {
            return Ok(Some(middle));
        }
        rebalance_positions(tx, board).await?;
        let dealt = neighbours(tx, board, moving, before).await?;
        return Ok(dealt.and_then(|(low, high)| between(low, high)));
    }
    Ok(None)
}

/// Strictly between two positions, if there is room.
fn between(low: i64, high: i64) -> Option<i64> {
    let middle = low + high.checked_sub(low)? / 2;
    (middle > low && middle < high).then_some(middle)
}

/// The position of a pipeline, and that of whatever stands before it, but for the one that moves.
/// Deleted ones keep their places.
async fn neighbours(
    tx: &mut TeamTx,
    board: BoardId,
    moving: PipelineId,
    before: PipelineId,
) -> Result<Option<(i64, i64)>, sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "SELECT coalesce((SELECT p.position FROM pipelines p
                              WHERE p.team_id = $1 AND p.board_id = $2 AND p.id <> $4
                                AND (p.position, p.id) < (b.position, b.id)
                              ORDER BY p.position DESC, p.id DESC LIMIT 1), b.position - 2 * $5), b.position
             FROM pipelines b WHERE b.team_id = $1 AND b.board_id = $2 AND b.id = $3 AND b.deleted_at IS NULL"
        )
        .bind(team)
        .bind(board)
        .bind(before)
        .bind(moving)
        .bind(GAP)
    )
}

/// Deals all positions of the board anew, in the order as it is: at most as many rows as pipelines may
/// lie on a board, and those that were deleted.
async fn rebalance_positions(tx: &mut TeamTx, board: BoardId) -> Result<(), sqlx::Error> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE pipelines SET position = o.place * $3
             FROM (SELECT id AS pipeline, row_number() OVER (ORDER BY position, id) AS place
                   FROM pipelines WHERE team_id = $1 AND board_id = $2) o
             WHERE pipelines.team_id = $1 AND pipelines.id = o.pipeline"
        )
        .bind(team)
        .bind(board)
        .bind(GAP)
    )?;
    sql!(
        &mut **tx,
        execute,
        query("UPDATE boards SET order_epoch = order_epoch + 1 WHERE team_id = $1 AND id = $2").bind(team).bind(board)
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_between_until_there_is_none() {
        assert_eq!(between(0, GAP), Some(GAP / 2));
        assert_eq!(between(-2 * GAP, 0), Some(-GAP));
        assert_eq!(between(4, 5), None);
        assert_eq!(between(5, 5), None);
        assert_eq!(between(i64::MIN, i64::MAX), None);
        let (mut high, mut halvings) = (GAP, 0);
        while let Some(middle) = between(0, high) {
            (high, halvings) = (middle, halvings + 1);
        }
        assert_eq!(halvings, 32);
    }

    #[test]
    fn a_place_is_written_and_read() {
        let place =
            OrderPosition { epoch: 2, position: -7, id: "0198c8f0-0000-7000-8000-000000000001".parse().unwrap() };
        assert_eq!(place.to_string().parse::<OrderPosition>().unwrap(), place);
        for text in ["", "1", "1.2", "1.2.x", "1.2.0198c8f0-0000-7000-8000-000000000001.3"] {
            assert!(text.parse::<OrderPosition>().is_err(), "{text}");
        }
    }
}
