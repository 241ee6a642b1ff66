//! `/v1/scripts/{id}/configuration`, `…/configuration/{key}`

use axum::{Json, extract::State, http::StatusCode};
use restroy_sdk::{
    api::{
        Page,
        script::{ConfigurationEntry, PutConfiguration},
    },
    ids::ScriptId,
};

use crate::{
    api::{
        http::{Body, Fields, Paged, Path, Query, paged},
        limits,
    },
    auth::{Caller, Permission},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        audit,
        configuration::{self, Change, Value},
        pipelines, scripts, teams,
    },
};

/// The longest key, in bytes.
const MAX_KEY: usize = 64;

/// What is set for the script; secrets without their values.
#[utoipa::path(
    get, path = "/v1/scripts/{id}/configuration", tag = "scripts",
    params(("id" = ScriptId, Path, description = "The script"), Paged),
    responses((status = 200, description = "By key", body = Page<ConfigurationEntry>)),
)]
pub(super) async fn list_configuration(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<ScriptId>,
    Query(page): Query<Paged>,
) -> ApiResult<Json<Page<ConfigurationEntry>>> {
    let scope = caller.script(&state, id, Permission::PipelineRead).await?;
    let (after, rows) = (page.after::<String>()?, page.rows()?);
    let mut tx = scope.read().await?;
    let entries = configuration::list(&mut tx, id, after.as_deref(), rows).await?;
    Ok(Json(paged(&page, entries, |entry| entry.key.clone())?))
}

/// Sets a value, over the document's default, or a secret. Plain values hold for runs that start
/// from now on, secrets for every step that is handed out from now on.
#[utoipa::path(
    put, path = "/v1/scripts/{id}/configuration/{key}", tag = "scripts", request_body = PutConfiguration,
    params(
        ("id" = ScriptId, Path, description = "The script"),
        ("key" = String, Path, description = "Letters, digits and `_`; up to 64"),
    ),
    responses((status = 200, description = "The entry; a secret without its value", body = ConfigurationEntry)),
)]
pub(super) async fn put_configuration(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, key)): Path<(ScriptId, String)>,
    Body(put): Body<PutConfiguration>,
) -> ApiResult<Json<ConfigurationEntry>> {
    let permission = if put.secret { Permission::SecretWrite } else { Permission::PipelineEdit };
    let scope = caller.script(&state, id, permission).await?;
    check(&key, &put)?;
    let mut tx = scope.write().await?;
    let present = configuration::in_force(&mut tx, id, &key).await?;
    if present == Some(true) {
        // Writing a plain value over a secret takes the secret away.
        scope.require(Permission::SecretWrite)?;
    }
    if present != Some(put.secret) {
        let (values, secrets) = configuration::count(&mut tx, id).await?;
        if put.secret {
            limits::room(secrets, limits::SECRETS_PER_SCRIPT, "secrets of a script")?;
        } else {
            limits::room(values, limits::VALUES_PER_SCRIPT, "values of a script")?;
        }
    }
    let script = scripts::get(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    let team_key = teams::key(&mut tx, &state.keys).await?;
    let value = if put.secret { Value::Secret(&put.value, &team_key) } else { Value::Plain(&put.value) };
    let config_revision = pipelines::raise_config_revision(&mut tx, script.pipeline_id).await?;
    let change = Change { script: id, key: &key, value, config_revision, author: caller.user_id };
    let entry = configuration::write(&mut tx, &state.ambient, &change).await?;
    let action = if put.secret { "secret.set" } else { "configuration.set" };
    let note = audit::Entry::new(action, "script", id);
    let note = note.details(serde_json::json!({ "key": key, "revision": entry.revision }));
    audit::in_team(&mut tx, &state.ambient, caller.actor(), note).await?;
    tx.commit().await?;
    Ok(Json(entry))
}

/// Takes a value or secret away; the document's default, if it has one, holds again.
#[utoipa::path(
    delete, path = "/v1/scripts/{id}/configuration/{key}", tag = "scripts",
    params(
        ("id" = ScriptId, Path, description = "The script"),
        ("key" = String, Path, description = "The key"),
    ),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn delete_configuration(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, key)): Path<(ScriptId, String)>,
) -> ApiResult<StatusCode> {
    let scope = caller.script(&state, id, Permission::PipelineEdit).await?;
    let mut tx = scope.write().await?;
    let secret = configuration::in_force(&mut tx, id, &key).await?.ok_or_else(ApiError::not_found)?;
    if secret {
        scope.require(Permission::SecretWrite)?;
    }
    let script = scripts::get(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    let config_revision = pipelines::raise_config_revision(&mut tx, script.pipeline_id).await?;
    let change = Change { script: id, key: &key, value: Value::Removed, config_revision, author: caller.user_id };
    configuration::write(&mut tx, &state.ambient, &change).await?;
    let action = if secret { "secret.remove" } else { "configuration.remove" };
    let note = audit::Entry::new(action, "script", id).details(serde_json::json!({ "key": key }));
    audit::in_team(&mut tx, &state.ambient, caller.actor(), note).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
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
