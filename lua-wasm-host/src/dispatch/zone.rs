//! Time zones: the bundled IANA database, so that every machine answers the same.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::Deserialize;
use serde_json::json;

use super::Answer;
use crate::{CallError, CallResult};

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

#[derive(Deserialize)]
pub(super) struct ZoneRequest {
    zone: String,
    /// A point in time: what is the zone's offset then?
    seconds: Option<i64>,
    /// A local time: which point in time is it? The later offset's in a gap, the earlier of two.
    local: Option<[i16; 6]>,
}

pub(super) fn answer(request: &ZoneRequest) -> CallResult<Answer> {
    let invalid = |message: String| CallError::new("invalid_argument", message);
    let zone: TimeZone =
        ZONES.get(&request.zone).map_err(|_| invalid(format!("{:?} is not a time zone", request.zone)))?;
    let out_of_range = || invalid("the time is out of range".to_owned());
    let when = match (request.seconds, request.local) {
        (Some(seconds), _) => Timestamp::from_second(seconds),
        (None, Some([year, month, day, hour, minute, second])) => {
            let small = |n: i16| i8::try_from(n).map_err(|_| out_of_range());
            DateTime::new(year, small(month)?, small(day)?, small(hour)?, small(minute)?, small(second)?, 0)
                .and_then(|local| zone.to_timestamp(local))
        }
        (None, None) => return Err(invalid("neither a time nor a local time".to_owned()).into()),
    }
    .map_err(|_| out_of_range())?;
    let info = zone.to_offset_info(when);
    Ok(Answer::head(&json!({
        "seconds": when.as_second(),
        "offset": info.offset().seconds(),
        "name": info.abbreviation(),
    }))?)
}
