//! JSONata within bounds.
//!
//! The JSONata library checks the time between two nodes of an expression, and has no other limit. This crate
//! rewrites an expression after its parsing, and adds calls that charge a meter with the bytes that the
//! expression makes (see [`rewrite`]). An evaluation ends before it makes more bytes than its [`Limits`]
//! permit.

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

/// The reason why an evaluation gave no value.
#[derive(Debug)]
pub enum Failure {
    /// The evaluation reached a bound.
    Bound(Bound),
    /// The expression failed by the rules of the language.
    Error(EvaluatorError),
}

/// A prepared expression with its limits.
#[derive(Debug)]
pub struct Program {
    tree: AstNode,
    metered: Option<Metered>,
    limits: Limits,
}

/// The metered form of an expression.
#[derive(Debug)]
struct Metered {
    tree: AstNode,
    /// An input of at most this size needs no meter.
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

    /// Evaluates the expression. `input` computes the [`weight`] of all its inputs, also of the context's
    /// variables. `prepare` may register more functions in the evaluator.
    pub fn evaluate(
        &self,
        context: Context,
        data: &JValue,
        input: impl FnOnce() -> u64,
        prepare: impl FnOnce(&mut Evaluator) -> Result<(), EvaluatorError>,
    ) -> Result<JValue, Failure> {
        self.evaluate_within(self.limits.time_ms, context, data, input, prepare)
    }

    /// The same with another time limit.
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
            // A panic of the library ends the evaluation, not the process.
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
