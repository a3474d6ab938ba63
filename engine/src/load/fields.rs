//! Reads an object of a definition field by field, and refuses every field that no reader asked for.

use std::cell::RefCell;
use std::sync::Arc;

use crate::problem::{Code, Problem, Severity, escape};
use crate::query::Language;
use crate::value::{Object, Value};

/// An object of the definition.
pub(crate) struct Fields<'a> {
    pub(super) object: &'a Object,
    /// JSON Pointer to the object.
    pub(super) pointer: String,
    /// The pointer in AWS's form, with an index in brackets.
    pub(super) location: String,
    state: Option<Arc<str>>,
    pub(super) language: Language,
    read: RefCell<Vec<&'static str>>,
    problems: &'a RefCell<Vec<Problem>>,
}

/// Fields that exist in one language only.
const JSON_PATH_ONLY: [&str; 17] = [
    "InputPath",
    "OutputPath",
    "ResultPath",
    "Parameters",
    "ResultSelector",
    "Result",
    "ItemsPath",
    "TimeoutSecondsPath",
    "HeartbeatSecondsPath",
    "SecondsPath",
    "TimestampPath",
    "MaxConcurrencyPath",
    "ToleratedFailurePercentagePath",
    "ToleratedFailureCountPath",
    "ErrorPath",
    "CausePath",
    "Variable",
];
const JSONATA_ONLY: [&str; 4] = ["Arguments", "Output", "Items", "Condition"];

impl<'a> Fields<'a> {
    pub(crate) fn new(object: &'a Object, problems: &'a RefCell<Vec<Problem>>) -> Self {
        Self {
            object,
            pointer: String::new(),
            location: String::new(),
            state: None,
            language: Language::JsonPath,
            read: RefCell::default(),
            problems,
        }
    }

    pub(super) fn problem(
        &self,
        code: Code,
        pointer: String,
        location: String,
        field: Option<&str>,
        message: String,
    ) {
        self.problems.borrow_mut().push(Problem {
            severity: Severity::Error,
            code,
            pointer,
            location: Some(location),
            state: self.state.as_deref().map(str::to_owned),
            field: field.map(str::to_owned),
            message,
            line: None,
        });
    }

    /// Warns about a field.
    pub(super) fn warn(&self, code: Code, field: &str, message: String) {
        self.refuse(code, Some(field), message);
        self.problems.borrow_mut().last_mut().into_iter().for_each(|p| p.severity = Severity::Warning);
    }

    /// Refuses the field if the object has it, else the object.
    pub(crate) fn refuse(&self, code: Code, field: Option<&str>, message: impl Into<String>) {
        let child = field.filter(|field| self.object.get(field).is_some());
        let step = child.map_or_else(String::new, |field| format!("/{}", escape(field)));
        let (pointer, location) = (format!("{}{step}", self.pointer), format!("{}{step}", self.location));
        self.problem(code, pointer, location, field, message.into());
    }

    pub(crate) fn invalid(&self, field: &str, message: impl Into<String>) {
        self.refuse(Code::SchemaValidationFailed, Some(field), message);
    }

    /// Refuses a field of an object in a list.
    pub(crate) fn invalid_item(&self, list: &str, index: usize, field: &str, message: &str) {
        let pointer = format!("{}/{list}/{index}/{field}", self.pointer);
        let location = format!("{}/{list}[{index}]/{field}", self.location);
        self.problem(Code::SchemaValidationFailed, pointer, location, Some(list), message.to_owned());
    }

    /// Refuses the object as a whole.
    pub(crate) fn refuse_object(&self, message: impl Into<String>) {
        self.refuse(Code::SchemaValidationFailed, None, message);
    }

    /// Refuses a field that AWS names in the message only, not in the location.
    fn refuse_field(&self, field: &str, message: String) {
        let pointer = format!("{}/{}", self.pointer, escape(field));
        self.problem(Code::SchemaValidationFailed, pointer, self.location.clone(), Some(field), message);
    }

    pub(crate) fn require(&self, fields: &[&str]) {
        let missing: Vec<_> =
            fields.iter().copied().filter(|field| self.object.get(field).is_none()).collect();
        if let Some(first) = missing.first() {
            self.invalid(first, format!("These fields are required: [{}]", missing.join(", ")));
        }
    }

