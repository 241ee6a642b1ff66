//! Which entries of an audit log are wanted, as queries say it.

use restroy_sdk::{
    api::{Page, audit::AuditEntry},
    ids::{AuditId, UserId},
    problem::ProblemCode,
    time::Timestamp,
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    api::http::PageQuery,
    error::{ApiError, ApiResult},
    store::audit::{EntryFilter, EntryPage},
};

/// The longest text of a filter, in bytes.
pub(in crate::api) const MAX_TEXT: usize = 200;

/// Which entries, and how many.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    /// Only actions that begin so: `board.` is all that was done to boards.
    action: Option<String>,
    /// Only what this person did.
    user: Option<UserId>,
    /// Only what was done to this thing, named as entries name it: `board 0198…`.
    subject: Option<String>,
    /// Only from this moment on.
    from: Option<Timestamp>,
    /// Only before this moment.
    to: Option<Timestamp>,
    /// How many items (1–100, default 50). A page may be shorter although there is another.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Which entries go into an export.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportQuery {
    /// Only actions that begin so: `board.` is all that was done to boards.
    action: Option<String>,
    /// Only what this person did.
    user: Option<UserId>,
    /// Only what was done to this thing, named as entries name it: `board 0198…`.
    subject: Option<String>,
    /// Only from this moment on.
    from: Option<Timestamp>,
    /// Only before this moment.
    to: Option<Timestamp>,
}

impl AuditQuery {
    /// The filter, the place to continue from, and how many.
    pub(super) fn read(self) -> ApiResult<(EntryFilter, Option<AuditId>, u32)> {
        let limit = PageQuery::new(self.limit, None).limit()?;
        let before = self.cursor.map(|cursor| cursor.parse()).transpose();
        let before =
            before.map_err(|_| ApiError::with(ProblemCode::BadRequest, "`cursor` is not one that this list gave."))?;
        let Self { action, user, subject, from, to, .. } = self;
        Ok((ExportQuery { action, user, subject, from, to }.read()?, before, limit))
    }
}

impl ExportQuery {
    /// The filter.
    pub(super) fn read(self) -> ApiResult<EntryFilter> {
        for (name, text) in [("action", &self.action), ("subject", &self.subject)] {
            if text.as_ref().is_some_and(|text| text.len() > MAX_TEXT || text.contains('\0')) {
                let detail = format!("`{name}` has at most {MAX_TEXT} bytes and no character U+0000.");
                return Err(ApiError::with(ProblemCode::BadRequest, detail));
            }
        }
        Ok(EntryFilter {
            action: self.action.unwrap_or_default(),
            user: self.user,
            subject: self.subject,
            from: self.from.unwrap_or(Timestamp(i64::MIN)),
            to: self.to.unwrap_or(Timestamp(i64::MAX)),
        })
    }
}

/// As a page.
pub(super) fn page(found: EntryPage) -> Page<AuditEntry> {
    Page { items: found.entries, next_cursor: found.next.map(|next| next.to_string()) }
}
