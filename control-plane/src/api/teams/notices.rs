//! E-mails to members about what others did: that they were removed, that they own the team now.

use std::time::Duration;

use restroy_sdk::{api::team::Member, ids::UserId};

use crate::{
    error::{ApiError, ApiResult},
    mail::quoted,
    state::AppState,
    store::{TeamTx, members, notices, outbox, teams},
};

/// E-mails of a kind that an address gets in 24 hours, from all teams. More are not sent.
const MOST: i64 = 10;
const DAY: Duration = Duration::from_hours(24);

/// A notice to a member of a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    /// They are not in the team any more.
    Removed,
    /// They own it now.
    Owner,
}

impl Notice {
    fn subject(self) -> &'static str {
        match self {
            Self::Removed => "You were removed from a team at Restroy",
            Self::Owner => "You own a team at Restroy",
        }
    }

    fn text(self, by: &str, team: &str, url: &str) -> String {
        match self {
            Self::Removed => format!(
                "{by} removed you from the team {team} at {url}.\n\n\
                 You and your API tokens no longer have access to the team. Your account stays as it is.\n"
            ),
            Self::Owner => format!(
                "{by} made you an owner of the team {team} at {url}.\n\n\
                 An owner can do everything in it, also hand it over and delete it.\n"
            ),
        }
    }
}

/// Informs a member what the caller did, in a transaction that reaches beyond the team. Who did it themselves
/// knows; a service account reads no e-mail.
pub(super) async fn queue_member_notice(
    state: &AppState,
    tx: &mut TeamTx,
    by: UserId,
    to: &Member,
    service: bool,
    notice: Notice,
) -> ApiResult<()> {
    if service || to.user_id == by {
        return Ok(());
    }
    let since = state.ambient.now().before(DAY);
    if notices::count_sent_since(tx, &to.email, notice.subject(), since).await? >= MOST {
        return Ok(());
    }
    let by_name = members::get(tx, by).await?.ok_or_else(ApiError::not_found)?.member.name;
    let team = teams::get(tx, by).await?.ok_or_else(ApiError::not_found)?.name;
    let text = notice.text(&by_name, &quoted(&team), &state.settings.public_url);
    outbox::insert_own(tx, &state.ambient, state.new_mail_status(), &to.email, notice.subject(), &text).await?;
    Ok(())
}
