//! Which field of which body has which rule. [`Body`](super::http::Body) takes no type that does not stand here,
//! holds every body to its rules before a handler sees it, and the OpenAPI document says the same. What one field
//! alone does not decide (a name that is taken, a token that is right) is the handler's.

use restroy_run_queue::run_api::{Batch, Call, Claim, Heartbeat, Listen, OutputsRequest, Suspend};
use restroy_sdk::api::{
    account::{ChangeEmail, ChangePassword, ConfirmEmail, ConfirmTotp, MePatch, Proof},
    auth::{
        ConfirmPasswordReset, FinishOidcLogin, Login, NewTicket, Refresh, Register, RequestPasswordReset, SecondFactor,
        VerifyEmail,
    },
    board::{BoardPatch, NewBoard, PutKv, PutOrder},
    invitation::{AcceptInvitation, NewInvitation},
    library::{NewLibraryModule, PutLibraryModule},
    pipeline::{MovePipeline, NewPipeline, PipelinePatch, PutDefinition, RestoreVersion},
    role::{NewRole, RolePatch},
    run::NewRun,
    script::{CheckScript, PutConfiguration},
    team::{DeleteTeam, NewTeam, SetRole, Transfer},
    token::{NewApiToken, NewOwnApiToken, NewServiceAccount},
};
use serde_json::Value;

use super::{
    http::{
        FieldErrors,
        rule::{
            FieldRule as _, PermissionsRule, RangeRule,
            TextRule::{Bytes, Email, Lines, Module, Name, Password, Stream},
        },
    },
    limits::{MAX_DESCRIPTION, MAX_MESSAGE, MAX_NAME, MAX_PERSON, MAX_SOURCE, MAX_VALUE},
};
use crate::runs::effects::kv::MAX_TTL_MS;

/// A body whose fields have rules.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is a body without rules",
    note = "say in control-plane/src/api/rules.rs what each of its fields may be"
)]
pub trait ValidatedBody {
    /// Notes what is wrong with the fields, each by itself.
    fn check(&self, fields: &mut FieldErrors);
}

macro_rules! rules {
    ($($body:ident { $($field:ident: $rule:expr),* })*) => {
        $(impl ValidatedBody for $body {
            fn check(&self, fields: &mut FieldErrors) {
                let _ = fields $(.check(concat!("/", stringify!($field)), &self.$field, &$rule))*;
            }
        })*

        /// Every rule as the schema of a component's field.
        pub(super) fn schemas() -> Vec<(&'static str, &'static str, Value)> {
            vec![$($((stringify!($body), stringify!($field), $rule.schema()),)*)*]
        }

        /// Every body that stands here.
        #[cfg(test)]
        pub(super) const BODIES: &[&str] = &[$(stringify!($body)),*];
    };
}

rules! {
    AcceptInvitation {}
    RequestPasswordReset { email: Email }
    BoardPatch { name: Name(MAX_NAME), description: Lines(MAX_DESCRIPTION) }
    ChangeEmail { email: Email }
    ChangePassword { new_password: Password }
    CheckScript { source: Bytes(MAX_SOURCE) }
    ConfirmEmail {}
    ConfirmPasswordReset { password: Password }
    ConfirmTotp {}
    DeleteTeam {}
    FinishOidcLogin {}
    SetRole { role: Name(MAX_NAME) }
    Login { email: Bytes(1024) }
    MePatch { name: Name(MAX_PERSON), about: Lines(MAX_DESCRIPTION), timezone: Name(MAX_NAME) }
    MovePipeline {}
    NewApiToken { name: Name(MAX_NAME), permissions: PermissionsRule(1) }
    NewBoard { name: Name(MAX_NAME), description: Lines(MAX_DESCRIPTION) }
    NewInvitation { email: Email, role: Name(MAX_NAME) }
    NewLibraryModule {
        name: Module, description: Lines(MAX_DESCRIPTION), source: Bytes(MAX_SOURCE), message: Lines(MAX_MESSAGE)
    }
    NewPipeline { name: Name(MAX_NAME), description: Lines(MAX_DESCRIPTION) }
    NewOwnApiToken { name: Name(MAX_NAME), permissions: PermissionsRule(1) }
    NewRole { name: Name(MAX_NAME), description: Lines(MAX_DESCRIPTION), permissions: PermissionsRule(0) }
    NewRun {}
    NewServiceAccount { name: Name(MAX_PERSON), role: Name(MAX_NAME) }
    NewTeam { name: Name(MAX_NAME) }
    NewTicket { path: Stream }
    OutputsRequest {}
    PipelinePatch { name: Name(MAX_NAME), description: Lines(MAX_DESCRIPTION) }
    Proof {}
    PutConfiguration { value: Bytes(MAX_VALUE) }
    PutDefinition { message: Lines(MAX_MESSAGE) }
    PutKv { ttl_ms: RangeRule(1, MAX_TTL_MS) }
    PutLibraryModule {
        source: Bytes(MAX_SOURCE), description: Lines(MAX_DESCRIPTION), message: Lines(MAX_MESSAGE)
    }
    PutOrder {}
    Refresh {}
    Register { email: Email, password: Password, name: Name(MAX_PERSON) }
    RestoreVersion { message: Lines(MAX_MESSAGE) }
    RolePatch { name: Name(MAX_NAME), description: Lines(MAX_DESCRIPTION), permissions: PermissionsRule(0) }
    SecondFactor {}
    Transfer {}
    VerifyEmail {}

    // Of the run API, whose document is its types: what is wrong there is said beside what it is wrong for.
    Batch {}
    Call {}
    Claim {}
    Heartbeat {}
    Listen {}
    Suspend {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_in_the_document_and_every_body_has_its_rules() {
        let document = crate::api::document();
        let components = &document["components"]["schemas"];
        for (body, field, schema) in schemas() {
            let property = &components[body]["properties"][field];
            for (keyword, value) in schema.as_object().unwrap() {
                assert_eq!(&property[keyword], value, "{body}.{field} {keyword}");
            }
        }
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let Some(schema) = operation.pointer("/requestBody/content/application~1json/schema") else { continue };
                let name = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()).unwrap();
                assert!(BODIES.contains(&name), "{method} {path} takes {name}");
            }
        }
    }
}
