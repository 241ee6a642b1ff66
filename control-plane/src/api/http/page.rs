//! Pages: `?limit=&cursor=`. A cursor is the place after the last thing of a page, opaque to
//! clients: what comes or goes meanwhile neither repeats nor hides the rest.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use restroy_sdk::{api::Page, problem::ProblemCode};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::{ApiError, ApiResult};

/// The things on a page unless the request says otherwise.
const DEFAULT: u32 = 50;
/// The most things on a page.
const MOST: u32 = 100;
/// The longest cursor, in characters.
const MAX_CURSOR: usize = 1024;

/// Which page of a list; used with [`super::Query`].
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Paged {
    /// How many things: 1 to 100, 50 unless told.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl Paged {
    /// From a query that has more than the page.
    pub fn new(limit: Option<u32>, cursor: Option<String>) -> Self {
        Self { limit, cursor }
    }

    /// How many things go on the page.
    pub fn limit(&self) -> ApiResult<u32> {
        match self.limit {
            None => Ok(DEFAULT),
            Some(limit) if (1..=MOST).contains(&limit) => Ok(limit),
            Some(_) => Err(ApiError::with(ProblemCode::BadRequest, format!("`limit` is 1 to {MOST}."))),
        }
    }

    /// How many rows to read: one more than go on the page tells whether there is another.
    pub fn rows(&self) -> ApiResult<i64> {
        Ok(i64::from(self.limit()?) + 1)
    }

    /// The place to go on from, as it was given to [`paged`]; `None` on the first page.
    pub fn after<T: std::str::FromStr>(&self) -> ApiResult<Option<T>> {
        let refused = || ApiError::with(ProblemCode::BadRequest, "`cursor` is not one that this list gave.");
        let Some(cursor) = &self.cursor else { return Ok(None) };
        if cursor.len() > MAX_CURSOR {
            return Err(refused());
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| refused())?;
        let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or_else(refused)?;
        text.parse().map(Some).map_err(|_| refused())
    }
}

/// A page of the rows that [`Paged::rows`] asked for; `place` tells a row's place in the order.
pub fn paged<T, P: ToString>(query: &Paged, mut rows: Vec<T>, place: impl Fn(&T) -> P) -> ApiResult<Page<T>> {
    let limit = query.limit()? as usize;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor =
        rows.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(place(last).to_string().as_bytes()));
    Ok(Page { items: rows, next_cursor })
}
