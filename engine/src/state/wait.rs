//! Wait: waits until a moment.

use jiff::{SignedDuration, Timestamp};

use super::Exit;
use super::exit::ExitKind;
use super::input::StateInput;
use crate::failure::{Failure, reserved};
use crate::load::{Fields, MAX_SECONDS, ParseContext};
use crate::query::{EvaluationError, JsonPath, Language, Scope, Template, Visibility};
use crate::run::{EvalInputs, Fault, Visit, VisitOutcome, VisitResult, Waiting};
use crate::value::{Number, Value};

/// AWS's limit for a wait in seconds: 24,855 days and some hours.
const MAX_WAIT_SECONDS: i64 = 2_147_483_647;

#[derive(Debug)]
pub(crate) struct Wait {
    input: StateInput,
    until: Until,
    pub exit: Exit,
}

#[derive(Debug)]
enum Until {
    Seconds(Template),
    Timestamp(Template),
    SecondsPath(JsonPath),
    TimestampPath(JsonPath),
}

impl Wait {
    pub(crate) fn parse(fields: Fields<'_>, context: &ParseContext<'_>) -> Option<Self> {
        let input = StateInput::parse_path(&fields);
        let until = Until::parse(&fields);
        let exit = Exit::parse(&fields, context, ExitKind::Plain);
        fields.finish(&[]);
        Some(Self { input, until: until?, exit: exit? })
    }

    pub(crate) fn start(&self, visit: &mut Visit<'_>) -> VisitResult {
        let now = visit.now;
        let due = visit.evaluate(EvalInputs::default(), |scope| {
            let input = self.input.select(scope)?;
            self.until.due(now, &mut scope.over(&input))
        })?;
        let longest = now.checked_add(SignedDuration::from_secs(MAX_WAIT_SECONDS)).ok();
        let Some(due) = due.filter(|due| longest.is_none_or(|longest| *due <= longest)) else {
            let cause = visit.cause_in_state("Wait state delay is too long.");
            return Err(Fault::from(Failure::new(reserved::RUNTIME, cause)));
        };
        if due <= now {
            return self.finish(visit);
        }
        visit.wait(Waiting::Timer, Some(due));
        Ok(VisitOutcome::Wait)
    }

    pub(crate) fn finish(&self, visit: &mut Visit<'_>) -> VisitResult {
        if self.input.is_passthrough() {
            return visit.leave(&self.exit, "", EvalInputs::default());
        }
        let input = visit.evaluate(EvalInputs::default(), |scope| self.input.select(scope))?;
        visit.leave(&self.exit, "", EvalInputs::input(&input))
    }
}

impl Until {
    fn parse(fields: &Fields<'_>) -> Option<Self> {
        let jsonata = fields.language() == Language::Jsonata;
        let names: &[&'static str] = if jsonata {
            &["Seconds", "Timestamp"]
        } else {
            &["SecondsPath", "Seconds", "TimestampPath", "Timestamp"]
        };
        fields.exactly_one_of(names);
        if !jsonata && fields.has("SecondsPath") {
            return fields.reference("SecondsPath").map(Self::SecondsPath);
        }
        if !jsonata && fields.has("TimestampPath") {
            return fields.reference("TimestampPath").map(Self::TimestampPath);
        }
        if fields.has("Seconds") {
            return fields.integer_or_template("Seconds", 0, MAX_SECONDS).map(Self::Seconds);
        }
        let timestamp = fields.template("Timestamp", Visibility::INPUT)?;
        if timestamp.constant().is_some_and(|value| parse_timestamp(value).is_none()) {
            fields.invalid("Timestamp", "String does not match RFC3339 timestamp");
        }
        Some(Self::Timestamp(timestamp))
    }

    /// The moment; `None`: it is beyond the calendar's end.
    fn due(&self, now: Timestamp, scope: &mut Scope<'_>) -> Result<Option<Timestamp>, EvaluationError> {
        let after = |seconds: i64| Ok(now.checked_add(SignedDuration::from_secs(seconds)).ok());
        match self {
            Self::Seconds(template) => {
                let number = |value: &Value| value.as_number().map(|_| value.clone());
                let value = template.fill_as("Seconds", "positive integer", scope, number)?;
                after(seconds("Seconds", template.source().unwrap_or_default(), &value)?)
            }
            Self::SecondsPath(path) => {
                let value = named(path, "SecondsPath", scope)?;
                after(seconds("SecondsPath", path.source(), &value)?)
            }
            Self::Timestamp(template) => {
                let text = |value: &Value| value.as_str().map(|_| value.clone());
                let value = template.fill_as("Timestamp", "string", scope, text)?;
                timestamp("Timestamp", template.source().unwrap_or_default(), &value).map(Some)
            }
            Self::TimestampPath(path) => {
                let value = named(path, "TimestampPath", scope)?;
                timestamp("TimestampPath", path.source(), &value).map(Some)
            }
        }
    }
}

fn named(path: &JsonPath, field: &str, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
    path.resolve(scope).map_err(|_| {
        EvaluationError::runtime(format!(
            "The {field} parameter does not reference an input value: {}",
            path.source()
        ))
    })
}

/// A number of seconds from `source`.
fn seconds(field: &str, source: &str, value: &Value) -> Result<i64, EvaluationError> {
    let whole = match value {
        Value::Number(Number::Float(_)) => None,
        value => value.as_number().and_then(Number::as_i64),
    };
    match whole {
        Some(seconds @ 0..) => Ok(seconds),
        Some(_) => Err(invalid_value(field, "references a negative value", source, value)),
        None => Err(invalid_value(field, "cannot be parsed as a long value", source, value)),
    }
}

/// A timestamp from `source`.
fn timestamp(field: &str, source: &str, value: &Value) -> Result<Timestamp, EvaluationError> {
    let why = "does not reference a valid ISO-8601 extended offset date-time format string";
    parse_timestamp(value).ok_or_else(|| invalid_value(field, why, source, value))
}

fn invalid_value(field: &str, why: &str, source: &str, value: &Value) -> EvaluationError {
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    EvaluationError::runtime(format!("The {field} parameter {why}: {source} == {shown}"))
}

/// Parses RFC 3339 with a capital T, and a capital Z if there is no offset.
pub(super) fn parse_timestamp(value: &Value) -> Option<Timestamp> {
    let text = value.as_str()?;
    let shape = "dddd-dd-ddTdd:dd:dd";
    let matches_shape = |(letter, expected): (u8, u8)| {
        if expected == b'd' { letter.is_ascii_digit() } else { letter == expected }
    };
    let (head, tail) = text.split_at_checked(shape.len())?;
    let zone =
        tail.strip_prefix('.').map_or(tail, |tail| tail.trim_start_matches(|c: char| c.is_ascii_digit()));
    let offset = zone.len() == 6 && zone.starts_with(['+', '-']) && zone.as_bytes()[3] == b':';
    let is_valid = (zone == "Z" || offset) && head.bytes().zip(shape.bytes()).all(matches_shape);
    is_valid.then(|| text.parse().ok()).flatten()
}
