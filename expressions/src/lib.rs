//! JSONata within bounds.
//!
//! The library that evaluates JSONata looks at the time between two nodes of an expression, and at nothing else. Here
//! an expression is rewritten when it is parsed, with calls that book what it makes (see [`rewrite`]). An
//! evaluation that would make more bytes than its [`Limits`] say ends before it makes them.

mod bounds;
mod builtins;
mod calls;
mod costs;
mod estimate;
mod meter;
mod meter_fns;
mod names;
mod paths;
mod regexes;
mod rewrite;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use jsonata_core::ast::AstNode;
use jsonata_core::evaluator::{Context, Evaluator, EvaluatorError, EvaluatorOptions};
use jsonata_core::value::JValue;

use estimate::largest_input;
use meter::Meter;
use meter_fns::MeterFn;
use names::Names;
use regexes::Regexes;
use rewrite::Rewriter;

pub use bounds::{Bound, Limits};
pub use meter::weight;
pub use names::visit;

/// The error of an evaluation in which the library panicked.
const LIBRARY_FAULT: &str = "U9001: the evaluator failed";

/// Why an evaluation gave no value.
#[derive(Debug)]
pub enum Failure {
    /// It reached a bound.
    Bound(Bound),
    /// It failed in the terms of the language.
    Error(EvaluatorError),
}

/// An expression that can be evaluated within bounds.
#[derive(Debug)]
pub struct Program {
    tree: AstNode,
    metered: Option<Metered>,
    limits: Limits,
}

/// An expression that keeps its account.
#[derive(Debug)]
struct Metered {
    tree: AstNode,
    /// An input of no more bytes is sure to need no account.
    free_input_bytes: Option<u64>,
    functions: BTreeSet<MeterFn>,
    regexes: Arc<Regexes>,
}

impl Program {
    /// Prepares a parsed expression.
    pub fn new(tree: AstNode, limits: Limits) -> Self {
        let names = Names::of(&tree);
        let mut rewriter = Rewriter { names: &names, used: BTreeSet::new(), new_names: 0 };
        let rewritten = rewriter.uncharged(&tree);
        let functions = rewriter.used;
        let metered = (!functions.is_empty()).then(|| Metered {
            tree: rewritten,
            free_input_bytes: largest_input(&tree, &names, limits.bytes),
            functions,
            regexes: Arc::new(names.regexes),
        });
        Self { tree, metered, limits }
    }

    /// Evaluates it. `input` tells the [`weight`] of all that the expression is given, the variables of the context
    /// too; `prepare` may give the evaluator functions of its own.
    pub fn evaluate(
        &self,
        context: Context,
        data: &JValue,
        input: impl FnOnce() -> u64,
        prepare: impl FnOnce(&mut Evaluator) -> Result<(), EvaluatorError>,
    ) -> Result<JValue, Failure> {
        self.evaluate_within(self.limits.time_ms, context, data, input, prepare)
    }

    /// The same in another time.
    pub fn evaluate_within(
        &self,
        time_ms: u64,
        context: Context,
        data: &JValue,
        input: impl FnOnce() -> u64,
        prepare: impl FnOnce(&mut Evaluator) -> Result<(), EvaluatorError>,
    ) -> Result<JValue, Failure> {
        let limits = Limits { time_ms, ..self.limits.clone() };
        let options = EvaluatorOptions {
            timeout_ms: Some(time_ms),
            max_stack_depth: Some(self.limits.depth),
            max_sequence_length: Some(self.limits.items),
            ..EvaluatorOptions::default()
        };
        let mut evaluator = Evaluator::with_options(context, options);
        let metered = self
            .metered
            .as_ref()
            .filter(|metered| metered.free_input_bytes.is_none_or(|size| input() > size));
        let meter = metered.map(|metered| Rc::new(Meter::new(&limits, &metered.regexes)));
        let registered = match (metered, &meter) {
            (Some(metered), Some(meter)) => meter_fns::register(&mut evaluator, &metered.functions, meter),
            _ => Ok(()),
        };
        let tree = metered.map_or(&self.tree, |metered| &metered.tree);
        let prepared = registered.and_then(|()| prepare(&mut evaluator));
        let value = prepared.and_then(|()| {
            // A fault of the library ends the evaluation, and not the process.
            let evaluated = catch_unwind(AssertUnwindSafe(|| evaluator.evaluate(tree, data)));
            evaluated.unwrap_or_else(|_| Err(EvaluatorError::EvaluationError(LIBRARY_FAULT.to_owned())))
        });
        value.map_err(|error| {
            let exceeded = meter.as_ref().and_then(|meter| meter.exceeded());
            match (exceeded, error.code()) {
                (Some(bound), _) => Failure::Bound(bound),
                (None, Some("D1012")) => Failure::Bound(Bound::Time),
                (None, Some("D1011" | "U1001")) => Failure::Bound(Bound::Depth),
                (None, Some("D2014" | "D2015")) => Failure::Bound(Bound::Items),
                _ => Failure::Error(error),
            }
        })
    }
}
