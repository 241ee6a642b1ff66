//! The client against the API's document: every operation has a call, and the call sends what the operation
//! is.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex},
};

use axum::{Router, extract::Request, http::StatusCode};
use futures_util::StreamExt as _;
use restroy_client::{Client, Paging};
use restroy_sdk::{
    api::{
        account::{ChangeEmail, ChangePassword, ConfirmEmail, MePatch},
        audit::AuditFilter,
        auth::{ConfirmPasswordReset, Register},
        board::{BoardPatch, NewBoard, PutKv},
        invitation::NewInvitation,
        library::{NewLibraryModule, PutLibraryModule},
        pipeline::{PipelinePatch, PutDefinition, RestoreVersion},
        role::{NewRole, RolePatch},
        run::NewRun,
        script::PutConfiguration,
        team::NewTeam,
        token::{NewApiToken, NewServiceAccount},
    },
    ids::{BoardId, Id, PipelineId, RunId, ScriptId, TeamId, UserId},
};
use serde_json::Value;
use uuid::Uuid;

use crate::installation::{client, serve};

/// Operations without a call, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("refresh_session", "the client refreshes by itself: client_requests.rs"),
    ("begin_oidc_login", "OpenID takes a browser"),
    ("finish_oidc_login", "OpenID takes a browser"),
];

