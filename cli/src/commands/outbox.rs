//! `restroy outbox`.

use restroy_client::Paging;
use restroy_sdk::api::team::OutboxMessage;

use crate::{
    args::Outbox,
    context::Context,
    failure::{Failure, Outcome},
    find,
    output::{moment, print, table},
    style::{clean, clean_lines},
};

/// Shows the e-mails that runs sent.
pub(crate) async fn outbox(context: &Context, args: &Outbox) -> Outcome {
    let client = context.client()?;
    let teams = find::all(async |paging| client.teams(&paging).await).await?;
    let paging = Paging { limit: Some(args.limit), cursor: None };
    let mut messages: Vec<OutboxMessage> = Vec::new();
    let mut found = args.team.is_none();
    for team in teams.iter().filter(|team| args.team.as_ref().is_none_or(|wanted| team.name == *wanted)) {
        found = true;
        messages.extend(client.outbox(team.id, &paging).await?.items);
    }
    if !found {
        let names: Vec<_> = teams.iter().map(|team| team.name.as_str()).collect();
        return Err(Failure::new("you have no team of that name").help(format!("your teams are {}", names.join(", "))));
    }
    messages.sort_by_key(|message| std::cmp::Reverse(message.created_at));
    messages.truncate(args.limit as usize);
    if context.json {
        return context.show(&messages, |_| String::new());
    }
    if messages.is_empty() {
        print("no e-mails yet");
    } else if args.full {
        for message in &messages {
            print(&full_message(message));
        }
    } else {
        let rows = messages
            .into_iter()
            .map(|message| [moment(message.created_at), message.to.join(", "), message.subject, message.status]);
        print(&table(["SENT", "TO", "SUBJECT", "STATUS"], rows));
    }
    Ok(())
}

fn full_message(message: &OutboxMessage) -> String {
    format!(
        "Date:    {}\nTo:      {}\nSubject: {}\nStatus:  {}\n\n{}\n\n{}",
        moment(message.created_at),
        clean(&message.to.join(", ")),
        clean(&message.subject),
        message.status,
        clean_lines(&message.text),
        "─".repeat(72)
    )
}
