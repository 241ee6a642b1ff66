//! The audit log.

use super::{Client, Paging, Result, request::Request};
use restroy_sdk::{
    api::{
        Page,
        audit::{AuditEntry, AuditFilter},
    },
    ids::TeamId,
};

impl Client {
    /// What was done in a team, the newest first. A page may be short, or empty, although there is another.
    pub async fn audit(&self, team: TeamId, filter: &AuditFilter, paging: &Paging) -> Result<Page<AuditEntry>> {
        filtered(self.get(&["v1", "teams", &team.to_string(), "audit"]), filter).page(paging).fetch().await
    }

    /// All that was done in a team, as it is exported: a line of JSON for each, the oldest first.
    pub async fn export_audit(&self, team: TeamId, filter: &AuditFilter) -> Result<Vec<u8>> {
        filtered(self.get(&["v1", "teams", &team.to_string(), "audit", "export"]), filter).bytes().await
    }

    /// The log of your own account, sign-ins among it, the newest first.
    pub async fn my_audit(&self, filter: &AuditFilter, paging: &Paging) -> Result<Page<AuditEntry>> {
        filtered(self.get(&["v1", "me", "audit"]), filter).page(paging).fetch().await
    }
}

fn filtered<'a>(mut request: Request<'a>, filter: &AuditFilter) -> Request<'a> {
    if let Some(action) = &filter.action {
        request = request.query("action", action);
    }
    if let Some(user) = &filter.user {
        request = request.query("user", user);
    }
    if let Some(subject) = &filter.subject {
        request = request.query("subject", subject);
    }
    if let Some(from) = &filter.from {
        request = request.query("from", from);
    }
    if let Some(to) = &filter.to {
        request = request.query("to", to);
    }
    request
}
