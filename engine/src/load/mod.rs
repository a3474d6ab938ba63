//! Text to state machine. One call finds all errors that can be known before a run.
//!
//! `load` and `state` import each other by design (recursive descent): the loader calls each state to read
//! its fields, and a Map or Parallel state calls the loader to read its nested flows.

mod fields;
mod filled;
mod graph;
mod source;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use fields::Fields;

use crate::ids::{FlowId, StateId};
use crate::machine::{Flow, MachineType, State, StateMachine};
use crate::problem::{Code, Problem, Problems, Severity};
use crate::query::Language;
use crate::state::{Kind, Transition};
use crate::value::Value;

/// AWS's limit for every duration, in seconds.
pub(crate) const MAX_SECONDS: i64 = 99_999_999;

/// Whether the host can run a resource. The error is the reason why not.
type Check<'a> = dyn Fn(&str) -> Result<(), String> + 'a;

/// The data that all states of a definition share while the loader reads it.
struct Loader<'a> {
    check: &'a Check<'a>,
    kind: MachineType,
    language: Language,
    flows: RefCell<Vec<Option<Flow>>>,
    names: RefCell<HashSet<Arc<str>>>,
}

/// The data that one state needs while the loader reads it.
pub(crate) struct ParseContext<'a> {
    loader: &'a Loader<'a>,
    flow: FlowId,
    id: StateId,
    language: Language,
    names: &'a HashMap<Arc<str>, StateId>,
}

impl StateMachine {
    /// Reads a definition of a STANDARD machine. `check` says whether the host can run the resource of a
    /// Task, or why not.
    ///
    /// # Errors
    /// Every problem of the definition.
    pub fn parse(text: &str, check: &dyn Fn(&str) -> Result<(), String>) -> Result<Arc<Self>, Problems> {
        Self::parse_as(MachineType::Standard, text, check)
    }

    /// Reads a definition of a machine of this type.
    ///
    /// # Errors
    /// Every problem of the definition.
    pub fn parse_as(
        kind: MachineType,
        text: &str,
        check: &dyn Fn(&str) -> Result<(), String>,
    ) -> Result<Arc<Self>, Problems> {
        match load(text, kind, check) {
            (Some(machine), _) => Ok(Arc::new(machine)),
            (None, mut problems) => {
                problems.retain(|problem| problem.severity == Severity::Error);
                Err(Problems(problems))
            }
        }
    }

    /// Every problem of a definition, with warnings. A definition without errors can run.
    pub fn diagnose(
        kind: MachineType,
        text: &str,
        check: &dyn Fn(&str) -> Result<(), String>,
    ) -> Vec<Problem> {
        load(text, kind, check).1
    }
}

/// Reads a whole definition: every problem, and the machine if there is no error.
fn load(text: &str, kind: MachineType, check: &Check<'_>) -> (Option<StateMachine>, Vec<Problem>) {
    let value = match Value::parse(text) {
        Ok(value) => value,
        Err(_) if text.trim().is_empty() => return (None, vec![not_an_object()]),
        Err(error) => return (None, vec![source::syntax_error(text, &error)]),
    };
    let Some(object) = value.as_object() else {
        return (None, vec![not_an_object()]);
    };
    let problems = RefCell::new(source::duplicate_fields(text));
    let fields = Fields::new(object, &problems);
    let language = language(&fields, Language::JsonPath);
    let loader = Loader { check, kind, language, flows: RefCell::default(), names: RefCell::default() };
    let comment = fields.text("Comment");
    fields.choice("Version", &["1.0"]);
    let timeout = fields.integer("TimeoutSeconds", 0, MAX_SECONDS).and_then(seconds);
    loader.flow(&fields, language, None);
    fields.finish(&[]);
    let flows = loader.flows.into_inner();
    let mut problems = problems.into_inner();
    let mut machine = None;
    let is_valid =
        |problems: &[Problem]| problems.iter().all(|problem| problem.severity == Severity::Warning);
    if problems.iter().all(leaves_a_graph) {
        let flows: Vec<_> = flows.into_iter().flatten().collect();
        problems.extend(graph::check(&flows));
        machine = is_valid(&problems).then_some(StateMachine { flows, comment, timeout, kind });
    }
    source::number_lines(text, &mut problems);
    (machine, problems)
}

/// Whether the loader knows all states and transitions in spite of the problem.
fn leaves_a_graph(problem: &Problem) -> bool {
    problem.severity == Severity::Warning || problem.code == Code::MissingTransitionTarget
}

fn not_an_object() -> Problem {
    let problem = Problem::error(Code::SchemaValidationFailed, "", "Definition must be a valid JSON object");
    Problem { location: None, ..problem }
}

