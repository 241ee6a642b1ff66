//! What the configurations of scripts, boards and teams have in common; each of the three has its routes,
//! and says by which scope it is reached.

use axum::{
    Json,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use restroy_sdk::api::{
    Page,
    script::{ConfigurationEntry, ConfigurationRevision, PutConfiguration},
};
use serde_json::json;

use super::{
    http::{Fields, Paged, etag, fits, paged},
    limits,
};
use crate::{
    auth::{Permission, Scope},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        TeamTx, audit, boards,
        configuration::{self, Change, Place, Value},
        pipelines, scripts, teams,
    },
};

/// The longest key, in bytes.
const MAX_KEY: usize = 64;

/// What is set at a place; secrets without their values.
pub(super) async fn list(scope: &Scope, place: Place, page: &Paged) -> ApiResult<Json<Page<ConfigurationEntry>>> {
    let (after, rows) = (page.after::<String>()?, page.rows()?);
    let mut tx = scope.read().await?;
    let entries = configuration::list(&mut tx, place, after.as_deref(), rows).await?;
    Ok(Json(paged(page, entries, |entry| entry.key.clone())?))
}

/// What a key holds.
pub(super) async fn get(scope: &Scope, place: Place, key: &str) -> ApiResult<Response> {
    let mut tx = scope.read().await?;
    let entry = configuration::get(&mut tx, place, key).await?.ok_or_else(ApiError::not_found)?;
    Ok(tagged(entry))
}

/// The revisions of a key; of a secret who set it and when, and nothing more.
pub(super) async fn history(
    scope: &Scope,
    place: Place,
    key: &str,
    page: &Paged,
) -> ApiResult<Json<Page<ConfigurationRevision>>> {
    let (before, rows) = (page.after::<i64>()?, page.rows()?);
    let mut tx = scope.read().await?;
    let revisions = configuration::history(&mut tx, place, key, before, rows).await?;
    if revisions.is_empty() && before.is_none() {
        return Err(ApiError::not_found());
    }
    Ok(Json(paged(page, revisions, |revision| revision.revision)?))
}

/// Sets a key. The scope holds the permission that the kind of value takes.
pub(super) async fn put(
    state: &AppState,
    scope: &Scope,
    place: Place,
    key: &str,
    headers: &HeaderMap,
    put: &PutConfiguration,
) -> ApiResult<Response> {
    check(key, put)?;
    let (mut tx, scope) = scope.write_renewed().await?;
    let present = configuration::get(&mut tx, place, key).await?;
    fits(headers, tag(present.as_ref()).as_deref())?;
    if present.as_ref().is_some_and(|present| present.secret) {
        // Writing a plain value over a secret takes the secret away.
        scope.require(Permission::SecretWrite)?;
    }
    room(&mut tx, place, present.as_ref(), put.secret).await?;
    configuration::forget_old(&mut tx, place, key, state.ambient.now()).await?;
    limits::room(
        configuration::revisions(&mut tx, place, key).await?,
        limits::REVISIONS_PER_KEY,
        "changes of one key within a few days",
    )?;
    let team_key = teams::key(&mut tx, &state.keys).await?;
    let value = if put.secret { Value::Secret(&put.value, &team_key) } else { Value::Plain(&put.value) };
    let config_revision = raise(&mut tx, place).await?;
    let change = Change { place, key, value, config_revision, author: scope.user() };
    let entry = configuration::write(&mut tx, &state.ambient, &change).await?;
    let action = if put.secret { "secret.set" } else { "configuration.set" };
    note(state, &scope, &mut tx, place, (action, key, entry.revision), (present.as_ref(), Some(&entry))).await?;
    tx.commit().await?;
    Ok(tagged(entry))
}

