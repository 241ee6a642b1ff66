//! Pages: `?limit=&cursor=`. A cursor is the place after the last thing of a page, opaque to
//! clients: what comes or goes meanwhile neither repeats nor hides the rest. It belongs to the order and the
//! filters that it was given for, and is refused with others.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use restroy_sdk::{api::Page, problem::ProblemCode};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use utoipa::IntoParams;
use uuid::Uuid;

use crate::{
    api::limits::MAX_NAME,
    error::{ApiError, ApiResult},
    store::sort::{AgeOrder, ListSelection, SortOrder, pattern},
};

/// The things on a page unless the request says otherwise.
const DEFAULT_LIMIT: u32 = 50;
/// The most things on a page.
const MAX_LIMIT: u32 = 100;
/// The longest cursor, in characters.
const MAX_CURSOR: usize = 1024;
/// The most bytes of what things hold on a page, unless a single one holds more.
const MAX_PAGE_BYTES: usize = 1024 * 1024;
/// How many rows are read at once where they can be large.
const FEW: usize = 16;

/// Which page of a list; used with [`super::Query`].
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// How many items (1–100, default 50).
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// What else was asked for.
    #[serde(skip)]
    #[param(ignore)]
    of: String,
}

impl PageQuery {
    /// From a query that has more than the page.
    pub fn new(limit: Option<u32>, cursor: Option<String>) -> Self {
        Self { limit, cursor, of: String::new() }
    }

    /// The page of a list in this order and with these filters: a cursor of another is refused.
    #[must_use]
    pub fn for_list(mut self, asked: impl fmt::Debug) -> Self {
        self.of = format!("{asked:?}");
        self
    }