fn document() -> Value {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn id<T: Id>() -> T {
    Uuid::from_u128(7).into()
}

fn text() -> String {
    "text".into()
}

fn paging() -> Paging {
    Paging::default()
}

fn new_token() -> NewApiToken {
    NewApiToken { name: text(), ..NewApiToken::default() }
}

fn value() -> PutConfiguration {
    PutConfiguration { value: text(), secret: false, usable_only: false }
}

type Call<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

macro_rules! calls {
    ($($operation:literal => $call:expr,)*) => {
        vec![$(($operation, Box::pin(async move { let _ = $call.await; }) as Call<'_>),)*]
    };
}

/// A call for each operation. What comes back is an error, whatever was asked.
#[allow(clippy::too_many_lines, reason = "a table")]
fn calls(client: &Client) -> Vec<(&'static str, Call<'_>)> {
    let (team, board, script): (TeamId, BoardId, ScriptId) = (id(), id(), id());
    let (pipeline, run, user): (PipelineId, RunId, UserId) = (id(), id(), id());
    calls! {
        "register" => client.register(&Register { email: text(), password: text(), name: text() }),
        "verify_email" => client.verify_email("t", "p"),
        "login" => client.login("e", "p"),
        "login_second_factor" => client.second_factor("c", "1"),
        "request_password_reset" => client.request_password_reset("e"),
        "confirm_password_reset" => client.confirm_password_reset(&ConfirmPasswordReset { token: text(), password: text(), revoke_api_tokens: false }),
        "get_me" => client.me(),
        "patch_me" => client.update_me(&MePatch::default()),
        "delete_me" => client.delete_me("p"),
        "change_password" => client.change_password(&ChangePassword {
            password: text(), new_password: text(), revoke_api_tokens: false,
        }),
        "change_email" => client.change_email(&ChangeEmail { email: text(), password: text() }),
        "confirm_email" => client.confirm_email(&ConfirmEmail { token: text(), stop: false }),
        "list_sessions" => client.sessions(&paging()),
        "end_session" => client.end_session(id()),
        "end_other_sessions" => client.end_other_sessions(),
        "begin_totp" => client.begin_totp("p"),
        "confirm_totp" => client.confirm_totp("1"),
        "renew_recovery_codes" => client.renew_recovery_codes("p"),
        "remove_totp" => client.remove_totp("p"),
        "list_api_tokens" => client.api_tokens(&paging()),
        "create_api_token" => client.create_api_token(&new_token(), "p"),
        "revoke_api_token" => client.revoke_api_token(id()),
        "list_my_audit" => client.my_audit(&AuditFilter::default(), &paging()),
        "list_my_invitations" => client.my_invitations(&paging()),
        "accept_invitation" => client.accept_invitation(id()),
        "accept_invitation_by_token" => client.accept_invitation_by_token("t"),
        "decline_invitation" => client.decline_invitation(id()),
        "create_stream_ticket" => client.stream_ticket("p"),
        "list_permissions" => client.permissions(&paging()),
        "list_teams" => client.teams(&paging()),
        "create_team" => client.create_team(&NewTeam { name: text() }),
        "get_team" => client.team(team),
        "rename_team" => client.rename_team(team, &NewTeam { name: text() }),
        "delete_team" => client.delete_team(team, "n"),
        "restore_team" => client.restore_team(team),
        "transfer_team" => client.transfer_team(team, user),
        "leave_team" => client.leave_team(team),
        "list_members" => client.members(team, &paging()),
        "get_member" => client.member(team, user),
        "patch_member" => client.set_role(team, user, "r"),
        "remove_member" => client.remove_member(team, user),
        "list_invitations" => client.invitations(team, &paging()),
        "create_invitation" => client.invite(team, &NewInvitation { email: text(), role: text() }),
        "revoke_invitation" => client.revoke_invitation(team, id()),
        "list_roles" => client.roles(team, &paging()),
        "get_role" => client.role(team, "r"),
        "create_role" => client.create_role(team, &NewRole {
            name: text(), description: text(), permissions: Vec::new(),
        }),
        "patch_role" => client.update_role(team, "r", &RolePatch::default()),
        "delete_role" => client.delete_role(team, "r"),
        "list_team_api_tokens" => client.team_api_tokens(team, &paging()),
        "revoke_team_api_token" => client.revoke_team_api_token(team, id()),
        "list_service_accounts" => client.service_accounts(team, &paging()),
        "create_service_account" => client.create_service_account(team, &NewServiceAccount { name: text(), role: text() }),
        "delete_service_account" => client.delete_service_account(team, user),
        "list_service_account_tokens" => client.service_tokens(team, user, &paging()),
        "create_service_account_token" => client.create_service_token(team, user, &new_token()),
        "list_team_audit" => client.audit(team, &AuditFilter::default(), &paging()),
        "export_team_audit" => client.export_audit(team, &AuditFilter::default()),
        "list_team_runs" => client.team_runs(team, &paging()),
        "get_team_limits" => client.limits(team),
        "get_team_usage" => client.usage(team, None, None, &paging()),
        "list_outbox" => client.outbox(team, &paging()),
        "list_library_modules" => client.library(team, &paging()),
        "create_library_module" => client.create_library_module(team, &NewLibraryModule {
            name: text(), description: text(), source: text(), message: text(),
        }),
        "get_library_module" => client.library_module(team, "m"),
        "put_library_module" => client.put_library_module(team, "m", &PutLibraryModule {
            source: text(), description: None, message: text(),
        }),
        "delete_library_module" => client.delete_library_module(team, "m"),
        "list_library_module_versions" => client.library_versions(team, "m", &paging()),
        "get_library_module_version" => client.library_version(team, "m", 1),
        "list_boards" => client.boards(team, &paging()),
        "create_board" => client.create_board(team, &NewBoard::default()),
        "get_board" => client.board(board),
        "patch_board" => client.update_board(board, &BoardPatch::default()),
        "delete_board" => client.delete_board(board),
        "restore_board" => client.restore_board(board),
        "put_pipeline_order" => client.order_pipeline(board, pipeline, None),
        "list_board_members" => client.board_members(board, &paging()),
        "put_board_member" => client.set_board_role(board, user, "r"),
        "remove_board_member" => client.remove_board_member(board, user),
        "list_kv" => client.kv(board, &paging()),
        "get_kv" => client.kv_entry(board, "k"),
        "put_kv" => client.put_kv(board, "k", &PutKv { value: Value::Null, ttl_ms: None }),
        "delete_kv" => client.delete_kv(board, "k"),
        "list_pipelines" => client.pipelines(board, &paging()),
        "create_pipeline" => client.create_pipeline(board, "n"),
        "get_pipeline" => client.pipeline(pipeline),
        "patch_pipeline" => client.update_pipeline(pipeline, &PipelinePatch::default()),
        "delete_pipeline" => client.delete_pipeline(pipeline, None),
        "restore_pipeline" => client.restore_pipeline(pipeline),
        "move_pipeline" => client.move_pipeline(pipeline, board),
        "get_definition" => client.definition(pipeline),
        "put_definition" => client.put_definition(pipeline, &PutDefinition {
            definition: serde_json::from_str("{}").unwrap(), files: BTreeMap::new(), message: text(), publish: false,
        }, None),
        "list_versions" => client.versions(pipeline, &paging()),
        "get_version" => client.version(pipeline, 1),
        "diff_versions" => client.diff_versions(pipeline, 1, 2),
        "get_capabilities" => client.capabilities(pipeline, 1),
        "publish_version" => client.publish(pipeline, 1),
        "restore_version" => client.restore_version(pipeline, 1, &RestoreVersion::default()),
        "list_schedules" => client.schedules(pipeline),
        "pause_schedule" => client.pause_schedule(pipeline, "n"),
        "resume_schedule" => client.resume_schedule(pipeline, "n"),
        "list_scripts" => client.scripts(pipeline, &paging()),
        "get_script" => client.script(script),
        "list_script_versions" => client.script_versions(script, &paging()),
        "check_script" => client.check_script(script, "s"),
        "list_configuration" => client.configuration(script, &paging()),
        "get_configuration" => client.configuration_entry(script, "k"),
        "put_configuration" => client.put_configuration(script, "k", &value()),
        "delete_configuration" => client.delete_configuration(script, "k"),
        "list_configuration_history" => client.configuration_history(script, "k", &paging()),
        "list_board_configuration" => client.configuration(board, &paging()),
        "get_board_configuration" => client.configuration_entry(board, "k"),
        "put_board_configuration" => client.put_configuration(board, "k", &value()),
        "delete_board_configuration" => client.delete_configuration(board, "k"),
        "list_board_configuration_history" => client.configuration_history(board, "k", &paging()),
        "list_team_configuration" => client.configuration(team, &paging()),
        "get_team_configuration" => client.configuration_entry(team, "k"),
        "put_team_configuration" => client.put_configuration(team, "k", &value()),
        "delete_team_configuration" => client.delete_configuration(team, "k"),
        "list_team_configuration_history" => client.configuration_history(team, "k", &paging()),
        "start_run" => client.start_run(pipeline, &NewRun::default()),
        "list_pipeline_runs" => client.runs(pipeline, &paging()),
        "get_run" => client.run(run),
        "list_run_steps" => client.steps(run, &paging()),
        "cancel_run" => client.cancel(run),
        "keep_run" => client.keep_run(run),
        "unkeep_run" => client.unkeep_run(run),
        "delete_run" => client.delete_run(run),
        "list_run_events" => client.events(run, 0),
        "stream_run" => async { std::pin::pin!(client.stream(run, 0)).next().await },
        "list_artifacts" => client.artifacts(run, &paging()),
        "download_artifact" => client.artifact(run, id()),
        // The last: it forgets the session.
        "logout" => client.logout(false),
    }
}

#[tokio::test]
async fn every_operation_has_its_call() {
    let seen: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let recorder = Arc::clone(&seen);
    let router = Router::new().fallback(move |request: Request| {
        recorder.lock().unwrap().push((request.method().to_string(), request.uri().path().to_owned()));
        async { StatusCode::NOT_FOUND }
    });
    let base = serve(router).await;
    let client = client(&base, "access");
    let mut called = BTreeMap::new();
    for (operation, call) in calls(&client) {
        seen.lock().unwrap().clear();
        call.await;
        let sent = seen.lock().unwrap().first().cloned();
        let sent = sent.unwrap_or_else(|| panic!("the call of {operation} sent nothing"));
        assert!(called.insert(operation, sent).is_none(), "{operation} stands there twice");
    }
    for (path, item) in document()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let operation = operation["operationId"].as_str().unwrap();
            if LEFT_OUT.iter().any(|(left_out, _)| *left_out == operation) {
                continue;
            }
            let sent = called.remove(operation);
            let (verb, to) = sent.unwrap_or_else(|| panic!("{method} {path} ({operation}) has no call in the client"));
            assert_eq!(verb, method.to_uppercase(), "{operation}");
            let same = |(given, template): (&str, &str)| given == template || template.starts_with('{');
            let same = to.split('/').count() == path.split('/').count() && to.split('/').zip(path.split('/')).all(same);
            assert!(same, "{operation} goes to {to}, not {path}");
        }
    }
    assert!(called.is_empty(), "no operations of the document: {called:?}");
}
