//! An expression with checks in it: the same expression, in which all that is made is booked before it is kept.
//!
//! What is booked: the items of array constructors, the members of objects, what a function of the language makes of its
//! arguments, what a function of the expression gives, what each step of a path gives that is no plain name, and the
//! literals of code that runs many times. So the sum of all values that exist at a time, each with all that is in
//! it, is below the bound, and with it what any step of a path over them, or any function of them, may give.

use std::collections::BTreeSet;

use jsonata_core::ast::{AstNode, BinaryOp};
use jsonata_core::value::with_stack;

use crate::builtins::{Yield, builtin};
use crate::checks::Check;
use crate::names::{Names, standing_bytes};

/// Writes an expression anew.
pub(crate) struct Rewriter<'n> {
    pub(crate) names: &'n Names,
    pub(crate) used: BTreeSet<Check>,
    /// How many names of its own it has made.
    pub(crate) made: usize,
}

impl Rewriter<'_> {
    /// The expression, where its value is not kept, or is kept by what stands around it.
    pub(crate) fn plain(&mut self, node: &AstNode) -> AstNode {
        with_stack(|| self.write(node))
    }

    fn write(&mut self, node: &AstNode) -> AstNode {
        match node {
            AstNode::Path { steps } => AstNode::Path { steps: self.steps(steps) },
            AstNode::Binary { op: BinaryOp::Concatenate, .. } => self.concat(node),
            AstNode::Binary { op: BinaryOp::ChainPipe, lhs, rhs } => self.chain(lhs, rhs),
            AstNode::Binary { op: BinaryOp::ColonEqual, lhs, rhs } => {
                let rhs = match &**rhs {
                    // A name more for a value that is there.
                    AstNode::Variable(_) | AstNode::ParentVariable(_) => self.plain(rhs),
                    rhs => self.held(rhs),
                };
                AstNode::Binary { op: BinaryOp::ColonEqual, lhs: lhs.clone(), rhs: rhs.into() }
            }
            AstNode::Binary { op, lhs, rhs } => {
                AstNode::Binary { op: *op, lhs: self.plain(lhs).into(), rhs: self.plain(rhs).into() }
            }
            AstNode::Unary { op, operand } => AstNode::Unary { op: *op, operand: self.plain(operand).into() },
            AstNode::Function { name, args, is_builtin } => self.function(name, args, *is_builtin),
            AstNode::Call { procedure, args } => self.call(procedure, args),
            AstNode::Lambda { params, body, signature, thunk } => {
                let bytes = standing_bytes(body);
                let body = self.given(body);
                AstNode::Lambda {
                    params: params.clone(),
                    body: self.ticked(body, bytes).into(),
                    signature: signature.clone(),
                    thunk: *thunk,
                }
            }
            AstNode::Array(items) => AstNode::Array(self.all_held(items)),
            AstNode::ArrayGroup(items) => AstNode::ArrayGroup(self.all_held(items)),
            AstNode::Object(pairs) => {
                let literal = pairs.iter().all(|(name, _)| matches!(name, AstNode::String(_)));
                AstNode::Object(self.members(pairs, !literal))
            }
            AstNode::ObjectTransform { input, pattern } => self.grouped(input, pattern),
            AstNode::Block(items) => AstNode::Block(items.iter().map(|item| self.plain(item)).collect()),
            AstNode::Conditional { condition, then_branch, else_branch } => AstNode::Conditional {
                condition: self.plain(condition).into(),
                then_branch: self.plain(then_branch).into(),
                else_branch: else_branch.as_ref().map(|node| self.plain(node).into()),
            },
            AstNode::FunctionApplication(node) => AstNode::FunctionApplication(self.plain(node).into()),
            AstNode::Sort { input, terms } => AstNode::Sort {
                input: self.plain(input).into(),
                terms: terms.iter().map(|(term, up)| (self.held(term), *up)).collect(),
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
        let bytes: u64 = pattern.iter().map(|(_, value)| standing_bytes(value)).sum();
        let input = self.plain(input).into();
        let pattern = self.members(pattern, true);
        let ticked = |(name, value)| (name, self.ticked(value, bytes));
        AstNode::ObjectTransform { input, pattern: pattern.into_iter().map(ticked).collect() }
    }

    /// `|location|update,delete|`
    fn transform(&mut self, location: &AstNode, update: &AstNode, delete: Option<&AstNode>) -> AstNode {
        let bytes = standing_bytes(update);
        let location = self.plain(location);
        let location = self.check(Check::Targets, [location, AstNode::Variable(String::new())]);
        let update = self.held(update);
        AstNode::Transform {
            location: location.into(),
            update: self.ticked(update, bytes).into(),
            delete: delete.map(|node| self.held(node).into()),
        }
    }

    /// A call of a check.
    pub(crate) fn check(&mut self, check: Check, args: impl Into<Vec<AstNode>>) -> AstNode {
        self.used.insert(check);
        AstNode::Function { name: check.name().to_owned(), args: args.into(), is_builtin: true }
    }

    /// The expression, where its value is kept: booked, unless it is already.
    pub(crate) fn held(&mut self, node: &AstNode) -> AstNode {
        with_stack(|| self.hold(node, Check::Hold, false))
    }

    /// The same at the end of a function: a call there must stay the last thing that the function does.
    fn given(&mut self, node: &AstNode) -> AstNode {
        with_stack(|| self.hold(node, Check::Hold, true))
    }

    /// Books the value of an expression; `tail` where a call of another function must not.
    pub(crate) fn hold(&mut self, node: &AstNode, check: Check, tail: bool) -> AstNode {
        let is_booked = check == Check::Hold && is_booked(node);
        match node {
            AstNode::Conditional { condition, then_branch, else_branch } => AstNode::Conditional {
                condition: self.plain(condition).into(),
                then_branch: with_stack(|| self.hold(then_branch, check, tail)).into(),
                else_branch: else_branch
                    .as_ref()
                    .map(|node| with_stack(|| self.hold(node, check, tail)).into()),
            },
            AstNode::Block(items) => {
                let Some((last, before)) = items.split_last() else {
                    return node.clone();
                };
                let mut items: Vec<_> = before.iter().map(|item| self.plain(item)).collect();
                items.push(with_stack(|| self.hold(last, check, tail)));
                AstNode::Block(items)
            }
            AstNode::Function { name, is_builtin: true, .. } if tail && builtin(name).is_none() => {
                self.plain(node)
            }
            AstNode::Call { procedure, .. } if tail && !matches!(**procedure, AstNode::Regex { .. }) => {
                self.plain(node)
            }
            node if is_booked => self.plain(node),
            node => {
                let node = self.plain(node);
                self.check(check, [node])
            }
        }
    }

    fn all_held(&mut self, items: &[AstNode]) -> Vec<AstNode> {
        items.iter().map(|item| self.held(item)).collect()
    }

    fn members(&mut self, pairs: &[(AstNode, AstNode)], hold_names: bool) -> Vec<(AstNode, AstNode)> {
        let mut members = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            let name = if hold_names {
                let name = self.plain(name);
                self.check(Check::Hold, [name])
            } else {
                name.clone()
            };
            members.push((name, self.held(value)));
        }
        members
    }

    /// An expression that runs many times, with what its literals take booked each time before.
    pub(crate) fn ticked(&mut self, node: AstNode, bytes: u64) -> AstNode {
        if bytes == 0 {
            return node;
        }
        let bytes = AstNode::Number(bytes as f64);
        match node {
            AstNode::Block(mut items) => {
                items.insert(0, self.check(Check::TickNothing, [bytes]));
                AstNode::Block(items)
            }
            AstNode::Array(mut items) => {
                items.insert(0, self.check(Check::TickNothing, [bytes]));
                AstNode::Array(items)
            }
            AstNode::ArrayGroup(mut items) => {
                items.insert(0, self.check(Check::TickNothing, [bytes]));
                AstNode::ArrayGroup(items)
            }
            node => AstNode::Conditional {
                condition: self.check(Check::Tick, [bytes]).into(),
                then_branch: node.into(),
                else_branch: None,
            },
        }
    }

    /// A chain of `&` is one call.
    fn concat(&mut self, node: &AstNode) -> AstNode {
        let mut texts = Vec::new();
        let mut left = node;
        while let AstNode::Binary { op: BinaryOp::Concatenate, lhs, rhs } = left {
            texts.push(self.plain(rhs));
            left = lhs;
        }
        texts.push(self.plain(left));
        texts.reverse();
        self.check(Check::Concat, texts)
    }
}

/// Whether the value of an expression is booked where it is made, or takes no more than its place.
fn is_booked(node: &AstNode) -> bool {
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

/// Whether the value of an expression is one value for certain, and no array.
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
