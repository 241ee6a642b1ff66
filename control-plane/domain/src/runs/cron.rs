//! When a schedule fires.
//!
//! A search is bounded: the next day that matches is looked for first, over 40 years at most
//! ([`Schedule::next_day`]), and croner looks from that day on, where there is something to find.
//!
//! The five fields are read in the schedule's zone, by croner. Where the clocks change:
//!
//! - a time of day that is skipped (`30 2 * * *` in spring) fires at the first moment after the gap; an expression
//!   with a wildcard or a step in minute or hour (`*/10 * * * *`) continues as the wall clock does, and has nothing
//!   to fire within the gap;
//! - a time of day that comes twice (autumn) fires the first time only; one with a wildcard or a
//!   step fires in both hours.

use std::cmp::Ordering;

use croner::{
    Cron,
    errors::CronError,
    time::{CivilDate, CivilDateTime, CivilTime, CronDateTime, Resolution, Weekday},
};
use jiff::{
    SignedDuration, ZonedDateTime,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};
use restroy_sdk::{document::Schedule, time::Timestamp};

/// The first moment after `after` at which a schedule fires; nothing when there is none, or when
/// the schedule cannot be read (which publishing does not let through).
pub fn next_fire(schedule: &Schedule, after: Timestamp) -> Option<Timestamp> {
    let (cron, zone) = (schedule.cron().ok()?, schedule.zone().ok()?);
    next(&cron, &zone, after)
}

fn next(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let from = after.to_jiff().to_zoned_datetime(zone.clone());
    // The day before may matter too: what is skipped at its end comes after midnight.
    let day = Schedule::next_day(cron, from.date().yesterday().ok()?)?;
    let from = if day > from.date() {
        // Exclusive: the second before that day begins.
        let begin = day.at(0, 0, 0, 0).to_zoned_datetime(zone.clone()).ok()?;
        begin.checked_sub(SignedDuration::from_secs(1)).ok()?
    } else {
        from
    };
    let next = cron.find_next_occurrence(&ZonedMoment(from), false).ok()?;
    Some(next.0.timestamp().into())
}

/// The newest moment of a schedule that has come by `now`, and the one that follows. `first` is one of its
/// moments and has come. Takes two searches, however many moments passed.
pub(super) fn newest(schedule: &Schedule, first: Timestamp, now: Timestamp) -> (Timestamp, Option<Timestamp>) {
    let (Ok(cron), Ok(zone)) = (schedule.cron(), schedule.zone()) else { return (first, None) };
    let following = next(&cron, &zone, now);
    // Mostly nothing was missed.
    if next(&cron, &zone, first) == following {
        return (first, following);
    }
    let at = ZonedMoment(now.to_jiff().to_zoned_datetime(zone));
    let previous = cron.find_previous_occurrence(&at, true).ok().map(|at| Timestamp::from(at.0.timestamp()));
    (previous.filter(|previous| *previous > first && *previous <= now).unwrap_or(first), following)
}

/// A moment in a zone, as croner wants it. (croner's own support is for an older jiff.)
#[derive(Debug, Clone)]
struct ZonedMoment(ZonedDateTime);

impl CronDateTime for ZonedMoment {
    fn to_civil(&self) -> CivilDateTime {
        let at = self.0.datetime();
        // jiff's parts are always within their ranges.
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(at.year().into(), number(at.month()), number(at.day())),
            CivilTime::from_parts_unchecked(number(at.hour()), number(at.minute()), number(at.second())),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(number(self.0.weekday().to_sunday_zero_offset()))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let ambiguous = self.0.time_zone().to_ambiguous_zoned_datetime(datetime(civil).ok_or(CronError::InvalidDate)?);
        let invalid = |_| CronError::InvalidTime;
        Ok(match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } => Resolution::Single(Self(ambiguous.unambiguous().map_err(invalid)?)),
            AmbiguousOffset::Fold { .. } => Resolution::Ambiguous(
                Self(ambiguous.clone().earlier().map_err(invalid)?),
                Self(ambiguous.later().map_err(invalid)?),
            ),
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(SignedDuration::from_secs(seconds)).ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.timestamp().cmp(&other.0.timestamp())
    }
}

fn number(part: i8) -> u32 {
    u32::try_from(part).unwrap_or(0)
}

fn datetime(civil: CivilDateTime) -> Option<DateTime> {
    let part = |part: u32| i8::try_from(part).ok();
    DateTime::new(
        i16::try_from(civil.year()).ok()?,
        part(civil.month())?,
        part(civil.day())?,
        part(civil.hour())?,
        part(civil.minute())?,
        part(civil.second())?,
        0,
    )
    .ok()
}

#[cfg(test)]
mod tests {
    use restroy_sdk::document::{Misfire, Overlap};

    use super::*;