    /// How many things fit on the page.
    pub fn limit(&self) -> ApiResult<u32> {
        match self.limit {
            None => Ok(DEFAULT_LIMIT),
            Some(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
            Some(_) => Err(ApiError::with(ProblemCode::BadRequest, format!("`limit` is 1 to {MAX_LIMIT}."))),
        }
    }

    /// How many rows to read: one more than fit on the page says whether there is another.
    pub fn rows(&self) -> ApiResult<i64> {
        Ok(i64::from(self.limit()?) + 1)
    }

    /// The place to continue from, as it was given to [`paged`]; `None` on the first page.
    pub fn after<T: FromStr>(&self) -> ApiResult<Option<T>> {
        let refused = || {
            let detail = "`cursor` is not one that this list gave for this order and these filters.";
            ApiError::with(ProblemCode::BadRequest, detail)
        };
        let Some(cursor) = &self.cursor else { return Ok(None) };
        if cursor.len() > MAX_CURSOR {
            return Err(refused());
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| refused())?;
        let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or_else(refused)?;
        let place = text.split_once('\n').filter(|(of, _)| *of == self.tag());
        place.and_then(|(_, place)| place.parse().ok()).map(Some).ok_or_else(refused)
    }

    /// What a cursor says of the list that it is of.
    fn tag(&self) -> String {
        hex::encode(&Sha256::digest(&self.of)[..4])
    }
}

/// The cursor of a place.
fn cursor(tag: &str, place: impl fmt::Display) -> String {
    URL_SAFE_NO_PAD.encode(format!("{tag}\n{place}"))
}

/// Which page of a list, and in which order by age; used with [`super::Query`].
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AgePageQuery {
    /// Sort order; the response's description names the default.
    #[param(inline)]
    sort: Option<AgeOrder>,
    /// How many items (1–100, default 50).
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl AgePageQuery {
    /// The order, or else the default, and the page.
    pub fn default_order(self, default: AgeOrder) -> (AgeOrder, PageQuery) {
        let age = self.sort.unwrap_or(default);
        (age, PageQuery::new(self.limit, self.cursor).for_list(age))
    }
}

/// Which page of a list of named things, in which order; used with [`super::Query`].
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SortedPageQuery {
    /// Sort order; the response's description names the default.
    #[param(inline)]
    sort: Option<SortOrder>,
    /// Only what has this in its name; ASCII letters in either case.
    #[param(min_length = 1, max_length = 64)]
    name: Option<String>,
    /// How many items (1–100, default 50).
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// What else was asked for.
    #[serde(skip)]
    #[param(ignore)]
    of: String,
}

impl SortedPageQuery {
    /// From a query that has more than the page.
    pub fn new(sort: Option<SortOrder>, name: Option<String>, limit: Option<u32>, cursor: Option<String>) -> Self {
        Self { sort, name, limit, cursor, of: String::new() }
    }

    /// The page of a list with these filters too: a cursor of another is refused.
    #[must_use]
    pub fn for_list(mut self, asked: impl fmt::Debug) -> Self {
        self.of = format!("{asked:?}");
        self
    }

    /// Sets the default order.
    #[must_use]
    pub fn default_order(mut self, default: SortOrder) -> Self {
        self.sort = self.sort.or(Some(default));
        self
    }

    fn paged(&self) -> PageQuery {
        let order = self.sort.unwrap_or_default();
        PageQuery::new(self.limit, self.cursor.clone()).for_list((order, &self.name, &self.of))
    }

    /// What is to be read.
    pub fn selection(&self) -> ApiResult<ListSelection> {
        let page = self.paged();
        let after = page.after::<NameCursor>()?.map(|NameCursor(id, name)| (id, name));
        let order = self.sort.unwrap_or_default();
        Ok(ListSelection { order, after, name: name_filter(self.name.as_deref())?, rows: page.rows()? })
    }

    /// A page of the rows that were read; `place` reports a row's id and name.
    pub fn page<T>(&self, rows: Vec<T>, place: impl Fn(&T) -> (Uuid, &String)) -> ApiResult<Page<T>> {
        paged(&self.paged(), rows, |row| {
            let (id, name) = place(row);
            format!("{id}\n{name}")
        })
    }
}

/// The place of a named thing, in a cursor.
struct NameCursor(Uuid, String);

impl FromStr for NameCursor {
    type Err = uuid::Error;

    fn from_str(place: &str) -> Result<Self, uuid::Error> {
        let (id, name) = place.split_once('\n').unwrap_or_default();
        Ok(Self(id.parse()?, name.to_owned()))
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
pub struct PageBuilder<T> {
    items: Vec<T>,
    limit: usize,
    bytes: usize,
    tag: String,
    /// Whether there are more than fit on the page; unknown as long as it is filled.
    more: Option<bool>,
}

impl<T> PageBuilder<T> {
    /// An empty one.
    pub fn new(page: &PageQuery) -> ApiResult<Self> {
        Ok(Self { items: Vec::new(), limit: page.limit()? as usize, bytes: 0, tag: page.tag(), more: None })
    }

    /// How many rows to read next; `None` when the page is done.
    pub fn rows_wanted(&self) -> Option<i64> {
        let missing = self.limit + 1 - self.items.len();
        self.more.is_none().then(|| i64::try_from(missing.min(FEW)).unwrap_or(1))
    }

    /// Takes the rows that were read after those before; `weight` reports a row's bytes.
    pub fn push_rows(&mut self, rows: Vec<T>, asked: i64, weight: impl Fn(&T) -> usize) {
        let all = i64::try_from(rows.len()).unwrap_or(i64::MAX) < asked;
        for row in rows {
            let bytes = self.bytes.saturating_add(weight(&row));
            if self.items.len() >= self.limit || (bytes > MAX_PAGE_BYTES && !self.items.is_empty()) {
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

    /// The page; `place` reports a row's place in the order.
    pub fn page<P: fmt::Display>(self, place: impl Fn(&T) -> P) -> Page<T> {
        let last = self.items.last().filter(|_| self.more == Some(true));
        let next_cursor = last.map(|last| cursor(&self.tag, place(last)));
        Page { items: self.items, next_cursor }
    }
}

/// A page of the rows that [`PageQuery::rows`] asked for; `place` reports a row's place in the order.
pub fn paged<T, P: fmt::Display>(query: &PageQuery, mut rows: Vec<T>, place: impl Fn(&T) -> P) -> ApiResult<Page<T>> {
    let limit = query.limit()? as usize;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| more).map(|last| cursor(&query.tag(), place(last)));
    Ok(Page { items: rows, next_cursor })
}
