//! The arguments of a call, checked as AWS checks them before it starts a task.

use std::borrow::Cow;

use states::{Failure, Object, Value, reserved};

/// The arguments of a call.
#[derive(Debug)]
pub(super) struct Takes {
    /// The call, for messages.
    pub(super) call: &'static str,
    /// Fields that must be there.
    pub(super) required: &'static [&'static str],
    /// Fields that may be there.
    pub(super) optional: &'static [&'static str],
    /// Fields that AWS accepts and this host does not support.
    pub(super) not_here: &'static [&'static str],
}

/// Arguments, or an object among them, whose fields are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arguments<'a> {
    whole: &'a Value,
    object: &'a Object,
    call: &'static str,
}

impl<'a> Arguments<'a> {
    /// Checks the fields of a call's arguments.
    pub(super) fn check(whole: &'a Value, takes: &Takes) -> Result<Self, Failure> {
        Self::check_in(whole, whole, takes)
    }

    /// Checks the fields of an object among the arguments.
    pub(super) fn nested(&self, value: &'a Value, takes: &Takes) -> Result<Self, Failure> {
        Self::check_in(self.whole, value, takes)
    }

    fn check_in(whole: &'a Value, value: &'a Value, takes: &Takes) -> Result<Self, Failure> {
        let Takes { call, required, optional, not_here } = *takes;
        let Some(object) = value.as_object() else {
            return Err(unusable(whole, &["The arguments are not a JSON object".to_owned()]));
        };
        let missing = required.iter().filter(|name| object.get(name).is_none());
        let mut wrong: Vec<String> =
            missing.map(|name| format!("The field '{name}' is required but was missing")).collect();
        let known = [required, optional, not_here].concat();
        let unknown = object.iter().filter(|(name, _)| !known.contains(&&***name));
        wrong.extend(
            unknown.map(|(name, _)| format!("The field \"{name}\" is not supported by Step Functions")),
        );
        if !wrong.is_empty() {
            return Err(unusable(whole, &wrong));
        }
        let arguments = Self { whole, object, call };
        match not_here.iter().find(|name| object.get(name).is_some()) {
            Some(name) => Err(arguments.not_here(format_args!("'{name}'"))),
            None => Ok(arguments),
        }
    }

    /// A field as it is.
    pub(super) fn field(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name)
    }

    /// A field, where it is there and not null.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.field(name).filter(|value| !matches!(value, Value::Null))
    }

    /// A text; JSON becomes its text, as on AWS if an API expects a text.
    pub(super) fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Failure> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(Cow::Borrowed(text))),
            Some(json @ (Value::Object(_) | Value::Array(_))) => Ok(Some(Cow::Owned(json.to_string()))),
            Some(_) => Err(self.malformed(name)),
        }
    }

    /// A text that must be there.
    pub(super) fn required(&self, name: &str) -> Result<Cow<'a, str>, Failure> {
        self.text(name)?.ok_or_else(|| self.malformed(name))
    }

    /// A whole number.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Failure> {
        let number = |value: &Value| value.as_number().and_then(states::Number::as_i64);
        self.get(name).map(|value| number(value).ok_or_else(|| self.malformed(name))).transpose()
    }

    /// An object.
    pub(super) fn object(&self, name: &str) -> Result<Option<&'a Object>, Failure> {
        self.get(name).map(|value| value.as_object().ok_or_else(|| self.malformed(name))).transpose()
    }

    /// Refuses any other value of a field than the one that changes nothing.
    pub(super) fn only(&self, name: &str, value: &str) -> Result<(), Failure> {
        match self.text(name)? {
            Some(given) if given != value => Err(self.not_here(format_args!("{name} '{given}'"))),
            _ => Ok(()),
        }
    }

    /// The failure for a field of the wrong type.
    pub(super) fn malformed(&self, name: &str) -> Failure {
        unusable(self.whole, &[format!("The value of the field '{name}' has an invalid format")])
    }

    /// The failure for arguments that AWS accepts and this host does not support. Only a Catch that names
    /// States.Runtime catches it, so no machine mistakes it for an error of the service.
    pub(super) fn not_here(&self, what: impl std::fmt::Display) -> Failure {
        Failure::new(reserved::RUNTIME, format!("{}: this host has nothing for {what}", self.call))
    }
}

fn unusable(whole: &Value, wrong: &[String]) -> Failure {
    let wrong = wrong.join(", ");
    let cause = format!("The Parameters '{whole}' could not be used to start the Task: [{wrong}]");
    Failure::new(reserved::RUNTIME, cause)
}
