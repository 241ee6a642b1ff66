//! `restroy usage`.

use restroy_client::Paging;
use restroy_sdk::api::usage::Storage;

use crate::{
    args::Usage,
    context::Context,
    failure::Outcome,
    find,
    output::{print, table},
};

/// Shows what a team stores, and what it used within the last 24 hours.
pub(crate) async fn usage(context: &Context, args: &Usage) -> Outcome {
    let client = context.client()?;
    let team = find::team(&client, args.team.as_deref()).await?;
    let paging = Paging { limit: Some(100), cursor: None };
    let usage = client.usage(team.id, None, None, &paging).await?;
    if context.json {
        return context.show(&usage, |_| String::new());
    }
    let stored = &usage.storage;
    let parts = [
        ("runs", stored.run_bytes),
        ("key-value stores", stored.kv_bytes),
        ("versions", stored.version_bytes),
        ("configuration", stored.configuration_bytes),
        ("e-mails", stored.email_bytes),
        ("answers for repeats", stored.answer_bytes),
    ];
    print(&table(["STORED", ""], parts.into_iter().map(|(what, bytes)| [what.to_owned(), size(bytes)])));
    print(&summary(stored));
    let sum = |of: fn(&restroy_sdk::api::usage::UsageHour) -> i64| usage.items.iter().map(of).sum::<i64>();
    print(&format!(
        "within 24 hours: {} runs started, {} steps, {} e-mails, {} sent by HTTP",
        sum(|hour| hour.runs),
        sum(|hour| hour.steps),
        sum(|hour| hour.emails),
        size(sum(|hour| hour.egress_bytes)),
    ));
    Ok(())
}

/// All of it beside the limit, and what to do when it comes near.
fn summary(stored: &Storage) -> String {
    let percent = if stored.limit > 0 { stored.bytes.saturating_mul(100) / stored.limit } else { 100 };
    let mut text = format!("{} of {} ({percent} %)", size(stored.bytes), size(stored.limit));
    if stored.near_limit {
        text.push_str(
            "\nwarning: at the limit runs end with quota_exceeded; delete runs (`restroy runs delete`) or shorten the \
             retention (`restroy retention`)",
        );
    }
    text
}

/// For people: three digits or so.
fn size(bytes: i64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut tenths, mut unit) = (i128::from(bytes) * 10 / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        for (bytes, told) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_610_612_736, "1.5 GiB"), (i64::MAX, "8388607.9 TiB")]
        {
            assert_eq!(size(bytes), told);
        }
    }
}
