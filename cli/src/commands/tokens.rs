//! `restroy tokens`.

use std::time::Duration;

use restroy_client::Client;
use restroy_sdk::{
    api::token::{ApiToken, NewApiToken},
    ids::{ApiTokenId, TeamId},
    time::Ambient,
};

use crate::{
    args::Tokens,
    context::Context,
    failure::{Failure, Outcome},
    find, output, prompt,
};

/// Lists the person's API tokens, makes one, or ends one.
pub(crate) async fn tokens(context: &Context, args: &Tokens) -> Outcome {
    let client = context.client()?;
    if let Some(id) = &args.revoke {
        let id: ApiTokenId = id.parse().map_err(|_| {
            Failure::usage(format!("`{id}` is not the id of a token"))
                .help("`restroy tokens` lists tokens with their ids")
        })?;
        client.revoke_api_token(id).await?;
        return context.show(&serde_json::json!({ "id": id }), |_| "the token is revoked".to_owned());
    }
    if let Some(name) = &args.create {
        let now = Ambient::system().now();
        let new = NewApiToken {
            name: name.clone(),
            team_id: match &args.team {
                Some(team) => Some(self::team(&client, team).await?),
                None => None,
            },
            permissions: Some(args.scopes.clone()).filter(|scopes| !scopes.is_empty()),
            expires_at: args.expires.as_deref().map(parse_lifetime).transpose()?.map(|span| now.after(span)),
        };
        let password = prompt::password(args.password_stdin, false)?;
        let created = client.create_api_token(&new, &password).await?;
        // The token alone on standard output: it can continue to where it is kept.
        return context.show(&created, |created| created.token.clone().unwrap_or_default());
    }
    let tokens = find::all(async |paging| client.api_tokens(&paging).await).await?;
    if context.json {
        return context.show(&tokens, |_| String::new());
    }
    if tokens.is_empty() {
        output::print("no API tokens yet; create one with `restroy tokens --create NAME`");
        return Ok(());
    }
    let teams = find::all(async |paging| client.teams(&paging).await).await?;
    let rows = tokens.into_iter().map(|token| {
        let team = token.team_id.map(|id| {
            let found = teams.iter().find(|team| team.id == id);
            found.map_or_else(|| id.to_string(), |team| team.name.clone())
        });
        let (scope, end, used) = (scope(&token), day(token.expires_at, "never"), day(token.last_used_at, "never"));
        [token.name, team.unwrap_or_else(|| "all".into()), scope, end, used, token.id.to_string()]
    });
    output::print(&output::table(["TOKEN", "TEAM", "MAY", "ENDS", "LAST USED", "ID"], rows));
    Ok(())
}

fn scope(token: &ApiToken) -> String {
    token.permissions.as_ref().map_or_else(|| "all that you may".to_owned(), |names| names.join(" "))
}

/// The day of a moment.
fn day(moment: Option<restroy_sdk::time::Timestamp>, none: &str) -> String {
    moment.map_or_else(|| none.to_owned(), |moment| moment.to_string().chars().take(10).collect())
}

async fn team(client: &Client, wanted: &str) -> Outcome<TeamId> {
    let teams = find::all(async |paging| client.teams(&paging).await).await?;
    if let Some(team) = teams.iter().find(|team| team.name == wanted || team.id.to_string() == wanted) {
        return Ok(team.id);
    }
    let names: Vec<_> = teams.iter().map(|team| team.name.as_str()).collect();
    Err(Failure::usage(format!("you are in no team `{wanted}`")).help(format!("your teams are {}", names.join(", "))))
}

/// Hours, days or weeks.
pub(crate) fn parse_lifetime(text: &str) -> Outcome<Duration> {
    let wrong = || Failure::usage(format!("`{text}` is not a time")).help("write it such as 12h, 90d or 52w");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let hours = match unit {
        'h' => 1,
        'd' => 24,
        'w' => 7 * 24,
        _ => return Err(wrong()),
    };
    let count: u64 = text.strip_suffix(unit).unwrap_or_default().parse().map_err(|_| wrong())?;
    let seconds = count.checked_mul(hours * 3600).filter(|seconds| (1..=1_000_000_000).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_hours_days_or_weeks() {
        assert_eq!(parse_lifetime("12h").unwrap(), Duration::from_hours(12));
        assert_eq!(parse_lifetime("90d").unwrap(), Duration::from_hours(90 * 24));
        assert_eq!(parse_lifetime("52w").unwrap(), Duration::from_hours(364 * 24));
        for bad in ["", "d", "90", "90m", "-1d", "0d", "99999999999w", "1.5d", "1é"] {
            assert!(parse_lifetime(bad).is_err(), "{bad}");
        }
    }
}
