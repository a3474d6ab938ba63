//! Exits of a state: the output, the variables and the next state.

use std::sync::Arc;

use crate::failure::reserved;
use crate::ids::StateId;
use crate::load::{Fields, ParseContext};
use crate::problem::Code;
use crate::query::{EvaluationError, Language, ReferencePath, Scope, Selection, Stage, Template, Visibility};
use crate::value::Value;

/// The target of an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transition {
    Next(StateId),
    End,
}

/// An exit of a state.
#[derive(Debug)]
pub(crate) struct Exit {
    pub to: Transition,
    pub output: Output,
    pub assign: Vec<(Arc<str>, Template)>,
}

/// The output of an exit.
#[derive(Debug)]
pub(crate) enum Output {
    /// The value of `Output`; without it the result.
    Jsonata(Option<Template>),
    /// The value after `ResultSelector`, `ResultPath` and `OutputPath`; without them the result.
    JsonPath(Option<Box<OutputPaths>>),
}

/// The JSONPath fields that place a result into the input and select the output.
#[derive(Debug)]
pub(crate) struct OutputPaths {
    selector: Option<Template>,
    result_path: ResultPath,
    output: Selection,
}

#[derive(Debug)]
enum ResultPath {
    /// No field, or `$`: the result replaces the input.
    Replace,
    /// `null`: the input replaces the result.
    Discard,
    At(ReferencePath),
}

/// The kind of exit, which decides the fields that shape its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitKind {
    /// Task, Parallel and Map, which have a result: all fields.
    Result,
    /// Pass: `ResultPath` and `OutputPath`.
    Pass,
    /// Other states: `OutputPath`.
    Plain,
    /// A catcher: `ResultPath`.
    Catch,
}

/// An evaluated exit: its target, its output and the variables it assigns.
pub(crate) struct ExitResult {
    pub to: Transition,
    pub output: Value,
    pub assigned: Vec<(Arc<str>, Value)>,
}

impl Transition {
    pub(crate) fn target(self) -> Option<StateId> {
        match self {
            Self::Next(state) => Some(state),
            Self::End => None,
        }
    }
}

impl ExitKind {
    fn visibility(self) -> Visibility {
        match self {
            Self::Result => Visibility::RESULT,
            Self::Pass | Self::Plain => Visibility::INPUT,
            Self::Catch => Visibility::ERROR,
        }
    }
}

impl Exit {
    /// Reads `Next` or `End`, and the fields for the output and the variables.
    pub(crate) fn parse(fields: &Fields<'_>, context: &ParseContext<'_>, kind: ExitKind) -> Option<Self> {
        let output = Output::parse(fields, kind);
        let assign = assignments(fields, kind.visibility());
        Some(Self { to: context.transition(fields)?, output, assign })
    }

    /// Reads the exit of a catcher.
    pub(crate) fn parse_catch(fields: &Fields<'_>, context: &ParseContext<'_>) -> Option<Self> {
        let output = Output::parse(fields, ExitKind::Catch);
        let assign = assignments(fields, Visibility::ERROR);
        Some(Self { to: next(fields, context)?, output, assign })
    }

    /// Reads the exit of a rule of `state`.
    pub(crate) fn parse_rule(
        fields: &Fields<'_>,
        context: &ParseContext<'_>,
        state: &Fields<'_>,
    ) -> Option<Self> {
        let from = if fields.language() == Language::Jsonata { fields } else { state };
        let output = Output::parse(from, ExitKind::Plain);
        let assign = assignments(fields, Visibility::INPUT);
        Some(Self { to: next(fields, context)?, output, assign })
    }

    /// Reads the fields for the output and the variables of an exit to `to`.
    pub(crate) fn parse_default(to: Transition, fields: &Fields<'_>) -> Self {
        Self {
            to,
            output: Output::parse(fields, ExitKind::Plain),
            assign: assignments(fields, Visibility::INPUT),
        }
    }

    /// An exit that ends its flow.
    pub(crate) fn parse_end(fields: &Fields<'_>) -> Self {
        Self { to: Transition::End, output: Output::parse(fields, ExitKind::Plain), assign: Vec::new() }
    }

    /// Whether the output is the unchanged result and no variable is assigned.
    pub(crate) fn is_passthrough(&self) -> bool {
        self.assign.is_empty() && matches!(self.output, Output::Jsonata(None) | Output::JsonPath(None))
    }

