//! The rewriter: it gives an equal expression that charges all values before it keeps them.
//!
//! The rewritten expression charges:
//!
//! - the items of array constructors and the members of objects
//! - the values of functions, and of path steps other than plain names
//! - the literals of repeated code
//!
//! So the total of all values that exist at a time, each with all its parts, is within the limit. Then the value of any
//! path or function over them is bounded too.

use std::collections::BTreeSet;

use jsonata_core::ast::{AstNode, BinaryOp};
use jsonata_core::value::with_stack;

use crate::builtins::{Yield, builtin};
use crate::meter_fns::MeterFn;
use crate::names::{Names, literal_bytes};

pub(crate) struct Rewriter<'n> {
    pub(crate) names: &'n Names,
    pub(crate) used: BTreeSet<MeterFn>,
    /// The number of names that the rewriter has made.
    pub(crate) new_names: usize,
}

impl Rewriter<'_> {
    /// The expression for a place that does not keep its value, or that charges it elsewhere.
    pub(crate) fn uncharged(&mut self, node: &AstNode) -> AstNode {
        with_stack(|| self.write(node))
    }

    fn write(&mut self, node: &AstNode) -> AstNode {
        match node {
            AstNode::Path { steps } => AstNode::Path { steps: self.steps(steps) },
            AstNode::Binary { op: BinaryOp::Concatenate, .. } => self.concat(node),
            AstNode::Binary { op: BinaryOp::ChainPipe, lhs, rhs } => self.chain(lhs, rhs),
            AstNode::Binary { op: BinaryOp::ColonEqual, lhs, rhs } => {
                let rhs = match &**rhs {
                    // This only adds a name to an existing value.
                    AstNode::Variable(_) | AstNode::ParentVariable(_) => self.uncharged(rhs),
                    rhs => self.charged(rhs),
                };
                AstNode::Binary { op: BinaryOp::ColonEqual, lhs: lhs.clone(), rhs: rhs.into() }
            }
            AstNode::Binary { op, lhs, rhs } => {
                AstNode::Binary { op: *op, lhs: self.uncharged(lhs).into(), rhs: self.uncharged(rhs).into() }
            }
            AstNode::Unary { op, operand } => {
                AstNode::Unary { op: *op, operand: self.uncharged(operand).into() }
            }
            AstNode::Function { name, args, is_builtin } => self.function(name, args, *is_builtin),
            AstNode::Call { procedure, args } => self.call(procedure, args),
            AstNode::Lambda { params, body, signature, thunk } => {
                let bytes = literal_bytes(body);
                let body = self.charged_tail(body);
                AstNode::Lambda {
                    params: params.clone(),
                    body: self.with_literal_charge(body, bytes).into(),
                    signature: signature.clone(),
                    thunk: *thunk,
                }
            }
            AstNode::Array(items) => AstNode::Array(self.all_charged(items)),
            AstNode::ArrayGroup(items) => AstNode::ArrayGroup(self.all_charged(items)),
            AstNode::Object(pairs) => {
                let literal = pairs.iter().all(|(name, _)| matches!(name, AstNode::String(_)));
                AstNode::Object(self.members(pairs, !literal))
            }
            AstNode::ObjectTransform { input, pattern } => self.grouped(input, pattern),
            AstNode::Block(items) => AstNode::Block(items.iter().map(|item| self.uncharged(item)).collect()),
            AstNode::Conditional { condition, then_branch, else_branch } => AstNode::Conditional {
                condition: self.uncharged(condition).into(),
                then_branch: self.uncharged(then_branch).into(),
                else_branch: else_branch.as_ref().map(|node| self.uncharged(node).into()),
            },
            AstNode::FunctionApplication(node) => AstNode::FunctionApplication(self.uncharged(node).into()),
            AstNode::Sort { input, terms } => AstNode::Sort {
                input: self.uncharged(input).into(),
                terms: terms.iter().map(|(term, up)| (self.charged(term), *up)).collect(),
            },
            AstNode::Transform { location, update, delete } => {
                self.transform(location, update, delete.as_deref())
            }
            AstNode::Variable(name) => self.variable(name),
            node => node.clone(),
        }
    }

    /// `input{name: value}`
    fn grouped(&mut self, input: &AstNode, pattern: &[(AstNode, AstNode)]) -> AstNode {
        let bytes: u64 = pattern.iter().map(|(_, value)| literal_bytes(value)).sum();
        let input = self.uncharged(input).into();
        let pattern = self.members(pattern, true);
        let with_literal_charge = |(name, value)| (name, self.with_literal_charge(value, bytes));
        AstNode::ObjectTransform { input, pattern: pattern.into_iter().map(with_literal_charge).collect() }
    }

    /// `|location|update,delete|`
    fn transform(&mut self, location: &AstNode, update: &AstNode, delete: Option<&AstNode>) -> AstNode {
        let bytes = literal_bytes(update);
        let location = self.uncharged(location);
        let location = self.meter_call(MeterFn::Transform, [location, AstNode::Variable(String::new())]);
        let update = self.charged(update);
        AstNode::Transform {
            location: location.into(),
            update: self.with_literal_charge(update, bytes).into(),
            delete: delete.map(|node| self.charged(node).into()),
        }
    }

    /// A call of a metering function.
    pub(crate) fn meter_call(&mut self, function: MeterFn, args: impl Into<Vec<AstNode>>) -> AstNode {
        self.used.insert(function);
        AstNode::Function { name: function.name().to_owned(), args: args.into(), is_builtin: true }
    }

    /// The expression for a place that keeps its value: charged, unless it is charged already.
    pub(crate) fn charged(&mut self, node: &AstNode) -> AstNode {
        with_stack(|| self.charge(node, MeterFn::Value, false))
    }

    /// The same at the end of a function. A call there must stay the function's last action.
    fn charged_tail(&mut self, node: &AstNode) -> AstNode {
        with_stack(|| self.charge(node, MeterFn::Value, true))
    }

    /// Charges the value of an expression, except for a call of another function in `tail` position.
    pub(crate) fn charge(&mut self, node: &AstNode, function: MeterFn, tail: bool) -> AstNode {
        let is_charged = function == MeterFn::Value && is_charged(node);
        match node {
            AstNode::Conditional { condition, then_branch, else_branch } => AstNode::Conditional {
                condition: self.uncharged(condition).into(),
                then_branch: with_stack(|| self.charge(then_branch, function, tail)).into(),
                else_branch: else_branch
                    .as_ref()
                    .map(|node| with_stack(|| self.charge(node, function, tail)).into()),
            },
            AstNode::Block(items) => {
                let Some((last, before)) = items.split_last() else {
                    return node.clone();
                };
                let mut items: Vec<_> = before.iter().map(|item| self.uncharged(item)).collect();
                items.push(with_stack(|| self.charge(last, function, tail)));
                AstNode::Block(items)
            }
            AstNode::Function { name, is_builtin: true, .. } if tail && builtin(name).is_none() => {
                self.uncharged(node)
            }
            AstNode::Call { procedure, .. } if tail && !matches!(**procedure, AstNode::Regex { .. }) => {
                self.uncharged(node)
            }
            node if is_charged => self.uncharged(node),
            node => {
                let node = self.uncharged(node);
                self.meter_call(function, [node])
            }
        }
    }

    fn all_charged(&mut self, items: &[AstNode]) -> Vec<AstNode> {
        items.iter().map(|item| self.charged(item)).collect()
    }

    fn members(&mut self, pairs: &[(AstNode, AstNode)], charge_names: bool) -> Vec<(AstNode, AstNode)> {
        let mut members = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            let name = if charge_names {
                let name = self.uncharged(name);
                self.meter_call(MeterFn::Value, [name])
            } else {
                name.clone()
            };
            members.push((name, self.charged(value)));
        }
        members
    }

    /// An expression that runs many times, with a charge for its literals before each run.
    pub(crate) fn with_literal_charge(&mut self, node: AstNode, bytes: u64) -> AstNode {
        if bytes == 0 {
            return node;
        }
        let bytes = AstNode::Number(bytes as f64);
        match node {
            AstNode::Block(mut items) => {
                items.insert(0, self.meter_call(MeterFn::BytesThenNothing, [bytes]));
                AstNode::Block(items)
            }
            AstNode::Array(mut items) => {
                items.insert(0, self.meter_call(MeterFn::BytesThenNothing, [bytes]));
                AstNode::Array(items)
            }
            AstNode::ArrayGroup(mut items) => {
                items.insert(0, self.meter_call(MeterFn::BytesThenNothing, [bytes]));
                AstNode::ArrayGroup(items)
            }
            node => AstNode::Conditional {
                condition: self.meter_call(MeterFn::Bytes, [bytes]).into(),
                then_branch: node.into(),
                else_branch: None,
            },
        }
    }

    /// Rewrites a chain of `&` as one call.
    fn concat(&mut self, node: &AstNode) -> AstNode {
        let mut texts = Vec::new();
        let mut left = node;
        while let AstNode::Binary { op: BinaryOp::Concatenate, lhs, rhs } = left {
            texts.push(self.uncharged(rhs));
            left = lhs;
        }
        texts.push(self.uncharged(left));
        texts.reverse();
        self.meter_call(MeterFn::Concat, texts)
    }
}

