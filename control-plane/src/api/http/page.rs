//! Pages: `?limit=&cursor=`. A cursor is the place after the last thing of a page, opaque to
//! clients: what comes or goes meanwhile neither repeats nor hides the rest.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use restroy_sdk::{api::Page, problem::ProblemCode};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::{
    api::limits::MAX_NAME,
    error::{ApiError, ApiResult},
    store::sort::{Age, Order, Selection, pattern},
};

/// The things on a page unless the request says otherwise.
const DEFAULT: u32 = 50;
/// The most things on a page.
const MOST: u32 = 100;
/// The longest cursor, in characters.
const MAX_CURSOR: usize = 1024;
/// The most bytes of what things hold on a page, unless a single one holds more.
const MOST_BYTES: usize = 1024 * 1024;
/// How many rows are read at once where they can be large.
const FEW: usize = 16;

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

impl Paged {
    /// The place to go on from in a list by age, as it was given by [`place_by`]; 400 when the cursor is of
    /// the other order.
    pub fn after_by<T: std::str::FromStr>(&self, age: Age) -> ApiResult<Option<T>> {
        let Some(place) = self.after::<String>()? else { return Ok(None) };
        let place = place.split_once('\n').filter(|(sort, _)| *sort == age.as_str());
        let id = place.and_then(|(_, id)| id.parse().ok());
        let refused = || ApiError::with(ProblemCode::BadRequest, "`cursor` is one of another list or order.");
        id.map(Some).ok_or_else(refused)
    }
}

/// Which page of a list of named things, in which order; used with [`super::Query`]. A cursor belongs to
/// the order that it was given in.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Sorted {
    /// In which order: the oldest first unless told.
    #[param(inline)]
    sort: Option<Order>,
    /// Only what has this in its name; ASCII letters in either case.
    #[param(min_length = 1, max_length = 64)]
    name: Option<String>,
    /// How many things: 1 to 100, 50 unless told.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl Sorted {
    /// From a query that has more than the page.
    pub fn new(sort: Option<Order>, name: Option<String>, limit: Option<u32>, cursor: Option<String>) -> Self {
        Self { sort, name, limit, cursor }
    }

    fn paged(&self) -> Paged {
        Paged::new(self.limit, self.cursor.clone())
    }

    /// What is to be read.
    pub fn selection(&self) -> ApiResult<Selection> {
        let order = self.sort.unwrap_or_default();
        let after = match self.paged().after::<String>()? {
            None => None,
            Some(place) => {
                let refused = || ApiError::with(ProblemCode::BadRequest, "`cursor` is one of another list or order.");
                let mut parts = place.splitn(3, '\n');
                let (sort, id, name) = (parts.next(), parts.next(), parts.next());
                let id = id.and_then(|id| id.parse().ok()).ok_or_else(refused)?;
                let name = name.filter(|_| sort == Some(order.as_str())).ok_or_else(refused)?;
                Some((id, name.to_owned()))
            }
        };
        Ok(Selection { order, after, name: name_filter(self.name.as_deref())?, rows: self.paged().rows()? })
    }

    /// A page of the rows that were read; `place` tells a row's id and name.
    pub fn page<T>(&self, rows: Vec<T>, place: impl Fn(&T) -> (Uuid, &String)) -> ApiResult<Page<T>> {
        let order = self.sort.unwrap_or_default().as_str();
        paged(&self.paged(), rows, |row| {
            let (id, name) = place(row);
            format!("{order}\n{id}\n{name}")
        })
    }
}

/// The pattern of `?name=`.
pub fn name_filter(name: Option<&str>) -> ApiResult<Option<String>> {
    match name {
        None => Ok(None),
        Some(name) if (1..=MAX_NAME).contains(&name.chars().count()) && !name.contains('\0') => Ok(Some(pattern(name))),
        Some(_) => Err(ApiError::with(ProblemCode::BadRequest, format!("`name` has 1 to {MAX_NAME} characters."))),
    }
}

/// A page that is filled a few rows at a time, and ends early when it has enough bytes.
#[derive(Debug)]
pub struct Filling<T> {
    items: Vec<T>,
    limit: usize,
    bytes: usize,
    /// Whether there are more than go on the page; unknown as long as it is filled.
    more: Option<bool>,
}

impl<T> Filling<T> {
    /// An empty one.
    pub fn new(page: &Paged) -> ApiResult<Self> {
        Ok(Self { items: Vec::new(), limit: page.limit()? as usize, bytes: 0, more: None })
    }

    /// How many rows to read next; `None` when the page is done.
    pub fn wants(&self) -> Option<i64> {
        let missing = self.limit + 1 - self.items.len();
        self.more.is_none().then(|| i64::try_from(missing.min(FEW)).unwrap_or(1))
    }

    /// Takes the rows that were read after those before; `weight` tells a row's bytes.
    pub fn take(&mut self, rows: Vec<T>, asked: i64, weight: impl Fn(&T) -> usize) {
        let all = i64::try_from(rows.len()).unwrap_or(i64::MAX) < asked;
        for row in rows {
            let bytes = self.bytes.saturating_add(weight(&row));
            if self.items.len() >= self.limit || (bytes > MOST_BYTES && !self.items.is_empty()) {
                self.more = Some(true);
                return;
            }
            self.bytes = bytes;
            self.items.push(row);
        }
        if all {
            self.more = Some(false);
        }
    }

    /// The page; `place` tells a row's place in the order.
    pub fn page<P: ToString>(self, place: impl Fn(&T) -> P) -> Page<T> {
        let last = self.items.last().filter(|_| self.more == Some(true));
        let next_cursor = last.map(|last| URL_SAFE_NO_PAD.encode(place(last).to_string().as_bytes()));
        Page { items: self.items, next_cursor }
    }
}

/// A thing's place in a list by age.
pub fn place_by(age: Age, id: impl std::fmt::Display) -> String {
    format!("{}\n{id}", age.as_str())
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