/// Takes a key away. The scope holds the permission that a plain value takes.
pub(super) async fn delete(
    state: &AppState,
    scope: &Scope,
    place: Place,
    key: &str,
    headers: &HeaderMap,
) -> ApiResult<StatusCode> {
    let (mut tx, scope) = scope.write_renewed().await?;
    let present = configuration::get(&mut tx, place, key).await?.ok_or_else(ApiError::not_found)?;
    fits(headers, tag(Some(&present)).as_deref())?;
    if present.secret {
        scope.require(Permission::SecretWrite)?;
    }
    let config_revision = raise(&mut tx, place).await?;
    let change = Change { place, key, value: Value::Removed, config_revision, author: scope.user() };
    let removed = configuration::write(&mut tx, &state.ambient, &change).await?;
    let action = if present.secret { "secret.remove" } else { "configuration.remove" };
    note(state, &scope, &mut tx, place, (action, key, removed.revision), (Some(&present), None)).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The permission to set a value: that of secrets, or `plain`.
pub(super) fn permission(put: &PutConfiguration, plain: Permission) -> Permission {
    if put.secret { Permission::SecretWrite } else { plain }
}

/// What a place is called.
fn kind(place: Place) -> &'static str {
    match place {
        Place::Script(_) => "script",
        Place::Board(_) => "board",
        Place::Team(_) => "team",
    }
}

/// Counts the change; runs that started before it do not see it.
async fn raise(tx: &mut TeamTx, place: Place) -> ApiResult<i64> {
    Ok(match place {
        Place::Script(id) => {
            let script = scripts::get(tx, id).await?.ok_or_else(ApiError::not_found)?;
            pipelines::raise_config_revision(tx, script.pipeline_id).await?
        }
        Place::Board(id) => boards::raise_config_revision(tx, id).await?,
        Place::Team(_) => teams::raise_config_revision(tx).await?,
    })
}

/// 429 unless there is room for one more key of that sort.
async fn room(tx: &mut TeamTx, place: Place, present: Option<&ConfigurationEntry>, secret: bool) -> ApiResult<()> {
    if present.is_some_and(|present| present.secret == secret) {
        return Ok(());
    }
    let (values, secrets) = configuration::count(tx, place).await?;
    let kind = kind(place);
    if secret {
        limits::room(secrets, limits::SECRETS_PER_PLACE, &format!("secrets of a {kind}"))
    } else {
        limits::room(values, limits::VALUES_PER_PLACE, &format!("values of a {kind}"))
    }
}

async fn note(
    state: &AppState,
    scope: &Scope,
    tx: &mut TeamTx,
    place: Place,
    (action, key, revision): (&str, &str, i64),
    (before, after): (Option<&ConfigurationEntry>, Option<&ConfigurationEntry>),
) -> ApiResult<()> {
    // The entry of a secret has no value.
    let seen = |entry: &ConfigurationEntry| match &entry.value {
        Some(value) => json!({ "value": value, "revision": entry.revision }),
        None => json!({ "secret": true, "revision": entry.revision }),
    };
    let mut entry =
        audit::Entry::new(action, kind(place), place.id()).details(json!({ "key": key, "revision": revision }));
    entry.before = before.map(seen);
    entry.after = after.map(seen);
    Ok(audit::in_team(tx, &state.ambient, scope.actor(), entry).await?)
}

fn tag(entry: Option<&ConfigurationEntry>) -> Option<String> {
    entry.map(|entry| entry.revision.to_string())
}

fn tagged(entry: ConfigurationEntry) -> Response {
    (etag(&entry.revision.to_string()), Json(entry)).into_response()
}

fn check(key: &str, put: &PutConfiguration) -> ApiResult<()> {
    let mut fields = Fields::new();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !(1..=MAX_KEY).contains(&key.len()) || !key.bytes().all(plain) || key.starts_with(|c: char| c.is_ascii_digit()) {
        fields.fault("", format!("the key in the path is 1 to {MAX_KEY} letters, digits and `_`, not a digit first"));
    }
    let bytes = put.value.len();
    if bytes > limits::MAX_VALUE {
        fields.fault("/value", format!("at most {} bytes", limits::MAX_VALUE));
    }
    if put.value.contains('\0') {
        fields.fault("/value", "no character U+0000");
    }
    if put.secret && bytes < limits::MIN_SECRET {
        let detail = format!("a secret has at least {} bytes: a shorter one cannot be masked", limits::MIN_SECRET);
        fields.fault("/value", detail);
    }
    fields.done()
}
