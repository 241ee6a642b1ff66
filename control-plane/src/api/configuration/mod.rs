//! The configurations of scripts, boards and teams: what is done to one, wherever it belongs.
//! [`routes`] says by which scope each is reached.

mod routes;

use axum::{
    Json,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use restroy_sdk::{
    api::{
        Page,
        script::{ConfigurationEntry, ConfigurationRevision, PutConfiguration},
    },
    problem::ProblemCode,
};
use serde::Deserialize;
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::{
    http::{
        FieldErrors, PageQuery, SortedPageQuery, check_preconditions, etag, paged,
        rule::{FieldRule as _, TextRule},
    },
    limits,
};
use crate::{
    auth::{Permission, Scope},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        TeamTx, audit, boards,
        configuration::{self, ConfigOwner, ConfigurationChange, NewValue},
        pipelines, scripts,
        sort::{AgeOrder, SortOrder},
        team_keys, teams,
    },
};

pub(super) use routes::routes;

/// By key (byte by byte) or by the last change; `-` for the other way round.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
enum EntryOrder {
    /// By key.
    #[default]
    #[serde(rename = "name")]
    Key,
    /// By key, from the end.
    #[serde(rename = "-name")]
    KeyDown,
    /// What was changed longest ago first.
    #[serde(rename = "updated_at")]
    Oldest,
    /// What was changed last first.
    #[serde(rename = "-updated_at")]
    Newest,
}

impl EntryOrder {
    /// Of the revisions that are in force: they are made when a key is changed.
    fn row_order(self) -> SortOrder {
        match self {
            Self::Key => SortOrder::Name,
            Self::KeyDown => SortOrder::NameDown,
            Self::Oldest => SortOrder::Oldest,
            Self::Newest => SortOrder::Newest,
        }
    }
}