    fn fires(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let schedule = Schedule {
            cron: cron.into(),
            timezone: Some(zone.into()),
            misfire: Misfire::default(),
            overlap: Overlap::default(),
        };
        let mut at: Timestamp = after.parse::<jiff::Timestamp>().unwrap().into();
        (0..count)
            .map(|_| {
                at = next_fire(&schedule, at).unwrap();
                at.to_jiff().to_string()
            })
            .collect()
    }

    #[test]
    fn a_time_of_day_keeps_to_the_wall_clock() {
        let fires = fires("0 8 * * MON", "Europe/Kyiv", "2026-03-20T00:00:00Z", 2);
        assert_eq!(fires, ["2026-03-23T06:00:00Z", "2026-03-30T05:00:00Z"]);
    }

    #[test]
    fn a_skipped_time_fires_after_the_gap() {
        // Kyiv skips 03:00–04:00 on 29 March 2026 (01:00 UTC).
        let daily = fires("30 3 * * *", "Europe/Kyiv", "2026-03-28T12:00:00Z", 2);
        assert_eq!(daily, ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
        let often = fires("*/30 * * * *", "Europe/Kyiv", "2026-03-29T00:00:00Z", 3);
        assert_eq!(often, ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]);
    }

    #[test]
    fn a_doubled_time_fires_once_unless_it_is_an_interval() {
        // Kyiv repeats 03:00–04:00 on 25 October 2026 (00:00 and 01:00 UTC).
        let daily = fires("30 3 * * *", "Europe/Kyiv", "2026-10-24T12:00:00Z", 2);
        assert_eq!(daily, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
        let often = fires("*/30 * * * *", "Europe/Kyiv", "2026-10-25T00:00:00Z", 3);
        assert_eq!(often, ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"]);
    }

    fn schedule(cron: &str, zone: &str) -> Schedule {
        Schedule {
            cron: cron.into(),
            timezone: Some(zone.into()),
            misfire: Misfire::default(),
            overlap: Overlap::default(),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse::<jiff::Timestamp>().unwrap().into()
    }

    #[test]
    fn rare_days_are_found() {
        let leap = fires("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", 2);
        assert_eq!(leap, ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]);
        // A 29 February that is a Monday, by day of month and of week together.
        let both = fires("0 0 29 2 +MON", "UTC", "2026-01-01T00:00:00Z", 1);
        assert_eq!(both, ["2044-02-29T00:00:00Z"]);
        let last = fires("59 23 L * *", "America/New_York", "2026-02-28T12:00:00Z", 2);
        assert_eq!(last, ["2026-03-01T04:59:00Z", "2026-04-01T03:59:00Z"]);
        let third = fires("0 12 * * FRI#3", "Asia/Tokyo", "2026-11-29T00:00:00Z", 1);
        assert_eq!(third, ["2026-12-18T03:00:00Z"]);
    }

    #[test]
    fn days_begin_after_a_gap_too() {
        // Beirut skips 00:00–01:00 on 29 March 2026 (22:00 UTC on the 28th).
        let fires = fires("30 0 29 3 *", "Asia/Beirut", "2026-01-01T00:00:00Z", 1);
        assert_eq!(fires, ["2026-03-28T22:00:00Z"]);
    }

    #[test]
    fn the_newest_of_many_is_found_at_once() {
        for (cron, zone, first, now) in [
            ("* * * * *", "UTC", "2026-01-01T00:00:00Z", "2026-11-29T12:34:56Z"),
            ("*/7 3 * * *", "Europe/Kyiv", "2026-03-27T01:00:00Z", "2026-03-30T12:00:00Z"),
            ("30 3 * * *", "Europe/Kyiv", "2026-03-27T01:30:00Z", "2026-03-29T00:59:00Z"),
            ("30 3 * * *", "Europe/Kyiv", "2026-03-27T01:30:00Z", "2026-03-29T01:00:00Z"),
            ("30 3 * * *", "Europe/Kyiv", "2026-10-23T00:30:00Z", "2026-10-25T01:45:00Z"),
            ("*/30 * * * *", "Europe/Kyiv", "2026-10-24T00:30:00Z", "2026-10-25T01:45:00Z"),
            ("0 0 29 2 *", "UTC", "2024-02-29T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("0 8 * * MON", "Europe/Kyiv", "2026-01-05T06:00:00Z", "2026-01-05T06:00:00Z"),
        ] {
            let schedule = schedule(cron, zone);
            let (first, now) = (at(first), at(now));
            let (mut newest_by_steps, mut following) = (first, next_fire(&schedule, first));
            while let Some(moment) = following.filter(|moment| *moment <= now) {
                newest_by_steps = moment;
                following = next_fire(&schedule, moment);
            }
            assert_eq!(newest(&schedule, first, now), (newest_by_steps, following), "{cron} {zone}");
        }
    }

    #[test]
    fn what_never_comes_never_fires() {
        let schedule = Schedule {
            cron: "0 0 30 2 *".into(),
            timezone: None,
            misfire: Misfire::default(),
            overlap: Overlap::default(),
        };
        assert_eq!(next_fire(&schedule, Timestamp(0)), None);
    }
}