    /// Refuses more than one of these fields.
    pub(crate) fn at_most_one_of(&self, fields: &[&'static str]) {
        if fields.iter().filter(|field| self.has(field)).count() > 1 {
            self.read.borrow_mut().extend(fields);
            self.refuse_object(format!(
                "There should only be one of the following fields: [{}]",
                fields.join(", ")
            ));
        }
    }

    /// Refuses none, and more than one, of these fields.
    pub(crate) fn exactly_one_of(&self, fields: &[&'static str]) {
        self.at_most_one_of(fields);
        if !fields.iter().any(|field| self.has(field)) {
            self.refuse_object(format!(
                "This object should have only one of the following fields: [{}]",
                fields.join(", ")
            ));
        }
    }

    /// The language of the state that contains the object.
    pub(crate) fn language(&self) -> Language {
        self.language
    }

    pub(crate) fn value(&self, field: &'static str) -> Option<&'a Value> {
        self.read.borrow_mut().push(field);
        self.object.get(field)
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        self.object.get(field).is_some()
    }

    /// A field of one type. `expected` is AWS's name for the type.
    fn typed<T>(
        &self,
        field: &'static str,
        expected: &str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let converted = convert(self.value(field)?);
        if converted.is_none() {
            self.invalid(field, format!("Expected value of type {expected}"));
        }
        converted
    }

    pub(crate) fn text(&self, field: &'static str) -> Option<Arc<str>> {
        self.typed(field, "String", |value| value.as_str().map(Arc::from))
    }

    /// A text that must be one of these options.
    pub(crate) fn choice(&self, field: &'static str, options: &[&str]) -> Option<Arc<str>> {
        let text = self.text(field)?;
        if options.contains(&&*text) {
            return Some(text);
        }
        self.invalid(field, format!("Value should be one of the following: [{}]", options.join(", ")));
        None
    }

    pub(crate) fn flag(&self, field: &'static str) -> Option<bool> {
        self.typed(field, "Boolean", Value::as_bool)
    }

    pub(crate) fn number(&self, field: &'static str, min: f64, max: f64) -> Option<f64> {
        let number = self.typed(field, "Number", |value| Some(value.as_number()?.as_f64()))?;
        self.within(field, number, min, max).then_some(number)
    }

    #[expect(clippy::cast_precision_loss, reason = "the limits are small")]
    pub(crate) fn integer(&self, field: &'static str, min: i64, max: i64) -> Option<i64> {
        let number = self.typed(field, "Integer", |value| value.as_number()?.as_i64())?;
        self.within(field, number as f64, min as f64, max as f64).then_some(number)
    }

    pub(super) fn within(&self, field: &str, number: f64, min: f64, max: f64) -> bool {
        if number < min {
            self.invalid(field, format!("Minimum value is {min}"));
        } else if number > max {
            self.invalid(field, format!("Maximum value is {max}"));
        }
        (min..=max).contains(&number)
    }

    pub(crate) fn texts(&self, field: &'static str) -> Option<Vec<Arc<str>>> {
        self.typed(field, "Array", |value| {
            value.as_array()?.iter().map(|item| item.as_str().map(Arc::from)).collect()
        })
    }

    pub(crate) fn object(&self, field: &'static str) -> Option<Fields<'a>> {
        let object = self.typed(field, "Object", Value::as_object)?;
        Some(self.child(object, &escape(field)))
    }

    /// A list of objects that must not be empty.
    pub(crate) fn nonempty_objects(&self, field: &'static str) -> Vec<Fields<'a>> {
        let Some(items) = self.typed(field, "Array", Value::as_array) else {
            return Vec::new();
        };
        if items.is_empty() {
            self.invalid(field, "Value cannot be empty");
        }
        self.objects(field)
    }

    /// A list of objects.
    pub(crate) fn objects(&self, field: &'static str) -> Vec<Fields<'a>> {
        let items = self.typed(field, "Array", Value::as_array);
        let items = items.into_iter().flat_map(|items| items.iter()).enumerate();
        items
            .filter_map(|(index, item)| {
                let object = item.as_object();
                if object.is_none() {
                    let pointer = format!("{}/{field}/{index}", self.pointer);
                    let message = "Expected value of type Object".to_owned();
                    self.problem(
                        Code::SchemaValidationFailed,
                        pointer,
                        format!("{}/{field}[{index}]", self.location),
                        Some(field),
                        message,
                    );
                }
                let child = self.child(object?, &format!("{field}/{index}"));
                Some(Fields { location: format!("{}/{field}[{index}]", self.location), ..child })
            })
            .collect()
    }

    /// Every member of the object, as `States` needs them.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&'a Arc<str>, &'a Value)> {
        self.object.iter()
    }

    pub(crate) fn child(&self, object: &'a Object, step: &str) -> Fields<'a> {
        Fields {
            object,
            pointer: format!("{}/{step}", self.pointer),
            location: format!("{}/{step}", self.location),
            state: self.state.clone(),
            language: self.language,
            read: RefCell::default(),
            problems: self.problems,
        }
    }

    pub(crate) fn for_state(mut self, name: &Arc<str>) -> Self {
        self.state = Some(Arc::clone(name));
        self
    }

    pub(crate) fn with_language(mut self, language: Language) -> Self {
        self.language = language;
        self
    }

    /// Refuses every field that nothing has read. `later` has the fields that AWS runs and the engine does
    /// not.
    pub(crate) fn finish(self, later: &[(&str, &str)]) {
        let (own, other, only) = match self.language {
            Language::JsonPath => ("JSONPath", "JSONata", &JSONATA_ONLY[..]),
            Language::Jsonata => ("JSONata", "JSONPath", &JSON_PATH_ONLY[..]),
        };
        let read = self.read.borrow();
        for (name, _) in self.object.iter().filter(|(name, _)| !read.contains(&&***name)) {
            match later.iter().find(|(field, _)| *field == &**name) {
                Some((field, why)) => self.refuse(Code::NotSupported, Some(field), *why),
                None if only.contains(&&**name) => self.invalid(name, format!(
                    "The QueryLanguage is set to '{own}', but field '{name}' is only supported for the '{other}' QueryLanguage"
                )),
                None => self.refuse_field(name, format!("Field '{name}' is not supported")),
            }
        }
    }
}