/// Which entries, in which order. A cursor belongs to the order that it was given in.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct EntryQuery {
    /// Sort order (default: by key).
    #[param(inline)]
    sort: Option<EntryOrder>,
    /// Only what has this in its key; ASCII letters in either case.
    #[param(min_length = 1, max_length = 64)]
    name: Option<String>,
    /// How many items (1–100, default 50).
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Which revisions of a key. A cursor belongs to the order that it was given in.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct RevisionQuery {
    /// Sort order (default: the newest first).
    #[param(inline)]
    sort: Option<AgeOrder>,
    /// How many items (1–100, default 50).
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// What is set at a place; secrets without their values.
async fn list(scope: &Scope, place: ConfigOwner, entries: EntryQuery) -> ApiResult<Json<Page<ConfigurationEntry>>> {
    let order = entries.sort.unwrap_or_default().row_order();
    let sorted = SortedPageQuery::new(Some(order), entries.name, entries.limit, entries.cursor);
    let selection = sorted.selection()?;
    let found = configuration::list(&mut scope.read().await?, place, &selection).await?;
    let Page { items, next_cursor } = sorted.page(found, |(id, entry)| (*id, &entry.key))?;
    Ok(Json(Page { items: items.into_iter().map(|(_, entry)| entry).collect(), next_cursor }))
}

/// What a key holds.
async fn get(scope: &Scope, place: ConfigOwner, key: &str) -> ApiResult<Response> {
    let mut tx = scope.read().await?;
    let entry = configuration::get(&mut tx, place, key).await?.ok_or_else(ApiError::not_found)?;
    Ok(entry_response(entry))
}

/// The revisions of a key; of a secret who set it and when, and nothing more.
async fn history(
    scope: &Scope,
    place: ConfigOwner,
    key: &str,
    revisions: RevisionQuery,
) -> ApiResult<Json<Page<ConfigurationRevision>>> {
    let age = revisions.sort.unwrap_or_default();
    let page = PageQuery::new(revisions.limit, revisions.cursor).for_list(age);
    let (after, rows) = (page.after::<i64>()?, page.rows()?);
    let found = configuration::history(&mut scope.read().await?, place, key, age, after, rows).await?;
    if found.is_empty() && after.is_none() {
        return Err(ApiError::not_found());
    }
    Ok(Json(paged(&page, found, |revision| revision.revision)?))
}

/// Sets a key. The scope holds the permission that the kind of value takes.
async fn put(
    state: &AppState,
    scope: &Scope,
    place: ConfigOwner,
    key: &str,
    headers: &HeaderMap,
    put: &PutConfiguration,
) -> ApiResult<Response> {
    check(key, put)?;
    let (mut tx, scope) = scope.write_with_scope().await?;
    let present = configuration::get(&mut tx, place, key).await?;
    check_preconditions(headers, entry_etag(present.as_ref()).as_deref())?;
    if present.as_ref().is_some_and(|present| present.secret) {
        // Writing a plain value over a secret takes the secret away.
        scope.require(Permission::SecretWrite)?;
    }
    configuration::prune_removed(&mut tx, place, state.ambient.now()).await?;
    ensure_below_limit(&mut tx, place, (key, present.as_ref()), put.secret).await?;
    configuration::prune_revisions(&mut tx, place, key, state.ambient.now()).await?;
    limits::ensure_below_limit(
        configuration::revisions(&mut tx, place, key).await?,
        limits::REVISIONS_PER_KEY,
        "changes of one key within a few days",
    )?;
    let team_keys = team_keys::load_for_team(&mut tx, &state.keys).await?;
    let value = if put.secret {
        NewValue::Secret { value: &put.value, usable_only: put.usable_only, keys: &team_keys }
    } else {
        NewValue::Plain(&put.value)
    };
    let config_revision = bump_revision(&mut tx, place).await?;
    let change = ConfigurationChange { place, key, value, config_revision, author: scope.user() };
    let entry = configuration::write(&mut tx, &state.ambient, &change).await?;
    limits::ensure_storage_below_limit(&mut tx).await?;
    let action = if put.secret { "secret.set" } else { "configuration.set" };
    audit_change(state, &scope, &mut tx, place, (action, key, entry.revision), (present.as_ref(), Some(&entry)))
        .await?;
    tx.commit().await?;
    Ok(entry_response(entry))
}

/// Takes a key away. The scope holds the permission that a plain value takes.
async fn delete(
    state: &AppState,
    scope: &Scope,
    place: ConfigOwner,
    key: &str,
    headers: &HeaderMap,
) -> ApiResult<StatusCode> {
    let (mut tx, scope) = scope.write_with_scope().await?;
    let present = configuration::get(&mut tx, place, key).await?.ok_or_else(ApiError::not_found)?;
    check_preconditions(headers, entry_etag(Some(&present)).as_deref())?;
    if present.secret {
        scope.require(Permission::SecretWrite)?;
    }
    let config_revision = bump_revision(&mut tx, place).await?;
    let change = ConfigurationChange { place, key, value: NewValue::Removed, config_revision, author: scope.user() };
    let removed = configuration::write(&mut tx, &state.ambient, &change).await?;
    let action = if present.secret { "secret.remove" } else { "configuration.remove" };
    audit_change(state, &scope, &mut tx, place, (action, key, removed.revision), (Some(&present), None)).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a place is called.
fn owner_kind(place: ConfigOwner) -> &'static str {
    match place {
        ConfigOwner::Script(_) => "script",
        ConfigOwner::Board(_) => "board",
        ConfigOwner::Team(_) => "team",
    }
}

/// Counts the change; runs that started before it do not see it.
async fn bump_revision(tx: &mut TeamTx, place: ConfigOwner) -> ApiResult<i64> {
    Ok(match place {
        ConfigOwner::Script(id) => {
            let script = scripts::get(tx, id).await?.ok_or_else(ApiError::not_found)?;
            pipelines::raise_config_revision(tx, script.pipeline_id).await?
        }
        ConfigOwner::Board(id) => boards::raise_config_revision(tx, id).await?,
        ConfigOwner::Team(_) => teams::raise_config_revision(tx).await?,
    })
}

/// 429 unless there is room for one more key of that sort.
async fn ensure_below_limit(
    tx: &mut TeamTx,
    place: ConfigOwner,
    (key, present): (&str, Option<&ConfigurationEntry>),
    secret: bool,
) -> ApiResult<()> {
    if present.is_some_and(|present| present.secret == secret) {
        return Ok(());
    }
    let count = configuration::count(tx, place).await?;
    let kind = owner_kind(place);
    if secret {
        limits::ensure_below_limit(count.secrets, limits::SECRETS_PER_PLACE, &format!("secrets of a {kind}"))?;
    } else {
        limits::ensure_below_limit(count.plain, limits::VALUES_PER_PLACE, &format!("values of a {kind}"))?;
    }
    // Runs may have started with what was removed: it is kept for a while, and that counts as well.
    if count.removed < limits::REMOVED_PER_PLACE || configuration::revisions(tx, place, key).await? > 0 {
        return Ok(());
    }
    let detail = format!(
        "The limit is {} keys of a {kind} that were removed within the last 9 days, which runs may have started with; set \
         one of them again, or wait.",
        limits::REMOVED_PER_PLACE
    );
    Err(ApiError::with(ProblemCode::QuotaExceeded, detail))
}

async fn audit_change(
    state: &AppState,
    scope: &Scope,
    tx: &mut TeamTx,
    place: ConfigOwner,
    (action, key, revision): (&str, &str, i64),
    (before, after): (Option<&ConfigurationEntry>, Option<&ConfigurationEntry>),
) -> ApiResult<()> {
    // The entry of a secret has no value.
    let seen = |entry: &ConfigurationEntry| match &entry.value {
        Some(value) => json!({ "value": value, "revision": entry.revision }),
        None => json!({ "secret": true, "usable_only": entry.usable_only, "revision": entry.revision }),
    };
    let mut entry =
        audit::Entry::new(action, owner_kind(place), place.id()).details(json!({ "key": key, "revision": revision }));
    entry.before = before.map(seen);
    entry.after = after.map(seen);
    Ok(audit::record_in_team(tx, &state.ambient, scope.actor(), entry).await?)
}

fn entry_etag(entry: Option<&ConfigurationEntry>) -> Option<String> {
    entry.map(|entry| entry.revision.to_string())
}

fn entry_response(entry: ConfigurationEntry) -> Response {
    (etag(entry.revision), Json(entry)).into_response()
}

fn check(key: &str, put: &PutConfiguration) -> ApiResult<()> {
    let mut fields = FieldErrors::new();
    // The key stands in the path: the error is nowhere in the body.
    TextRule::Key.check("", key, &mut fields);
    if put.secret && put.value.len() < limits::MIN_SECRET {
        let detail = format!("a secret needs at least {} bytes: a shorter one cannot be masked", limits::MIN_SECRET);
        fields.error("/value", detail);
    }
    if put.usable_only && !put.secret {
        fields.error("/usable_only", "only secrets can be `usable_only`: set `secret` too");
    }
    Ok(fields.finish()?)
}
