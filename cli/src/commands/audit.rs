//! `restroy audit`.

use std::io::{self, Write as _};

use restroy_client::{Client, Paging};
use restroy_sdk::{
    api::{
        Page,
        audit::{AuditEntry, AuditFilter},
    },
    ids::TeamId,
    time::Timestamp,
};

use crate::{
    args::Audit,
    context::Context,
    failure::{Failure, Outcome},
    find::team,
    output,
};

/// Shows the newest entries, or writes all of them.
pub(crate) async fn audit(context: &Context, args: &Audit) -> Outcome {
    let client = context.client()?;
    let filter = AuditFilter {
        action: args.action.clone(),
        user: None,
        subject: args.subject.clone(),
        from: moment("--from", args.from.as_deref())?,
        to: moment("--to", args.to.as_deref())?,
    };
    let team = if args.mine { None } else { Some(team(&client, args.team.as_deref()).await?.id) };
    if args.export {
        return export(&client, team, &filter).await;
    }
    let wanted = args.limit as usize;
    let mut entries: Vec<AuditEntry> = Vec::new();
    let mut paging = Some(Paging { limit: Some(args.limit), cursor: None });
    // A page may be short although there is another.
    while let Some(asked) = paging.filter(|_| entries.len() < wanted) {
        let page = page(&client, team, &filter, &asked).await?;
        paging = asked.after(&page);
        entries.extend(page.items);
    }
    entries.truncate(wanted);
    if context.json {
        return context.show(&entries, |_| String::new());
    }
    let rows = entries.into_iter().map(|entry| {
        let who = entry.user_name.unwrap_or_else(|| entry.user_id.map_or_else(String::new, |id| id.to_string()));
        let address = entry.address.unwrap_or_default();
        [output::moment(entry.created_at), who, entry.action, entry.subject, address]
    });
    output::print(&output::table(["TIME", "WHO", "ACTION", "SUBJECT", "FROM"], rows));
    Ok(())
}

async fn page(
    client: &Client,
    team: Option<TeamId>,
    filter: &AuditFilter,
    paging: &Paging,
) -> restroy_client::Result<Page<AuditEntry>> {
    match team {
        Some(team) => client.audit(team, filter, paging).await,
        None => client.my_audit(filter, paging).await,
    }
}

/// An entry a line, as it comes.
async fn export(client: &Client, team: Option<TeamId>, filter: &AuditFilter) -> Outcome {
    let mut paging = Some(Paging::longest());
    while let Some(asked) = paging {
        let page = page(client, team, filter, &asked).await?;
        let mut lines = Vec::new();
        for entry in &page.items {
            serde_json::to_writer(&mut lines, entry)
                .map_err(|error| Failure::new(format!("cannot write JSON: {error}")))?;
            lines.push(b'\n');
        }
        let mut out = io::stdout().lock();
        if out.write_all(&lines).and_then(|()| out.flush()).is_err() {
            return Ok(()); // whoever read it has enough
        }
        paging = asked.after(&page);
    }
    Ok(())
}

/// A moment as it was typed: RFC 3339, or a day in UTC.
fn moment(flag: &str, text: Option<&str>) -> Outcome<Option<Timestamp>> {
    let Some(text) = text else { return Ok(None) };
    let day = || text.parse::<jiff::civil::Date>().ok()?.to_zoned_datetime(jiff::tz::TimeZone::UTC).ok();
    let moment = text.parse::<jiff::Timestamp>().ok().or_else(|| Some(day()?.timestamp()));
    match moment {
        Some(moment) => Ok(Some(moment.into())),
        None => Err(Failure::usage(format!("{flag}: `{text}` is not a date or time"))
            .help("write a date (2026-11-25) or a time (2026-11-25T08:00:00Z)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_days_or_moments() {
        let read = |text| moment("--from", Some(text)).ok().flatten().map(|moment| moment.to_string());
        assert_eq!(read("2026-11-25").as_deref(), Some("2026-11-25T00:00:00.000000Z"));
        assert_eq!(read("2026-11-25T08:00:00+02:00").as_deref(), Some("2026-11-25T06:00:00.000000Z"));
        assert_eq!(read("yesterday"), None);
    }
}
