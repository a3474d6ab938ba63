//! JSONata: the only file that uses the library for it.
//!
//! The loader parses an expression once. The tree tells which variables and which parts of `$states` the
//! expression names, and only those become values of the library.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use expressions::{Bound, Failure, Limits, Program};
use jsonata_core::ast::{AstNode, PathStep, Stage, UnaryOp};
use jsonata_core::evaluator::{Context, Evaluator, EvaluatorError};
use jsonata_core::parser::{self, ParserError};
use jsonata_core::value::{JValue, with_stack};

use super::scope::{Scope, Visibility};
use super::value_path::{Segment, ValuePath};
use super::values::{export, import, import_places};
use super::{Refusal, Resolved, Unresolved, functions, messages};
use crate::rng::Rng;
use crate::value::Number;

/// The bounds of an evaluation (docs/states.md). AWS has such limits and does not publish them. It refuses an
/// array of 900,000 numbers and a sum of 200 terms.
const LIMITS: Limits = Limits {
    bytes: 32 * 1024 * 1024,
    // A payload of 256 KiB can contain this many items.
    items: 128 * 1024,
    depth: 198,
    time_ms: 10_000,
};

#[derive(Debug)]
pub(crate) struct Expression {
    source: Arc<str>,
    program: Program,
    /// Set when the expression only names a value.
    place: Option<ValuePath>,
    names: Names,
}

impl Expression {
    /// Parses the text between `{%` and `%}`.
    pub(crate) fn parse(source: &str, visible: Visibility) -> Result<Self, Refusal> {
        let syntax = |error: ParserError| Refusal::Syntax(messages::syntax(source, &error.display_message()));
        let tree = parser::parse(source).map_err(syntax)?;
        let mut names = Names::default();
        names.walk(&tree, true);
        if let Some(refusal) = names.refusal(visible) {
            return Err(Refusal::Unsupported(refusal));
        }
        let place = value_path(&tree);
        Ok(Self { source: source.into(), place, program: Program::new(tree, LIMITS), names })
    }

    /// The source text.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn evaluate(&self, scope: &mut Scope<'_>) -> Resolved {
        if let Some(resolved) = self.place.as_ref().and_then(|place| place.resolve(scope)) {
            return resolved;
        }
        let mut context = Context::new();
        let mut weight = 0;
        if let Some(states) = self.names.states(scope) {
            weight += expressions::weight(&states);
            context.bind("states".into(), states);
        }
        for name in &self.names.variables {
            if let Some(value) = scope.variables.get(name.as_str()) {
                let value = import(value);
                weight += expressions::weight(&value);
                context.bind(name.clone(), value);
            }
        }
        let prepare = |evaluator: &mut Evaluator| self.names.register(evaluator, scope);
        match self.program.evaluate(context, &JValue::Undefined, || weight, prepare) {
            Ok(JValue::Undefined) => Err(Unresolved::Undefined),
            Ok(value) => export(&value).ok_or(Unresolved::Unsupported),
            Err(Failure::Bound(bound)) => Err(Unresolved::Threw(exceeded(bound))),
            Err(Failure::Error(error)) => {
                let called = &self.names.variables;
                Err(Unresolved::Threw(messages::evaluation(&self.source, error.message(), called)))
            }
        }
    }
}

/// A reached bound, in AWS's words.
fn exceeded(bound: Bound) -> String {
    match bound {
        Bound::Time => "Expression evaluation timeout: Check for infinite loop".into(),
        Bound::Depth => "Stack overflow error: Check for non-terminating recursive function.  Consider rewriting as tail-recursive.".into(),
        Bound::Bytes(_) | Bound::Items => {
            "Expression evaluation memory limit exceeded: Check for excessive memory usage".into()
        }
        other => format!("Expression evaluation limit exceeded: {other}"),
    }
}

/// The names that an expression uses.
#[derive(Debug, Default)]
struct Names {
    variables: BTreeSet<String>,
    /// Paths below `$states`. An empty path is all of it.
    states: BTreeSet<Vec<String>>,
    /// Whether the expression uses `%`, which reads parents of a value. It then needs the whole of `$states`.
    looks_up: bool,
    bare: Option<String>,
    /// Functions that are called without an argument, and may use the context as their argument.
    on_context: BTreeSet<String>,
}

impl Names {
    /// Collects the names of a node. `top` means that no step, filter or function has given the node a
    /// context of its own.
    fn walk(&mut self, node: &AstNode, top: bool) {
        with_stack(|| self.look(node, top));
    }

