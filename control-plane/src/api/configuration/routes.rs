//! `/v1/scripts/{id}/configuration`, `…/configuration/{key}`, `…/configuration/{key}/history`, and the same
//! of boards and teams.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use restroy_sdk::{
    api::{
        Page,
        script::{ConfigurationEntry, ConfigurationRevision, PutConfiguration},
    },
    ids::{BoardId, ScriptId, TeamId},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{EntryQuery, RevisionQuery};
use crate::{
    api::http::{Body, Path, Query},
    auth::{Caller, Permission},
    error::ApiResult,
    state::AppState,
    store::configuration::ConfigOwner,
};

/// The routes of one kind of place, each with its own words in the document. What they do is beside this
/// file; here is where, of whom, and what it takes.
macro_rules! routes_of {
    (
        $module:ident: $id:ident, $place:ident, tag $tag:tt, called $called:tt,
        entered by $enter:ident, read with $read:ident, written with $write:ident,
        $(#[$list_doc:meta])* GET $list:ident $collection:tt,
        $(#[$get_doc:meta])* GET $get:ident $entry:tt,
        $(#[$put_doc:meta])* PUT $put:ident,
        $(#[$delete_doc:meta])* DELETE $delete:ident,
        $(#[$history_doc:meta])* GET $history:ident $changes:tt,
    ) => {
        mod $module {
            use super::*;

            pub(super) fn routes() -> OpenApiRouter<AppState> {
                OpenApiRouter::new().routes(routes!($list)).routes(routes!($get, $put, $delete)).routes(routes!($history))
            }

            $(#[$list_doc])*
            #[utoipa::path(
                get, path = $collection, tag = $tag,
                params(("id" = $id, Path, description = $called), EntryQuery),
                responses((status = 200, description = "Sorted by key by default", body = Page<ConfigurationEntry>)),
            )]
            async fn $list(
                State(state): State<AppState>,
                caller: Caller,
                Path(id): Path<$id>,
                Query(entries): Query<EntryQuery>,
            ) -> ApiResult<Json<Page<ConfigurationEntry>>> {
                let scope = caller.$enter(&state, id, Permission::$read).await?;
                super::super::list(&scope, ConfigOwner::$place(id), entries).await
            }

            $(#[$get_doc])*
            #[utoipa::path(
                get, path = $entry, tag = $tag,
                params(("id" = $id, Path, description = $called), ("key" = String, Path, description = "The key")),
                responses(
                    (status = 200, description = "The entry; a secret without its value", body = ConfigurationEntry,
                     headers(("ETag" = String, description = "For `If-Match` of the next change"))),
                ),
            )]
            async fn $get(
                State(state): State<AppState>,
                caller: Caller,
                Path((id, key)): Path<($id, String)>,
            ) -> ApiResult<Response> {
                let scope = caller.$enter(&state, id, Permission::$read).await?;
                super::super::get(&scope, ConfigOwner::$place(id), &key).await
            }

            $(#[$put_doc])*
            #[utoipa::path(
                put, path = $entry, tag = $tag, request_body = PutConfiguration,
                params(
                    ("id" = $id, Path, description = $called),
                    ("key" = String, Path, description = "Letters, digits and `_`; up to 64"),
                    ("If-Match" = Option<String>, Header, description = "412 unless it is the entry's tag"),
                    ("If-None-Match" = Option<String>, Header, description = "`*`: 412 if the key is set"),
                ),
                responses(
                    (status = 200, description = "The entry; a secret without its value", body = ConfigurationEntry,
                     headers(("ETag" = String, description = "For `If-Match` of the next change"))),
                ),
            )]
            async fn $put(
                State(state): State<AppState>,
                caller: Caller,
                Path((id, key)): Path<($id, String)>,
                headers: HeaderMap,
                Body(put): Body<PutConfiguration>,
            ) -> ApiResult<Response> {
                let permission = if put.secret { Permission::SecretWrite } else { Permission::$write };
                let scope = caller.$enter(&state, id, permission).await?;
                super::super::put(&state, &scope, ConfigOwner::$place(id), &key, &headers, &put).await
            }

            $(#[$delete_doc])*
            #[utoipa::path(
                delete, path = $entry, tag = $tag,
                params(
                    ("id" = $id, Path, description = $called),
                    ("key" = String, Path, description = "The key"),
                    ("If-Match" = Option<String>, Header, description = "412 unless it is the entry's tag"),
                ),
                responses((status = 204, description = "Deleted")),
            )]
            async fn $delete(
                State(state): State<AppState>,
                caller: Caller,
                Path((id, key)): Path<($id, String)>,
                headers: HeaderMap,
            ) -> ApiResult<StatusCode> {
                let scope = caller.$enter(&state, id, Permission::$write).await?;
                super::super::delete(&state, &scope, ConfigOwner::$place(id), &key, &headers).await
            }

            $(#[$history_doc])*
            #[utoipa::path(
                get, path = $changes, tag = $tag,
                params(
                    ("id" = $id, Path, description = $called),
                    ("key" = String, Path, description = "The key"),
                    RevisionQuery,
                ),
                responses((status = 200, description = "The newest first by default", body = Page<ConfigurationRevision>)),
            )]
            async fn $history(
                State(state): State<AppState>,
                caller: Caller,
                Path((id, key)): Path<($id, String)>,
                Query(revisions): Query<RevisionQuery>,
            ) -> ApiResult<Json<Page<ConfigurationRevision>>> {
                let scope = caller.$enter(&state, id, Permission::$read).await?;
                super::super::history(&scope, ConfigOwner::$place(id), &key, revisions).await
            }
        }
    };
}