/// Whether the expression charges its value itself, or needs no charge.
fn is_charged(node: &AstNode) -> bool {
    match node {
        AstNode::Binary { op, rhs, .. } => match op {
            BinaryOp::ColonEqual => !matches!(**rhs, AstNode::Variable(_) | AstNode::ParentVariable(_)),
            BinaryOp::Range | BinaryOp::Coalesce | BinaryOp::Default | BinaryOp::ChainPipe => false,
            BinaryOp::FocusBind | BinaryOp::IndexBind => false,
            _ => true,
        },
        AstNode::Function { name, is_builtin, .. } => {
            *is_builtin && builtin(name).is_some_and(|(_, builtin)| builtin.yields != Yield::Shared)
        }
        AstNode::String(_)
        | AstNode::Number(_)
        | AstNode::Boolean(_)
        | AstNode::Null
        | AstNode::Undefined
        | AstNode::Placeholder
        | AstNode::Regex { .. }
        | AstNode::Unary { .. }
        | AstNode::Array(_)
        | AstNode::ArrayGroup(_)
        | AstNode::Object(_)
        | AstNode::ObjectTransform { .. }
        | AstNode::Lambda { .. }
        | AstNode::Transform { .. } => true,
        _ => false,
    }
}

/// Whether the expression always gives exactly one value, and no array.
pub(crate) fn is_scalar(node: &AstNode) -> bool {
    match node {
        AstNode::Binary { op, .. } => !matches!(
            op,
            BinaryOp::ColonEqual
                | BinaryOp::Range
                | BinaryOp::Coalesce
                | BinaryOp::Default
                | BinaryOp::ChainPipe
                | BinaryOp::FocusBind
                | BinaryOp::IndexBind
        ),
        AstNode::Function { name, is_builtin: true, .. } => {
            builtin(name).is_some_and(|(_, builtin)| builtin.yields == Yield::Scalar)
        }
        AstNode::Unary { .. }
        | AstNode::String(_)
        | AstNode::Number(_)
        | AstNode::Boolean(_)
        | AstNode::Null
        | AstNode::Undefined => true,
        _ => false,
    }
}