    fn look(&mut self, node: &AstNode, top: bool) {
        match node {
            AstNode::Variable(name) => self.variable(name, &[], top),
            AstNode::Name(name) if top => self.bare = Some(name.clone()),
            AstNode::ParentVariable(_) => self.bare = Some("$$".into()),
            AstNode::Parent(_) => self.looks_up = true,
            AstNode::Path { steps } => self.path(steps, top),
            AstNode::Function { name, args, .. } => {
                // The name may also be a variable that contains a function.
                self.variables.insert(name.clone());
                if args.is_empty() {
                    self.on_context.insert(name.clone());
                }
                self.all(args, top);
            }
            AstNode::Call { procedure, args } => self.all(args.iter().chain([&**procedure]), top),
            AstNode::Lambda { body, .. } => self.walk(body, false),
            AstNode::Binary { lhs, rhs, .. } => self.all([&**lhs, &**rhs], top),
            AstNode::Unary { operand, .. } | AstNode::FunctionApplication(operand) => self.walk(operand, top),
            AstNode::Array(items) | AstNode::Block(items) | AstNode::ArrayGroup(items) => {
                self.all(items, top)
            }
            AstNode::Object(pairs) => self.all(pairs.iter().flat_map(|(name, value)| [name, value]), top),
            AstNode::ObjectTransform { input, pattern } => {
                self.walk(input, top);
                self.all(pattern.iter().flat_map(|(name, value)| [name, value]), false);
            }
            AstNode::Conditional { condition, then_branch, else_branch } => {
                self.all([&**condition, &**then_branch], top);
                self.all(else_branch.as_deref(), top);
            }
            AstNode::Sort { input, terms } => {
                self.walk(input, top);
                self.all(terms.iter().map(|(term, _)| term), false);
            }
            AstNode::Transform { location, update, delete } => {
                self.all([&**location, &**update], false);
                self.all(delete.as_deref(), false);
            }
            AstNode::String(_)
            | AstNode::Name(_)
            | AstNode::Number(_)
            | AstNode::Boolean(_)
            | AstNode::Null
            | AstNode::Undefined
            | AstNode::Placeholder
            | AstNode::Regex { .. }
            | AstNode::Wildcard
            | AstNode::Descendant => {}
        }
    }

    fn all<'n>(&mut self, nodes: impl IntoIterator<Item = &'n AstNode>, top: bool) {
        nodes.into_iter().for_each(|node| self.walk(node, top));
    }

    fn path(&mut self, steps: &[PathStep], top: bool) {
        let Some((first, rest)) = steps.split_first() else {
            return;
        };
        match &first.node {
            AstNode::Variable(name) => {
                let named = rest.iter().map_while(|step| match &step.node {
                    AstNode::Name(name) => Some((name.clone(), step)),
                    _ => None,
                });
                // The first step that filters, sorts or binds needs its whole value.
                let mut place = Vec::new();
                let mut plain = is_plain(first);
                for (name, step) in named {
                    if !plain {
                        break;
                    }
                    place.push(name);
                    plain = is_plain(step);
                }
                self.variable(name, &place, top);
            }
            node => self.walk(node, top),
        }
        self.all(rest.iter().map(|step| &step.node), false);
        for stage in steps.iter().flat_map(|step| &step.stages) {
            if let Stage::Filter(predicate) = stage {
                self.walk(predicate, false);
            }
        }
    }

    fn variable(&mut self, name: &str, place: &[String], top: bool) {
        match name {
            "" if top => self.bare = Some("$".into()),
            "" => {}
            "states" => drop(self.states.insert(place.to_vec())),
            _ => drop(self.variables.insert(name.into())),
        }
    }

    /// The reason to refuse the expression in its place.
    fn refusal(&self, visible: Visibility) -> Option<String> {
        if let Some(name) = &self.bare {
            return Some(format!("Reference to '{name}' at the top level is not supported."));
        }
        let missing = |name: &str| match name {
            "input" | "context" => false,
            "result" => !visible.result,
            "errorOutput" => !visible.error,
            _ => true,
        };
        let name = self.states.iter().filter_map(|place| place.first()).find(|name| missing(name))?;
        Some(format!("Field '$states.{name}' does not exist."))
    }

    /// The named parts of `$states`.
    fn states(&self, scope: &Scope<'_>) -> Option<JValue> {
        let whole = self.looks_up || self.states.contains(&Vec::new());
        let places: Vec<_> = self.states.iter().map(Vec::as_slice).collect();
        let named = |top: &str| places.iter().any(|place| place.first().is_some_and(|first| first == top));
        let states = (whole || !places.is_empty()).then(|| scope.states(|top| whole || named(top)))?;
        Some(if whole { import(&states) } else { import_places(&states, &places) })
    }

    /// Registers the functions that this expression calls beyond those of the library.
    fn register(&self, evaluator: &mut Evaluator, scope: &mut Scope<'_>) -> Result<(), EvaluatorError> {
        if self.variables.contains("eval") {
            // AWS has no `$eval`, and fails only when an expression calls it.
            evaluator.register_fn_override("eval", |_: &[JValue]| {
                Err(EvaluatorError::EvaluationError("T1006: Attempted to invoke a non-function".into()))
            })?;
        }
        let strict = functions::STRICT.iter().filter(|name| self.variables.contains(**name));
        for name in strict.filter(|name| !self.on_context.contains(**name)) {
            evaluator.register_fn_override(*name, |args: &[JValue]| match args {
                [JValue::String(text)] => match functions::malformed(name, text) {
                    Some(why) => Err(EvaluatorError::EvaluationError(why)),
                    None => call_library(name, args),
                },
                args => call_library(name, args),
            })?;
        }
        let random = Rc::new(RefCell::new(Rng::new(scope.rng.bits())));
        let now = scope.now;
        for name in functions::NAMES.iter().filter(|name| self.variables.contains(**name)) {
            let random = Rc::clone(&random);
            evaluator.register_fn_override(*name, move |args: &[JValue]| {
                if *name == "now" && !args.is_empty() {
                    return now_as(args, now.as_millisecond());
                }
                let args: Vec<_> = args.iter().map(export).collect();
                let answer = functions::call(name, &args, now, &mut random.borrow_mut());
                answer
                    .map(|value| match value.as_ref().map(import) {
                        None => JValue::Undefined,
                        // On AWS a range of one number is that number, as with a JSONata sequence.
                        Some(JValue::Array(items)) if *name == "range" => JValue::sequence(items.into_vec()),
                        Some(value) => value,
                    })
                    .map_err(EvaluatorError::EvaluationError)
            })?;
        }
        Ok(())
    }
}

