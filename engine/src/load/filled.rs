//! Fields whose value may depend on a run: templates, paths, and numbers that may be either.

use super::Fields;
use crate::problem::Code;
use crate::query::{JsonPath, Language, Refusal, Selection, Template, Visibility};
use crate::value::{Number, Object, Value};

impl Fields<'_> {
    /// A template of the state's language.
    pub(crate) fn template(&self, field: &'static str, visible: Visibility) -> Option<Template> {
        let value = self.value(field)?;
        let at = format!("{}/{field}", self.pointer);
        if self.language == Language::JsonPath {
            // All other templates accept any JSON.
            let objects = ["ResultSelector", "Assign"];
            if objects.contains(&field) && value.as_object().is_none() {
                self.invalid(field, "Expected value of type Object");
                return None;
            }
            self.warn_of_unfilled_texts(field, value);
            return Some(Template::payload(value, &mut |label| {
                let message = format!(
                    "The value for the field '{label}' must be a valid JSONPath or a valid intrinsic function call"
                );
                let location = format!("{}/{field}", self.location);
                self.problem(Code::SchemaValidationFailed, at.clone(), location, Some(field), message);
            }));
        }
        Some(Template::parse(value, visible, &at, &mut |at, refusal| {
            let (code, message) = match refusal {
                Refusal::Syntax(message) => (Code::InvalidExpression, message),
                Refusal::Unsupported(message) => (Code::UnsupportedExpression, message),
                Refusal::Unclosed => (
                    Code::SchemaValidationFailed,
                    "JSONata string must start with {% and end with %}".to_owned(),
                ),
            };
            let location = format!("{}{}", self.location, at.strip_prefix(&self.pointer).unwrap_or_default());
            self.problem(code, at.to_owned(), location, Some(field), message);
        }))
    }

    /// The payload of a task: `Parameters` in JSONPath, `Arguments` in JSONata.
    pub(crate) fn payload(&self, visible: Visibility) -> Option<Template> {
        let field = match self.language {
            Language::JsonPath => "Parameters",
            Language::Jsonata => "Arguments",
        };
        self.template(field, visible)
    }

    /// A field that is a JSONata expression, or a constant that `accept` admits.
    pub(crate) fn template_of(
        &self,
        field: &'static str,
        expected: &str,
        visible: Visibility,
        accept: impl Fn(&Value) -> bool,
    ) -> Option<Template> {
        let template = self.template(field, visible)?;
        match &template {
            Template::Expression(_) => {}
            Template::Constant(Value::Null) if self.object.get(field) != Some(&Value::Null) => {}
            Template::Constant(value) if accept(value) => {}
            Template::Array(_) if accept(&Value::from(Vec::new())) => {}
            Template::Object(_) if accept(&Value::Object(Object::default())) => {}
            _ => self.invalid(field, format!("Expected value of type {expected}")),
        }
        Some(template)
    }

    /// An integer, or in JSONata an expression.
    #[expect(clippy::cast_precision_loss, reason = "the limits are small")]
    pub(crate) fn integer_or_template(&self, field: &'static str, min: i64, max: i64) -> Option<Template> {
        let whole = |value: &Value| value.as_number().and_then(Number::as_i64);
        let template =
            self.template_of(field, "Integer", Visibility::INPUT, |value| whole(value).is_some())?;
        if let Some(number) = template.constant().and_then(whole) {
            self.within(field, number as f64, min as f64, max as f64);
        }
        Some(template)
    }

    /// An integer, an expression, or in JSONPath a path to a number in the field `path`.
    pub(crate) fn integer_or_path(
        &self,
        field: &'static str,
        path: &'static str,
        min: i64,
        max: i64,
    ) -> Option<Template> {
        if self.uses_path_field(field, path) {
            return Some(Template::path(path, self.reference(path)?));
        }
        self.integer_or_template(field, min, max)
    }

    /// The same for a number of a Map. Its path must not lead into the context object.
    pub(crate) fn map_number(
        &self,
        field: &'static str,
        path: &'static str,
        min: i64,
        max: i64,
    ) -> Option<Template> {
        self.refuse_context_path(path);
        self.integer_or_path(field, path, min, max)
    }

    /// Whether the definition uses the field `path`, which JSONPath has as an alternative to `field`.
    fn uses_path_field(&self, field: &'static str, path: &'static str) -> bool {
        if self.language != Language::JsonPath {
            return false;
        }
        self.at_most_one_of(&[field, path]);
        self.has(path)
    }

    /// A percentage, an expression, or in JSONPath a path to a number in the field `path`.
    pub(crate) fn percentage_or_path(&self, field: &'static str, path: &'static str) -> Option<Template> {
        self.refuse_context_path(path);
        if self.uses_path_field(field, path) {
            return Some(Template::path(path, self.reference(path)?));
        }
        let number = |value: &Value| value.as_number().map(Number::as_f64);
        let template =
            self.template_of(field, "Number", Visibility::INPUT, |value| number(value).is_some())?;
        match template.constant().and_then(number) {
            Some(share) if share < 0.0 => self.invalid(field, "Minimum value is 0.0"),
            Some(share) if share > 100.0 => self.invalid(field, "Maximum value is 100.0"),
            _ => {}
        }
        Some(template)
    }

    /// Refuses a path into the context object.
    fn refuse_context_path(&self, path: &'static str) {
        let text = self.object.get(path).and_then(Value::as_str);
        if self.language == Language::JsonPath
            && text.and_then(JsonPath::parse).is_some_and(|path| path.is_context())
        {
            self.invalid(path, "Value is not a Reference Path");
        }
    }

    /// A path, or a call of an intrinsic function.
    pub(crate) fn path_or_call(&self, field: &'static str) -> Option<Template> {
        let text = self.text(field)?;
        let template = Template::reference(field, &text);
        if template.is_none() {
            self.invalid(
                field,
                format!("The value for the field '{field}' must be a valid JSONPath or a valid intrinsic function call"),
            );
        }
        template
    }

    /// A path to the part of its input or output that a state uses.
    pub(crate) fn selection(&self, field: &'static str) -> Selection {
        if self.language == Language::Jsonata {
            return Selection::All;
        }
        match self.value(field) {
            None => Selection::All,
            Some(Value::Null) => Selection::Nothing,
            Some(Value::String(text)) if text.trim() == "$" => Selection::All,
            Some(value) => match value.as_str().and_then(JsonPath::parse) {
                Some(path) => Selection::Path(Box::new(path)),
                None => {
                    self.invalid(field, "Value must be a valid JSONPath.");
                    Selection::All
                }
            },
        }
    }

    /// A path to exactly one place.
    pub(crate) fn reference(&self, field: &'static str) -> Option<JsonPath> {
        let text = self.text(field)?;
        let why = match JsonPath::parse(&text) {
            Some(path) if path.is_reference() => return Some(path),
            None if !text.starts_with('$') => ": Reference path didn't start with '$'",
            _ => "",
        };
        self.invalid(field, format!("Value is not a Reference Path{why}"));
        None
    }

    /// Warns of texts that look like a path or a call, but that the engine leaves unchanged.
    fn warn_of_unfilled_texts(&self, field: &'static str, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.warn_of_unfilled_texts(field, item)),
            Value::Object(members) => {
                for (name, value) in members.iter().filter(|(name, _)| !name.ends_with(".$")) {
                    if value.as_str().is_some_and(looks_like_path) {
                        let message = format!(
                            "The value of the field '{name}' looks like a JSONPath or an intrinsic function call, but the name does not end with '.$'"
                        );
                        self.warn(Code::NoDollar, field, message);
                    }
                    self.warn_of_unfilled_texts(field, value);
                }
            }
            _ => {}
        }
    }

    /// Warns of a constant that looks like a path.
    pub(crate) fn warn_of_path(&self, field: &'static str) {
        let text = self.object.get(field).and_then(Value::as_str);
        if self.language == Language::JsonPath && text.is_some_and(looks_like_path) {
            let message = format!(
                "The value of the field '{field}' looks like a path, but the name does not end with 'Path'"
            );
            self.warn(Code::NoPath, field, message);
        }
    }

    /// Warns of a fixed result that looks like a template.
    pub(crate) fn warn_of_static_result(&self, field: &'static str, value: &Value) {
        let meant = match value {
            Value::Object(members) => members.iter().any(|(name, _)| name.ends_with(".$")),
            Value::String(text) => looks_like_path(text),
            _ => false,
        };
        if meant {
            self.warn(
                Code::PassResultIsStatic,
                field,
                "The result of a Pass state is never filled in".into(),
            );
        }
    }
}

fn looks_like_path(text: &str) -> bool {
    text.starts_with("$.") || text.starts_with("$$.") || text.starts_with("States.") && text.ends_with(')')
}
