//! The steps of paths. A step other than a plain name may give many values for each input value.

use jsonata_core::ast::{AstNode, BinaryOp, PathStep, Stage, StepId, UnaryOp};

use crate::meter_fns::MeterFn;
use crate::names::literal_bytes;
use crate::rewrite::{Rewriter, is_scalar};

/// The charge for a row in a path that binds variables, where nothing else charges it.
const ROW_BYTES: f64 = 800.0;

impl Rewriter<'_> {
    pub(crate) fn steps(&mut self, steps: &[PathStep]) -> Vec<PathStep> {
        let binds = steps.iter().any(binds);
        let alone = steps.len() == 1;
        steps.iter().enumerate().map(|(index, step)| self.step(step, index == 0, alone, binds)).collect()
    }

    fn step(&mut self, step: &PathStep, first: bool, alone: bool, binds: bool) -> PathStep {
        let (node, charges_rows) = self.step_node(step, first, alone, binds);
        let mut stages: Vec<Stage> =
            (binds && !charges_rows).then(|| self.charge_row()).into_iter().collect();
        for stage in &step.stages {
            match stage {
                Stage::Filter(predicate) => {
                    let (predicate, repeats) = self.predicate(predicate);
                    stages.push(Stage::Filter(predicate.into()));
                    if repeats {
                        let item = self.meter_call(MeterFn::Value, [AstNode::Variable(String::new())]);
                        let kept = AstNode::Function {
                            name: "exists".to_owned(),
                            args: vec![item],
                            is_builtin: true,
                        };
                        stages.push(Stage::Filter(kept.into()));
                    }
                }
                stage => stages.push(stage.clone()),
            }
        }
        PathStep { node, stages, id: StepId::default(), ..step.clone() }
    }

    /// The node of a step, and whether it charges its rows.
    fn step_node(&mut self, step: &PathStep, first: bool, alone: bool, binds: bool) -> (AstNode, bool) {
        let bytes = if first { 0 } else { literal_bytes(&step.node) };
        let function = if binds { MeterFn::Rows } else { MeterFn::Value };
        match &step.node {
            // The library checks the kind of these nodes, and they give at most their input.
            AstNode::Name(_) | AstNode::Wildcard if !binds => (step.node.clone(), true),
            AstNode::Variable(name) if name.is_empty() => (step.node.clone(), false),
            // The library evaluates this once for all rows.
            AstNode::Variable(name) if first && !alone && (!binds || step.index_var.is_some()) => {
                (self.refuse_builtin(name), false)
            }
            node @ AstNode::ParentVariable(_) if first && (!binds || step.index_var.is_some()) => {
                (self.uncharged(node), false)
            }
            // A single step is no path.
            node if alone && !matches!(node, AstNode::Name(_)) => (self.uncharged(node), false),
            node @ AstNode::Sort { .. } => (self.uncharged(node), false),
            // The inner path charges its rows, and passes them on unchanged.
            node if step.inner_tuple => (self.uncharged(node), true),
            AstNode::FunctionApplication(inner) => {
                let inner = self.charge(inner, function, false);
                (AstNode::FunctionApplication(self.with_literal_charge(inner, bytes).into()), true)
            }
            node @ AstNode::Block(_) if first && starts_array(node, false) => (self.uncharged(node), false),
            node @ AstNode::ObjectTransform { .. } if first => (self.uncharged(node), false),
            node @ (AstNode::Array(_) | AstNode::ArrayGroup(_)) => {
                let node = self.uncharged(node);
                (self.with_literal_charge(node, bytes), false)
            }
            node => {
                let node = self.charge(node, function, false);
                (self.with_literal_charge(node, bytes), true)
            }
        }
    }

    /// A stage that keeps every row and charges it.
    fn charge_row(&mut self) -> Stage {
        Stage::Filter(self.meter_call(MeterFn::Bytes, [AstNode::Number(ROW_BYTES)]).into())
    }

    /// A filter, and whether it may keep an item more than once: a list of positions may repeat one.
    fn predicate(&mut self, predicate: &AstNode) -> (AstNode, bool) {
        let is_position = match predicate {
            AstNode::Number(_) => true,
            AstNode::Unary { op: UnaryOp::Negate, operand } => matches!(**operand, AstNode::Number(_)),
            _ => false,
        };
        if is_position {
            (predicate.clone(), false)
        } else if is_scalar(predicate) {
            (self.uncharged(predicate), false)
        } else {
            (self.charged(predicate), true)
        }
    }

    /// `lhs ~> rhs`
    pub(crate) fn chain(&mut self, lhs: &AstNode, rhs: &AstNode) -> AstNode {
        let call = match rhs {
            AstNode::Path { steps } if steps.len() == 1 => &steps[0].node,
            node => node,
        };
        let (lhs, rhs) = match call {
            AstNode::Function { name, args, is_builtin } if !args.contains(&AstNode::Placeholder) => {
                let all: Vec<AstNode> = [lhs.clone()].into_iter().chain(args.iter().cloned()).collect();
                let AstNode::Function { name, mut args, is_builtin } = self.function(name, &all, *is_builtin)
                else {
                    return AstNode::Undefined;
                };
                let lhs = args.remove(0);
                let call = AstNode::Function { name, args, is_builtin };
                let rhs = match rhs {
                    AstNode::Path { steps } => {
                        let mut steps = self.steps(steps);
                        steps[0].node = call;
                        AstNode::Path { steps }
                    }
                    _ => call,
                };
                (lhs, rhs)
            }
            // The library passes the left side to such a call.
            AstNode::Call { args, .. } if !args.contains(&AstNode::Placeholder) => {
                (self.charged(lhs), self.uncharged(rhs))
            }
            AstNode::Lambda { .. } => (self.charged(lhs), self.uncharged(rhs)),
            _ => {
                let lhs = self.charged(lhs);
                let rhs = self.value_of_function(rhs);
                if self.names.has_loose_regex {
                    // The block prevents the library from passing the left side to this call.
                    let rhs = AstNode::Block(vec![self.meter_call(MeterFn::RefuseRegex, [rhs])]);
                    (self.meter_call(MeterFn::RefuseRegex, [lhs]), rhs)
                } else {
                    (lhs, rhs)
                }
            }
        };
        AstNode::Binary { op: BinaryOp::ChainPipe, lhs: lhs.into(), rhs: rhs.into() }
    }
}

/// Whether a block contains a path that begins with an array constructor. The library evaluates such a block
/// in its own way.
fn starts_array(node: &AstNode, dotted: bool) -> bool {
    match node {
        AstNode::Array(_) => dotted,
        AstNode::Block(items) => items.iter().any(|item| starts_array(item, false)),
        AstNode::Sort { input, .. } => starts_array(input, dotted),
        AstNode::Path { steps } => match steps.as_slice() {
            [step] if !matches!(step.node, AstNode::Name(_) | AstNode::Sort { .. }) => {
                matches!(step.node, AstNode::Block(_)) && starts_array(&step.node, false)
            }
            [step, rest @ ..] => starts_array(&step.node, dotted || !rest.is_empty()),
            [] => false,
        },
        _ => false,
    }
}

fn binds(step: &PathStep) -> bool {
    let index = step.stages.iter().any(|stage| matches!(stage, Stage::Index(_)));
    index
        || step.focus.is_some()
        || step.index_var.is_some()
        || step.ancestor_label.is_some()
        || step.is_tuple
        || step.inner_tuple
}
