//! The time at which a contact agreed, as a record tells it: the field `optInAt`.

use std::{borrow::Cow, collections::HashMap};

use jiff::{Timestamp, civil, tz::TimeZone};
use serde_json::value::RawValue;

/// The field of a record with the consent time.
const FIELD: &str = "optInAt";

/// The consent time in the extra fields of a contact, if they have one that can be read.
pub(crate) fn of(extra: Option<&str>) -> Option<Timestamp> {
    let fields: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_str(extra?).ok()?;
    let value: &RawValue = fields.get(FIELD)?;
    parse(&serde_json::from_str::<String>(value.get()).ok()?)
}

/// A time with its offset, or a date and time or a date in UTC: `2026-11-21T08:00:00+01:00`, `2026-11-21 08:00:00`,
/// `2026-11-21`. A date such as 11/12/2026 can be read in two ways, and shows nothing.
fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let civil =
        text.parse::<civil::DateTime>().ok().or_else(|| Some(text.parse::<civil::Date>().ok()?.into()))?;
    civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let extra = serde_json::json!({ "city": "Oslo", "optInAt": text }).to_string();
        assert_eq!(of(Some(&extra)), expected.map(|time| time.parse().unwrap()), "{text}");
    }

    #[test]
    fn a_consent_time_is_read_in_one_way_only() {
        check("2026-11-21T08:00:00+01:00", Some("2026-11-21T07:00:00Z"));
        check(" 2026-11-21T08:00:00Z ", Some("2026-11-21T08:00:00Z"));
        check("2026-11-21 08:00:00", Some("2026-11-21T08:00:00Z"));
        check("2026-11-21 08:00", Some("2026-11-21T08:00:00Z"));
        check("2026-11-21", Some("2026-11-21T00:00:00Z"));
        check("11/12/2026", None);
        check("yes", None);
        check("", None);
        assert_eq!(of(None), None);
        assert_eq!(of(Some(r#"{"optInAt":1763712000}"#)), None);
    }
}