/// The value of the library's own function.
fn call_library(name: &str, args: &[JValue]) -> Result<JValue, EvaluatorError> {
    let mut context = Context::new();
    let names: Vec<_> = (0..args.len()).map(|index| format!("argument{index}")).collect();
    for (name, value) in names.iter().zip(args) {
        context.bind(name.clone(), value.clone());
    }
    let call = names.iter().map(|name| format!("${name}")).collect::<Vec<_>>().join(", ");
    let tree = parser::parse(&format!("${name}({call})"));
    let tree = tree.map_err(|error| EvaluatorError::EvaluationError(error.to_string()))?;
    Evaluator::with_context(context).evaluate(&tree, &JValue::Undefined)
}

/// `$now` with a picture formats the run's time by that picture.
fn now_as(picture: &[JValue], millis: i64) -> Result<JValue, EvaluatorError> {
    let mut context = Context::new();
    context.bind("millis".into(), JValue::from(millis));
    for (name, value) in ["picture", "zone"].into_iter().zip(picture) {
        context.bind(name.into(), value.clone());
    }
    let tree = parser::parse("$fromMillis($millis, $picture, $zone)");
    let tree = tree.map_err(|error| EvaluatorError::EvaluationError(error.display_message()))?;
    Evaluator::with_context(context).evaluate(&tree, &JValue::Undefined)
}

fn binds(step: &PathStep) -> bool {
    step.focus.is_some() || step.index_var.is_some() || step.is_tuple
}

fn is_plain(step: &PathStep) -> bool {
    step.stages.is_empty() && !binds(step)
}

/// The tree as a value path, if the expression is nothing else.
fn value_path(tree: &AstNode) -> Option<ValuePath> {
    let (first, rest) = match tree {
        AstNode::Variable(name) => return Some(ValuePath::new(name, Vec::new())),
        AstNode::Path { steps } => steps.split_first()?,
        _ => return None,
    };
    let AstNode::Variable(variable) = &first.node else {
        return None;
    };
    let mut places = indexes(first)?;
    for step in rest {
        let AstNode::Name(name) = &step.node else {
            return None;
        };
        places.push(Segment::Name(name.clone()));
        places.extend(indexes(step)?);
    }
    Some(ValuePath::new(variable, places))
}

/// The constant indexes at the end of a step; `None`: the step has other stages.
fn indexes(step: &PathStep) -> Option<Vec<Segment>> {
    if binds(step) {
        return None;
    }
    let index = |stage: &Stage| {
        let Stage::Filter(node) = stage else { return None };
        let (sign, node) = match &**node {
            AstNode::Unary { op: UnaryOp::Negate, operand } => (-1.0, &**operand),
            node => (1.0, node),
        };
        let AstNode::Number(n) = node else { return None };
        Number::from_f64(sign * n)?.as_i64().map(Segment::Index)
    };
    step.stages.iter().map(index).collect()
}
