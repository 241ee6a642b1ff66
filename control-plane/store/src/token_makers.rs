//! Whoever made a token of a service account may have kept it. So it carries no more than they hold: where it would,
//! because they left, lost a role, or the account got a mightier one, it ends.

use restroy_sdk::{
    ids::{ApiTokenId, UserId},
    permission::{Permission, Permissions},
    time::{Ambient, Timestamp},
};
use serde_json::json;
use sqlx::query_as;

use super::{
    TeamTx, api_tokens,
    audit::{self, Actor},
};
use crate::sql;

/// A token of a service account of the team, the roles of the account and of who made it.
#[derive(Debug, sqlx::FromRow)]
struct ServiceToken {
    id: ApiTokenId,
    account: UserId,
    /// A JSON array of names; null for all that the account may.
    permissions: Option<String>,
    role: Option<String>,
    granted: Option<String>,
    maker: UserId,
    is_member: bool,
    maker_role: Option<String>,
    maker_granted: Option<String>,
}

impl ServiceToken {
    /// Whether its maker holds what it carries. What cannot be read counts as nothing held.
    fn is_covered(&self) -> bool {
        let carried = Permissions::from_role(self.role.as_deref(), self.granted.as_deref());
        let held = Permissions::from_role(self.maker_role.as_deref(), self.maker_granted.as_deref());
        let (true, Ok(carried), Ok(held)) = (self.is_member, carried, held) else { return false };
        let names: Option<Vec<String>> = match &self.permissions {
            None => None,
            Some(names) => match serde_json::from_str(names) {
                Ok(names) => Some(names),
                Err(_) => return false,
            },
        };
        let carried = names.map_or(carried, |names| {
            carried.intersection(names.iter().filter_map(|name| name.parse::<Permission>().ok()).collect())
        });
        held.is_superset(carried)
    }
}

/// Ends the tokens of the team's service accounts that carry more than their makers hold now. Part of every change of
/// members and their roles, in a transaction that sees accounts and holds the team's row.
pub async fn revoke_uncovered(
    tx: &mut TeamTx,
    ambient: &Ambient,
    actor: Actor,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let team = tx.team();
    // As many as the limits of service accounts and of tokens allow.
    let tokens: Vec<ServiceToken> = sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "SELECT t.id, s.id AS account, t.permissions, m.role,
                    (SELECT string_agg(g.permission, ' ') FROM role_permissions g
                     WHERE g.team_id = m.team_id AND g.role_id = m.role_id) AS granted,
                    t.created_by AS maker, k.user_id IS NOT NULL AS is_member, k.role AS maker_role,
                    (SELECT string_agg(g.permission, ' ') FROM role_permissions g
                     WHERE g.team_id = k.team_id AND g.role_id = k.role_id) AS maker_granted
             FROM memberships m
             JOIN users s ON s.id = m.user_id AND s.kind = 'service' AND s.deleted_at IS NULL
             JOIN api_tokens t ON t.user_id = s.id AND t.revoked_at IS NULL AND t.created_by IS NOT NULL
             LEFT JOIN memberships k ON k.team_id = m.team_id AND k.user_id = t.created_by
             WHERE m.team_id = $1 ORDER BY t.id"
        )
        .bind(team)
    )?;
    for token in tokens.iter().filter(|token| !token.is_covered()) {
        if !api_tokens::revoke(tx, token.account, token.id, now).await? {
            continue;
        }
        let entry = audit::Entry::new("token.revoke", "token", token.id).details(
            json!({ "everywhere": true, "maker": token.maker, "reason": "its maker holds less than it carries" }),
        );
        audit::record_in_team(tx, ambient, actor, entry).await?;
    }
    Ok(())
}
