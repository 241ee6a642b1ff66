//! When a pipeline starts by itself.

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
    time::Weekday,
};
use jiff::civil::Date;

use super::is_name;
use restroy_model::problem::FieldError;

use crate::{Document, Schedule, pointer, suggest};

const MAX_SCHEDULES: usize = 20;
/// How many days a search for the next day of a schedule looks at: 40 years, in which 29 February falls on each
/// day of the week.
const MAX_DAYS: usize = 40 * 366;

pub(super) fn check(document: &Document, faults: &mut Vec<FieldError>) {
    if document.schedules.len() > MAX_SCHEDULES {
        let detail = format!("{} schedules; at most {MAX_SCHEDULES}", document.schedules.len());
        faults.push(FieldError::new("/schedules", detail));
    }
    for (name, schedule) in &document.schedules {
        let at = pointer::member("/schedules", name);
        if !is_name(name) {
            let detail = format!("`{name}` is not a schedule's name: letters, digits, `_` and `-`, at most 64");
            faults.push(FieldError::new(&at, detail));
        }
        match schedule.cron() {
            Ok(cron) if Schedule::next_day(&cron, jiff::civil::date(2001, 1, 1)).is_none() => {
                let detail = format!(
                    "`{}` never fires: no day within 40 years matches its day of month, month and day of week",
                    schedule.cron.trim()
                );
                faults.push(FieldError::new(pointer::member(&at, "cron"), detail));
            }
            Ok(_) => {}
            Err(detail) => faults.push(FieldError::new(pointer::member(&at, "cron"), detail)),
        }
        if let Err(detail) = schedule.zone() {
            faults.push(FieldError::new(pointer::member(&at, "timezone"), detail));
        }
    }
}

impl Schedule {
    /// The parsed cron expression, or what is wrong with it.
    pub fn cron(&self) -> Result<Cron, String> {
        let text = self.cron.trim();
        if text.len() > 200 {
            return Err("the expression is longer than 200 bytes".to_owned());
        }
        let fields = text.split_whitespace().count();
        if fields != 5 {
            return Err(format!(
                "`{text}` has {fields} fields; write five: minute, hour, day of month, month, day of week, \
                 such as `0 8 * * MON`"
            ));
        }
        CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build()
            .parse(text)
            .map_err(|error| format!("`{text}` is not a cron expression: {error}"))
    }

    /// The first day from `from` on that matches a cron expression; nothing when no day within 40 years does. Takes
    /// at most a millisecond.
    pub fn next_day(cron: &Cron, from: Date) -> Option<Date> {
        let mut day = from;
        for _ in 0..MAX_DAYS {
            let number = |part: i8| u32::try_from(part).unwrap_or_default();
            let (month, of_month) = (number(day.month()), number(day.day()));
            if cron.pattern.month_match(month).ok()? {
                let weekday = Weekday::from_days_from_sunday(number(day.weekday().to_sunday_zero_offset()));
                if cron.pattern.day_match(day.year().into(), month, of_month, weekday).ok()? {
                    return Some(day);
                }
                day = day.tomorrow().ok()?;
            } else {
                day = day.last_of_month().tomorrow().ok()?;
            }
        }
        None
    }

    /// The zone that the expression is read in, or what is wrong with its name.
    pub fn zone(&self) -> Result<jiff::tz::TimeZone, String> {
        let Some(name) = self.timezone.as_deref() else { return Ok(jiff::tz::TimeZone::UTC) };
        jiff::tz::TimeZone::get(name).map_err(|_| {
            let known: Vec<_> = jiff::tz::db().available().map(|zone| zone.as_str().to_owned()).collect();
            let hint = suggest::hint(name, known.iter().map(String::as_str));
            if hint.is_empty() {
                format!("unknown time zone `{name}`; write an IANA name such as `Europe/Kyiv`")
            } else {
                format!("unknown time zone `{name}`{hint}")
            }
        })
    }
}