    /// Evaluates the exit for the state's `result`. `prefix` is the location of the exit in its state. The
    /// scope's input is the state's input.
    pub(crate) fn evaluate(
        &self,
        prefix: &str,
        result: &Value,
        scope: &mut Scope<'_>,
    ) -> Result<ExitResult, EvaluationError> {
        let mut assigned = Vec::with_capacity(self.assign.len());
        for (name, template) in &self.assign {
            let value = match &self.output {
                Output::JsonPath(_) => template.fill(name, &mut scope.over(result)),
                Output::Jsonata(_) => template.fill(&format!("{prefix}Assign/{name}"), scope),
            };
            assigned.push((Arc::clone(name), value?));
        }
        let output = match &self.output {
            Output::Jsonata(None) => result.clone(),
            Output::JsonPath(None) => {
                scope.inspect(Stage::AfterResultSelector, result);
                scope.inspect(Stage::AfterResultPath, result);
                result.clone()
            }
            Output::Jsonata(Some(Template::Constant(value))) => value.clone(),
            Output::Jsonata(Some(template)) => template.fill(&format!("{prefix}Output"), scope)?,
            Output::JsonPath(Some(paths)) => paths.apply(result, scope)?,
        };
        Ok(ExitResult { to: self.to, output, assigned })
    }
}

impl Output {
    fn parse(fields: &Fields<'_>, kind: ExitKind) -> Self {
        if fields.language() == Language::Jsonata {
            return Self::Jsonata(fields.template("Output", kind.visibility()));
        }
        let selector =
            (kind == ExitKind::Result).then(|| fields.template("ResultSelector", Visibility::INPUT));
        let result_path = if kind == ExitKind::Plain { ResultPath::Replace } else { result_path(fields) };
        let output = if kind == ExitKind::Catch { Selection::All } else { fields.selection("OutputPath") };
        let paths = OutputPaths { selector: selector.flatten(), result_path, output };
        let bare = matches!(
            paths,
            OutputPaths { selector: None, result_path: ResultPath::Replace, output: Selection::All }
        );
        Self::JsonPath((!bare).then(|| Box::new(paths)))
    }
}

impl OutputPaths {
    fn apply(&self, result: &Value, scope: &mut Scope<'_>) -> Result<Value, EvaluationError> {
        let selected = match &self.selector {
            None => result.clone(),
            Some(template) => template.fill("ResultSelector", &mut scope.over(result))?,
        };
        scope.inspect(Stage::AfterResultSelector, &selected);
        let placed =
            match &self.result_path {
                ResultPath::Replace => selected,
                ResultPath::Discard => scope.input.clone(),
                ResultPath::At(path) => path.write(scope.input, selected).map_err(|cause| {
                    EvaluationError { error: reserved::RESULT_PATH_MATCH_FAILURE, location: None, cause }
                })?,
            };
        scope.inspect(Stage::AfterResultPath, &placed);
        self.output.of(&scope.over(&placed))
    }
}

fn next(fields: &Fields<'_>, context: &ParseContext<'_>) -> Option<Transition> {
    fields.require(&["Next"]);
    context.target(fields, "Next").map(Transition::Next)
}

fn result_path(fields: &Fields<'_>) -> ResultPath {
    match fields.value("ResultPath") {
        None => ResultPath::Replace,
        Some(Value::Null) => ResultPath::Discard,
        Some(_) => match fields.reference("ResultPath").map(ReferencePath::new) {
            Some(Some(path)) if !path.is_root() => ResultPath::At(path),
            Some(None) => {
                fields.invalid("ResultPath", "Value is not a Reference Path");
                ResultPath::Replace
            }
            _ => ResultPath::Replace,
        },
    }
}

fn assignments(fields: &Fields<'_>, visible: Visibility) -> Vec<(Arc<str>, Template)> {
    let assignments = match fields.template("Assign", visible) {
        None => Vec::new(),
        Some(Template::Object(members)) => members,
        Some(Template::Constant(Value::Object(members))) => members
            .iter()
            .map(|(name, value)| (Arc::clone(name), Template::Constant(value.clone())))
            .collect(),
        Some(_) => {
            fields.invalid("Assign", "Expected value of type Object");
            Vec::new()
        }
    };
    for (name, _) in &assignments {
        if let Some((code, message)) = invalid_name(name) {
            fields.refuse(code, Some("Assign"), message);
        }
    }
    assignments
}

/// AWS's code and message for a name that is not allowed for a variable.
fn invalid_name(name: &str) -> Option<(Code, String)> {
    if name == "states" {
        let message = "Cannot assign to reserved variable '$states'.";
        return Some((Code::ReservedVariableName, message.to_owned()));
    }
    let mut letters = name.chars();
    let first = letters.next().is_some_and(|first| first.is_alphabetic() || first == '_');
    let why = if !first || !letters.all(|c| c.is_alphanumeric() || c == '_') {
        "the variable name contains invalid characters."
    } else if name.chars().count() > 80 {
        "the variable name exceeds the limit of 80 characters."
    } else {
        return None;
    };
    Some((Code::InvalidVariableName, format!("Invalid variable name '{name}': {why}")))
}
