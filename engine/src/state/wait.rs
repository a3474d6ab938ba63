//! Wait: does nothing until a moment has come.

use jiff::{SignedDuration, Timestamp};

use super::Exit;
use crate::failure::{Failure, reserved};
use crate::load::{Fields, LONGEST_SECONDS, Place};
use crate::query::{Reach, Template};
use crate::run::{Fault, Given, Next, Step, Visit, Waiting};
use crate::value::{Number, Value};

/// A Wait state.
#[derive(Debug)]
pub(crate) struct Wait {
    until: Until,
    pub exit: Exit,
}

#[derive(Debug)]
enum Until {
    Seconds(Template),
    Timestamp(Template),
}

impl Wait {
    pub(crate) fn parse(fields: Fields<'_>, place: &Place<'_>) -> Option<Self> {
        let seconds = fields.template_of(
            "Seconds",
            "a whole number of seconds from 0 to 99999999",
            Reach::INPUT,
            |value| seconds(value).is_some(),
        );
        let timestamp = fields.template("Timestamp", Reach::INPUT);
        if timestamp.as_ref().and_then(Template::constant).is_some_and(|value| moment(value).is_none()) {
            fields.invalid("Timestamp", "String does not match RFC3339 timestamp");
        }
        let exit = Exit::parse(&fields, place, Reach::INPUT);
        let until = match (seconds, timestamp) {
            (Some(seconds), None) => Some(Until::Seconds(seconds)),
            (None, Some(timestamp)) => Some(Until::Timestamp(timestamp)),
            _ => {
                fields.invalid("Seconds", "Exactly one of these fields is required: [Seconds, Timestamp]");
                None
            }
        };
        fields.finish(&[]);
        Some(Self { until: until?, exit: exit? })
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> Step {
        let now = visit.now;
        let due = visit.evaluate(Given::default(), |scope| match &self.until {
            Until::Seconds(template) => {
                let wait = template.fill_as("Seconds", "positive integer", scope, seconds)?;
                Ok(now.checked_add(SignedDuration::from_secs(wait)).ok())
            }
            Until::Timestamp(template) => {
                template.fill_as("Timestamp", "RFC3339 timestamp", scope, moment).map(Some)
            }
        })?;
        let longest = now.checked_add(SignedDuration::from_secs(LONGEST_SECONDS)).ok();
        let Some(due) = due.filter(|due| longest.is_none_or(|longest| *due <= longest)) else {
            let cause = visit.sentence("Wait state delay is too long.");
            return Err(Fault::from(Failure::new(reserved::RUNTIME, cause)));
        };
        if due <= now {
            return self.finish(visit);
        }
        visit.wait(Waiting::Timer, Some(due));
        Ok(Next::Wait)
    }

    pub(crate) fn finish(&self, visit: &mut Visit<'_>) -> Step {
        visit.leave(&self.exit, "", Given::default())
    }
}

fn seconds(value: &Value) -> Option<i64> {
    value.as_number().and_then(Number::as_i64).filter(|seconds| (0..=LONGEST_SECONDS).contains(seconds))
}

/// RFC 3339 with a capital T, and a capital Z where there is no offset.
fn moment(value: &Value) -> Option<Timestamp> {
    let text = value.as_str().filter(|text| text.contains('T') && !text.contains(['z', ' ', '[']))?;
    text.parse().ok()
}