routes_of! {
    of_scripts: ScriptId, Script, tag "scripts", called "The script",
    entered by script, read with PipelineRead, written with PipelineEdit,
    /// List a script's configuration, secrets without their values
    GET list_configuration "/v1/scripts/{id}/configuration",
    /// Get a key of a script's configuration, a secret without its value
    GET get_configuration "/v1/scripts/{id}/configuration/{key}",
    /// Set a value or a secret of a script; new runs use a value, new claims a secret
    PUT put_configuration,
    /// Remove a value or a secret of a script; the value of the board, team or document applies again
    DELETE delete_configuration,
    /// List the changes of a script's key, never the value of a secret
    GET list_configuration_history "/v1/scripts/{id}/configuration/{key}/history",
}

routes_of! {
    of_boards: BoardId, Board, tag "boards", called "The board",
    entered by board, read with BoardRead, written with ConfigurationWrite,
    /// List a board's configuration, secrets without their values
    GET list_board_configuration "/v1/boards/{id}/configuration",
    /// Get a key of a board's configuration, a secret without its value
    GET get_board_configuration "/v1/boards/{id}/configuration/{key}",
    /// Set a value or a secret for all scripts on a board that declare the key and have none of their own
    PUT put_board_configuration,
    /// Remove a value or a secret of a board; the value of the team or document applies again
    DELETE delete_board_configuration,
    /// List the changes of a board's key, never the value of a secret
    GET list_board_configuration_history "/v1/boards/{id}/configuration/{key}/history",
}

routes_of! {
    of_teams: TeamId, Team, tag "teams", called "The team",
    entered by team, read with PipelineRead, written with ConfigurationWrite,
    /// List a team's configuration, secrets without their values
    GET list_team_configuration "/v1/teams/{id}/configuration",
    /// Get a key of a team's configuration, a secret without its value
    GET get_team_configuration "/v1/teams/{id}/configuration/{key}",
    /// Set a value or a secret for all scripts of a team that declare the key and have none from script or board
    PUT put_team_configuration,
    /// Remove a value or a secret of a team; the document's default applies again
    DELETE delete_team_configuration,
    /// List the changes of a team's key, never the value of a secret
    GET list_team_configuration_history "/v1/teams/{id}/configuration/{key}/history",
}

/// The routes of all three.
pub(in crate::api) fn routes() -> OpenApiRouter<AppState> {
    of_scripts::routes().merge(of_boards::routes()).merge(of_teams::routes())
}
