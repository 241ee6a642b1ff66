//! The count of what teams store: kept up to date, repaired, and reported when it comes near a team's limit.

use crate::{
    DomainError, DomainResult,
    mail::quoted,
    state::DomainState,
    store::{
        outbox,
        storage::{self, NearlyFullTeam},
    },
};

/// How many teams are reported in one transaction.
const WARNING_BATCH: i64 = 100;
/// How many parts a pass recounts.
const RECOUNTS: usize = 100;
/// What the e-mail is called.
const SUBJECT: &str = "A team at Restroy has used most of its storage";

/// Sums up what was counted since the last time.
pub async fn fold(state: &DomainState) -> DomainResult<()> {
    while storage::fold(&state.db).await? {
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Notifies the owners of teams that came to 80 % of their limit, and recounts some parts whose day has come.
pub async fn pass(state: &DomainState) -> DomainResult<()> {
    warn(state).await?;
    for _ in 0..RECOUNTS {
        if storage::recount(&state.db, &state.ambient).await?.is_none() {
            break;
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// E-mails to the owners of each team that crossed the threshold, once for each crossing.
async fn warn(state: &DomainState) -> DomainResult<()> {
    let mut tx = state.db.system_write().await?;
    let warned = storage::mark_nearly_full(&mut tx, state.ambient.now(), WARNING_BATCH).await?;
    for team in &warned {
        tracing::info!(team = %team.team_id, bytes = team.bytes, limit = team.value, "a team is nearly full");
        for owner in storage::owners(&mut tx, team.team_id).await? {
            let text = text(team, &state.settings.public_url);
            outbox::insert_own(&mut tx, &state.ambient, state.new_mail_status(), &owner, SUBJECT, &text)
                .await
                .map_err(DomainError::from)?;
        }
    }
    tx.commit().await?;
    if !warned.is_empty() {
        state.mail_queued();
    }
    Ok(())
}

fn text(team: &NearlyFullTeam, url: &str) -> String {
    format!(
        "The team {} at {url} stores {} bytes of the {} that it may.\n\n\
         At the limit its runs end with `quota_exceeded`, and no others start. To make room, delete runs or keys that \
         nobody needs (`restroy runs delete`), or shorten the retention of pipelines (`restroy retention`). `restroy usage` \
         shows what takes the room.\n",
        quoted(&team.name),
        team.bytes,
        team.value,
    )
}
