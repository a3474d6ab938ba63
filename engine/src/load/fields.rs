//! Reads an object of a definition field by field, and refuses whatever nobody asked for.

use std::cell::RefCell;
use std::sync::Arc;

use crate::problem::{Code, Problem, escape};
use crate::query::{Reach, Refusal, Template};
use crate::value::{Object, Value};

/// An object of the definition.
pub(crate) struct Fields<'a> {
    object: &'a Object,
    /// JSON Pointer to the object.
    at: String,
    state: Option<Arc<str>>,
    read: RefCell<Vec<&'static str>>,
    problems: &'a RefCell<Vec<Problem>>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(object: &'a Object, problems: &'a RefCell<Vec<Problem>>) -> Self {
        Self { object, at: String::new(), state: None, read: RefCell::default(), problems }
    }

    pub(crate) fn refuse(&self, code: Code, field: Option<&str>, message: impl Into<String>) {
        let below = field.filter(|field| self.object.get(field).is_some());
        self.problems.borrow_mut().push(Problem {
            code,
            pointer: below.map_or_else(|| self.at.clone(), |field| format!("{}/{}", self.at, escape(field))),
            state: self.state.as_deref().map(str::to_owned),
            field: field.map(str::to_owned),
            message: message.into(),
            line: None,
        });
    }

    pub(crate) fn invalid(&self, field: &str, message: impl Into<String>) {
        self.refuse(Code::SchemaValidationFailed, Some(field), message);
    }

    pub(crate) fn require(&self, fields: &[&str]) {
        let missing: Vec<_> =
            fields.iter().copied().filter(|field| self.object.get(field).is_none()).collect();
        if let Some(first) = missing.first() {
            self.invalid(first, format!("These fields are required: [{}]", missing.join(", ")));
        }
    }

    pub(crate) fn value(&self, field: &'static str) -> Option<&'a Value> {
        self.read.borrow_mut().push(field);
        self.object.get(field)
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        self.object.get(field).is_some()
    }

    /// A field of one type; `expected` is how JSON calls it.
    fn typed<T>(
        &self,
        field: &'static str,
        expected: &str,
        take: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.value(field)?;
        let taken = take(value);
        if taken.is_none() {
            self.invalid(
                field,
                format!("Expected value of type '{expected}', but was '{}'", value.type_name()),
            );
        }
        taken
    }

    pub(crate) fn text(&self, field: &'static str) -> Option<Arc<str>> {
        self.typed(field, "string", |value| value.as_str().map(Arc::from))
    }

    pub(crate) fn flag(&self, field: &'static str) -> Option<bool> {
        self.typed(field, "boolean", Value::as_bool)
    }

    pub(crate) fn number(&self, field: &'static str, least: f64, most: f64) -> Option<f64> {
        let number = self.typed(field, "number", |value| Some(value.as_number()?.as_f64()))?;
        if (least..=most).contains(&number) {
            return Some(number);
        }
        self.invalid(field, format!("Expected a number from {least} to {most}, but was {number}"));
        None
    }

    pub(crate) fn whole(&self, field: &'static str, least: i64, most: i64) -> Option<i64> {
        let number = self.typed(field, "integer", |value| value.as_number()?.as_i64())?;
        if (least..=most).contains(&number) {
            return Some(number);
        }
        self.invalid(field, format!("Expected a number from {least} to {most}, but was {number}"));
        None
    }

    pub(crate) fn texts(&self, field: &'static str) -> Option<Vec<Arc<str>>> {
        self.typed(field, "array of strings", |value| {
            value.as_array()?.iter().map(|item| item.as_str().map(Arc::from)).collect()
        })
    }

    pub(crate) fn object(&self, field: &'static str) -> Option<Fields<'a>> {
        let object = self.typed(field, "object", Value::as_object)?;
        Some(self.below(object, &escape(field)))
    }

    /// A list of objects, not empty.
    pub(crate) fn objects(&self, field: &'static str) -> Vec<Fields<'a>> {
        let Some(items) = self.typed(field, "array", Value::as_array) else {
            return Vec::new();
        };
        if items.is_empty() {
            self.invalid(field, "The list must not be empty");
        }
        let items = items.iter().enumerate();
        items
            .filter_map(|(index, item)| {
                let object = item.as_object();
                if object.is_none() {
                    self.invalid(field, format!("Expected value of type 'object' at index {index}"));
                }
                Some(self.below(object?, &format!("{field}/{index}")))
            })
            .collect()
    }

    /// Every member as an object: the shape of `States`.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&'a Arc<str>, &'a Value)> {
        self.object.iter()
    }

    pub(crate) fn below(&self, object: &'a Object, step: &str) -> Fields<'a> {
        Fields {
            object,
            at: format!("{}/{step}", self.at),
            state: self.state.clone(),
            read: RefCell::default(),
            problems: self.problems,
        }
    }

    pub(crate) fn of_state(mut self, name: &Arc<str>) -> Self {
        self.state = Some(Arc::clone(name));
        self
    }

    pub(crate) fn template(&self, field: &'static str, reach: Reach) -> Option<Template> {
        let value = self.value(field)?;
        let at = format!("{}/{field}", self.at);
        Some(Template::parse(value, reach, &at, &mut |at, refusal| {
            let (code, message) = match refusal {
                Refusal::Syntax(message) => (Code::InvalidExpression, message),
                Refusal::Unsupported(message) => (Code::UnsupportedExpression, message),
            };
            self.problems.borrow_mut().push(Problem {
                code,
                pointer: at.to_owned(),
                state: self.state.as_deref().map(str::to_owned),
                field: Some(field.to_owned()),
                message,
                line: None,
            });
        }))
    }

    /// A field that is an expression or a constant that `accept` takes.
    pub(crate) fn template_of(
        &self,
        field: &'static str,
        expected: &str,
        reach: Reach,
        accept: impl Fn(&Value) -> bool,
    ) -> Option<Template> {
        let template = self.template(field, reach)?;
        match &template {
            Template::Expression(_) => {}
            Template::Constant(Value::Null) if self.object.get(field) != Some(&Value::Null) => {}
            Template::Constant(value) if accept(value) => {}
            Template::Array(_) if accept(&Value::from(Vec::new())) => {}
            Template::Object(_) if accept(&Value::Object(Object::default())) => {}
            _ => self.invalid(field, format!("Expected {expected} or a JSONata expression")),
        }
        Some(template)
    }

    /// Refuses every field that was not read. `later` are fields of the language that are not run yet.
    pub(crate) fn finish(self, later: &[(&str, &str)]) {
        let read = self.read.borrow();
        for (name, _) in self.object.iter().filter(|(name, _)| !read.contains(&&***name)) {
            match later.iter().find(|(field, _)| *field == &**name) {
                Some((field, why)) => self.refuse(Code::NotSupported, Some(field), *why),
                None => self.invalid(name, format!("Field '{name}' is not supported")),
            }
        }
    }
}
