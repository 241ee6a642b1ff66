//! Starting runs by the clock.

use crate::{error::ApiResult, state::AppState};

/// Starts what is due. Gives how many runs.
pub async fn fire_due(_state: &AppState) -> ApiResult<usize> {
    Ok(0)
}