/// A limit in seconds. Zero means no limit.
fn seconds(seconds: i64) -> Option<Duration> {
    u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

fn language(fields: &Fields<'_>, inherited: Language) -> Language {
    match fields.choice("QueryLanguage", &["JSONPath", "JSONata"]).as_deref() {
        Some("JSONata") => Language::Jsonata,
        Some("JSONPath") => {
            if inherited == Language::Jsonata {
                fields.refuse_object(
                    "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine",
                );
            }
            Language::JsonPath
        }
        _ => inherited,
    }
}

impl<'a> Loader<'a> {
    /// Reads `StartAt` and `States`, and every flow nested in them.
    fn flow(&self, fields: &Fields<'a>, inherited: Language, parent: Option<(FlowId, StateId)>) -> FlowId {
        let id = FlowId(self.flows.borrow().len());
        self.flows.borrow_mut().push(None);
        fields.require(&["States", "StartAt"]);
        let start = fields.text("StartAt");
        let Some(members) = fields.object("States") else {
            return id;
        };
        let names: HashMap<_, _> =
            members.members().enumerate().map(|(i, (name, _))| (Arc::clone(name), StateId(i))).collect();
        let mut states = Vec::new();
        for (index, (name, value)) in members.members().enumerate() {
            let context = ParseContext {
                loader: self,
                flow: id,
                id: StateId(index),
                language: inherited,
                names: &names,
            };
            states.extend(context.state(&members, name, value));
        }
        if names.is_empty() {
            fields.invalid("States", "A state machine needs at least one state");
        }
        let start = start.map(|start| {
            names.get(&start).copied().unwrap_or_else(|| {
                fields.refuse(
                    Code::MissingTransitionTarget,
                    Some("StartAt"),
                    format!("Missing 'StartAt' target: {start}"),
                );
                StateId::NOWHERE
            })
        });
        if let (Some(start), true) = (start, states.len() == names.len()) {
            self.flows.borrow_mut()[id.0] = Some(Flow { start, states, parent });
        }
        id
    }
}

impl<'a> ParseContext<'a> {
    fn state(mut self, states: &Fields<'a>, name: &Arc<str>, value: &'a Value) -> Option<State> {
        let Some(object) = value.as_object() else {
            states.invalid(name, "Expected value of type Object");
            return None;
        };
        let fields = states.child(object, &crate::problem::escape(name)).for_state(name);
        if name.chars().count() > 80 {
            let message =
                format!("State name '{name}' exceeds the 80-character limit allowed by the service");
            fields.refuse(Code::InvalidStateName, None, message);
        }
        if !self.loader.names.borrow_mut().insert(Arc::clone(name)) {
            fields.refuse(Code::DuplicateStateName, None, format!("Duplicate State name: {name}"));
        }
        let comment = fields.text("Comment");
        fields.require(&["Type"]);
        let kind = fields.text("Type")?;
        self.language = language(&fields, self.language);
        let kind = Kind::parse(&kind, fields.with_language(self.language), &self)?;
        Some(State { name: Arc::clone(name), comment, kind })
    }

    /// Reads a flow inside this state.
    pub(crate) fn nested(&self, fields: &Fields<'a>) -> FlowId {
        // As on AWS, a nested flow inherits the machine's language, not that of its parent state.
        self.loader.flow(fields, self.loader.language, Some((self.flow, self.id)))
    }

    /// Whether the definition is for an EXPRESS machine.
    pub(crate) fn is_express(&self) -> bool {
        self.loader.kind == MachineType::Express
    }

    /// Refuses a resource that the host cannot run.
    pub(crate) fn check_resource(&self, fields: &Fields<'_>, resource: &str) {
        if let Err(why) = (self.loader.check)(resource) {
            let message = format!("'{resource}' cannot be run: {why}");
            fields.refuse(Code::InvalidResource, Some("Resource"), message);
        }
    }

    /// The state that a field names.
    pub(crate) fn target(&self, fields: &Fields<'_>, field: &'static str) -> Option<StateId> {
        let name = fields.text(field)?;
        Some(self.names.get(&name).copied().unwrap_or_else(|| {
            let message = format!("Missing 'Next' target: {name}");
            fields.refuse(Code::MissingTransitionTarget, Some(field), message);
            StateId::NOWHERE
        }))
    }

    /// The value of `Next` or `End`.
    pub(crate) fn transition(&self, fields: &Fields<'_>) -> Option<Transition> {
        let next = self.target(fields, "Next");
        let end = fields.flag("End").unwrap_or_default();
        match (end, fields.has("Next")) {
            (true, false) => return Some(Transition::End),
            (false, true) => return next.map(Transition::Next),
            (true, true) => fields.at_most_one_of(&["Next", "End"]),
            (false, false) => {
                fields.refuse_object("This object should have only one of the following fields: [Next, End]");
            }
        }
        None
    }
}
