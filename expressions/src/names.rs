//! The names and the regular expressions of a whole expression. The rewriter needs them before it starts.

use std::collections::BTreeSet;

use jsonata_core::ast::{AstNode, BinaryOp, PathStep, Stage};
use jsonata_core::value::with_stack;

use crate::builtins::builtin;
use crate::regexes::Regexes;

/// The names that an expression assigns, and its regular expressions.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) bound: BTreeSet<String>,
    pub(crate) regexes: Regexes,
    /// Whether a regular expression can be bound to a name and called.
    pub(crate) has_loose_regex: bool,
}

impl Names {
    pub(crate) fn of(tree: &AstNode) -> Self {
        let mut names = Self::default();
        names.walk(tree);
        names
    }

    fn walk(&mut self, node: &AstNode) {
        with_stack(|| self.visit(node));
    }

    fn visit(&mut self, node: &AstNode) {
        match node {
            AstNode::Regex { pattern, flags } => {
                self.regexes.add(pattern, flags);
                self.has_loose_regex = true;
            }
            AstNode::Function { name, args, .. } => {
                let counted = |name: &str| matches!(name, "match" | "replace" | "split" | "contains");
                let is_callback = builtin(name).is_some_and(|(_, builtin)| builtin.callback || counted(name));
                self.each(args, is_callback);
            }
            AstNode::Call { procedure, args } => {
                self.each([&**procedure], true);
                self.each(args, false);
            }
            AstNode::Binary { op, lhs, rhs } => {
                if let (BinaryOp::ColonEqual, AstNode::Variable(name)) = (op, &**lhs) {
                    self.bound.insert(name.clone());
                }
                self.walk(lhs);
                self.each([&**rhs], *op == BinaryOp::ChainPipe);
            }
            AstNode::Lambda { params, body, .. } => {
                self.bound.extend(params.iter().cloned());
                self.walk(body);
            }
            AstNode::Path { steps } => steps.iter().for_each(|step| self.step(step)),
            node => children(node).into_iter().for_each(|child| self.walk(child)),
        }
    }

    /// Visits nodes. `counted` means that a regular expression among them is charged in its place, so it is
    /// not loose.
    fn each<'n>(&mut self, nodes: impl IntoIterator<Item = &'n AstNode>, counted: bool) {
        for node in nodes {
            match node {
                AstNode::Regex { pattern, flags } if counted => self.regexes.add(pattern, flags),
                node => self.walk(node),
            }
        }
    }

    fn step(&mut self, step: &PathStep) {
        self.bound.extend(step.focus.iter().chain(&step.index_var).cloned());
        self.walk(&step.node);
        for stage in &step.stages {
            match stage {
                Stage::Filter(predicate) => self.walk(predicate),
                Stage::Index(name) => drop(self.bound.insert(name.clone())),
                Stage::KeepArray => {}
            }
        }
    }
}

/// Visits every node of an expression.
pub fn visit(node: &AstNode, show: &mut dyn FnMut(&AstNode)) {
    show(node);
    with_stack(|| {
        if let AstNode::Path { steps } = node {
            nodes_of(steps).for_each(|node| visit(node, show));
        }
        children(node).into_iter().for_each(|node| visit(node, show));
    });
}

/// The children of a node, without those of a path.
pub(crate) fn children(node: &AstNode) -> Vec<&AstNode> {
    match node {
        AstNode::Binary { lhs, rhs, .. } => vec![lhs, rhs],
        AstNode::Unary { operand, .. } | AstNode::FunctionApplication(operand) => vec![operand],
        AstNode::Function { args, .. } => args.iter().collect(),
        AstNode::Call { procedure, args } => args.iter().chain([&**procedure]).collect(),
        AstNode::Lambda { body, .. } => vec![body],
        AstNode::Array(items) | AstNode::Block(items) | AstNode::ArrayGroup(items) => items.iter().collect(),
        AstNode::Object(pairs) => pairs.iter().flat_map(|(name, value)| [name, value]).collect(),
        AstNode::ObjectTransform { input, pattern } => {
            pattern.iter().flat_map(|(name, value)| [name, value]).chain([&**input]).collect()
        }
        AstNode::Conditional { condition, then_branch, else_branch } => {
            [condition, then_branch].into_iter().chain(else_branch).map(|node| &**node).collect()
        }
        AstNode::Sort { input, terms } => terms.iter().map(|(term, _)| term).chain([&**input]).collect(),
        AstNode::Transform { location, update, delete } => {
            [location, update].into_iter().chain(delete).map(|node| &**node).collect()
        }
        AstNode::Path { .. }
        | AstNode::String(_)
        | AstNode::Name(_)
        | AstNode::Number(_)
        | AstNode::Boolean(_)
        | AstNode::Null
        | AstNode::Undefined
        | AstNode::Placeholder
        | AstNode::Regex { .. }
        | AstNode::Variable(_)
        | AstNode::ParentVariable(_)
        | AstNode::Wildcard
        | AstNode::Descendant
        | AstNode::Parent(_) => Vec::new(),
    }
}

/// The bytes that an expression's literals and functions take in each evaluation.
pub(crate) fn literal_bytes(node: &AstNode) -> u64 {
    with_stack(|| {
        let own = match node {
            AstNode::String(text) => 24 + text.len() as u64,
            AstNode::Regex { pattern, flags } => 64 + (pattern.len() + flags.len()) as u64,
            AstNode::Array(items) | AstNode::ArrayGroup(items) => 64 + 40 * items.len() as u64,
            AstNode::Object(pairs) => 128 + 104 * pairs.len() as u64,
            AstNode::Lambda { .. } | AstNode::Transform { .. } => 512 + tree_bytes(node),
            _ => 0,
        };
        match node {
            AstNode::Path { steps } => own + of_steps(steps, literal_bytes),
            AstNode::Lambda { .. } => own,
            node => own + children(node).into_iter().map(literal_bytes).sum::<u64>(),
        }
    })
}

/// The size of a copy of a tree.
fn tree_bytes(node: &AstNode) -> u64 {
    with_stack(|| {
        let own = match node {
            AstNode::String(text) | AstNode::Name(text) | AstNode::Variable(text) => 128 + text.len() as u64,
            AstNode::Path { steps } => 128 + 320 * steps.len() as u64 + of_steps(steps, tree_bytes),
            _ => 192,
        };
        own + children(node).into_iter().map(tree_bytes).sum::<u64>()
    })
}

fn of_steps(steps: &[PathStep], bytes: impl Fn(&AstNode) -> u64) -> u64 {
    nodes_of(steps).map(bytes).sum()
}

/// The nodes of steps and of their filters.
fn nodes_of(steps: &[PathStep]) -> impl Iterator<Item = &AstNode> {
    let stages = steps.iter().flat_map(|step| &step.stages);
    let predicates = stages.filter_map(|stage| match stage {
        Stage::Filter(predicate) => Some(&**predicate),
        _ => None,
    });
    steps.iter().map(|step| &step.node).chain(predicates)
}
