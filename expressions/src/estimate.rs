//! Estimates from the expression alone: the maximum number of bytes that it makes from an input of some size.
//!
//! An evaluation that stays within the limit for certain needs no meter. At the usual sizes of events this
//! applies to most filters and mappings. An expression with a node that this module does not know has no
//! estimate and needs the meter.

use std::collections::{BTreeMap, BTreeSet};

use jsonata_core::ast::{AstNode, BinaryOp, PathStep, Stage};
use jsonata_core::value::with_stack;

use crate::builtins::{Cost, Yield, builtin};
use crate::meter::ITEM_BYTES;
use crate::names::{Names, literal_bytes};
use crate::rewrite::is_scalar;

/// The range of input sizes to try, as powers of two in bytes of memory.
const MIN_SIZE_POWER: u32 = 10;
const MAX_SIZE_POWER: u32 = 24;
/// The maximum number of visited nodes for one size. Nodes of nested loops are visited several times.
const MAX_NODES: u32 = 4_000;
/// The maximum ratio of a value's text to its bytes. A control character takes six.
const TEXT_TIMES: u64 = 6;

/// The largest input from which an expression makes at most `bytes`; `None`: it is unknown.
pub(crate) fn largest_input(tree: &AstNode, names: &Names, bytes: u64) -> Option<u64> {
    let fits = |power: u32| {
        let size = 1 << power;
        let mut estimate = Estimate {
            made: 0,
            input: size,
            nodes_left: MAX_NODES,
            bound: &names.bound,
            names: BTreeMap::new(),
        };
        estimate.of(tree, size).is_some() && estimate.made <= bytes
    };
    if !fits(MIN_SIZE_POWER) {
        return None;
    }
    let (mut fit, mut above) = (MIN_SIZE_POWER, MAX_SIZE_POWER + 1);
    while fit + 1 < above {
        let middle = fit.midpoint(above);
        if fits(middle) { fit = middle } else { above = middle }
    }
    Some(1 << fit)
}

struct Estimate<'n> {
    /// The bytes made so far.
    made: u64,
    /// The size of all inputs of the expression.
    input: u64,
    /// The remaining number of nodes to visit.
    nodes_left: u32,
    /// The names that the expression assigns.
    bound: &'n BTreeSet<String>,
    /// The sizes of the names that have a value so far.
    names: BTreeMap<String, u64>,
}

impl Estimate<'_> {
    /// The maximum size of an expression's value, for a context of this size.
    fn of(&mut self, node: &AstNode, context: u64) -> Option<u64> {
        self.nodes_left = self.nodes_left.checked_sub(1)?;
        with_stack(|| self.size(node, context))
    }

    fn size(&mut self, node: &AstNode, context: u64) -> Option<u64> {
        match node {
            AstNode::String(_) | AstNode::Regex { .. } => self.make(ITEM_BYTES + literal_bytes(node)),
            AstNode::Number(_) | AstNode::Boolean(_) | AstNode::Null | AstNode::Undefined => Some(ITEM_BYTES),
            AstNode::Name(_) => self.make(context),
            AstNode::Variable(name) if name.is_empty() => Some(context),
            AstNode::Variable(name) if self.bound.contains(name) => self.names.get(name).copied(),
            // The caller has bound this variable.
            AstNode::Variable(name) => builtin(name).is_none().then_some(self.input),
            AstNode::ParentVariable(_) => Some(self.input),
            AstNode::Path { steps } => self.path(steps, context),
            AstNode::Binary { op, lhs, rhs } => self.operator(*op, lhs, rhs, context),
            AstNode::Unary { operand, .. } => self.of(operand, context).map(|_| ITEM_BYTES),
            AstNode::Array(items) => {
                let items = self.sum(items.iter(), context)?;
                self.make(items.saturating_add(literal_bytes(node)))
            }
            // An object that groups applies to arrays: it evaluates a name for each item of the context.
            AstNode::Object(pairs) if pairs.iter().all(|(name, _)| matches!(name, AstNode::String(_))) => {
                let values = self.sum(pairs.iter().map(|(_, value)| value), context)?;
                self.make(values.saturating_add(literal_bytes(node)))
            }
            AstNode::Block(items) => {
                let mut last = ITEM_BYTES;
                for item in items {
                    last = self.of(item, context)?;
                }
                Some(last)
            }
            AstNode::Conditional { condition, then_branch, else_branch } => {
                self.of(condition, context)?;
                let then = self.of(then_branch, context)?;
                let other = match else_branch {
                    Some(node) => self.of(node, context)?,
                    None => 0,
                };
                Some(then.max(other))
            }
            AstNode::Function { name, args, is_builtin: true } => self.call(name, args, context),
            _ => None,
        }
    }

    fn make(&mut self, bytes: u64) -> Option<u64> {
        self.made = self.made.saturating_add(bytes);
        Some(bytes)
    }

    fn sum<'n>(&mut self, nodes: impl Iterator<Item = &'n AstNode>, context: u64) -> Option<u64> {
        let mut sum = 0_u64;
        for node in nodes {
            sum = sum.saturating_add(self.of(node, context)?);
        }
        Some(sum)
    }

    fn operator(&mut self, op: BinaryOp, lhs: &AstNode, rhs: &AstNode, context: u64) -> Option<u64> {
        match op {
            BinaryOp::ColonEqual => {
                let size = self.of(rhs, context)?;
                let AstNode::Variable(name) = lhs else {
                    return None;
                };
                // The name of a language function may still be read as that function.
                let is_new = builtin(name).is_none() && self.names.insert(name.clone(), size).is_none();
                is_new.then_some(size)
            }
            BinaryOp::Concatenate => {
                let sum = self.sum([lhs, rhs].into_iter(), context)?;
                self.make(sum.saturating_mul(TEXT_TIMES))
            }
            BinaryOp::Coalesce | BinaryOp::Default => self.sum([lhs, rhs].into_iter(), context),
            BinaryOp::Range | BinaryOp::ChainPipe | BinaryOp::FocusBind | BinaryOp::IndexBind => None,
            _ => self.sum([lhs, rhs].into_iter(), context).map(|_| ITEM_BYTES),
        }
    }

    /// Names select parts of their context, so all of them together make at most its size.
    fn path(&mut self, steps: &[PathStep], context: u64) -> Option<u64> {
        let mut size = context;
        for (index, step) in steps.iter().enumerate() {
            if step.focus.is_some()
                || step.index_var.is_some()
                || step.ancestor_label.is_some()
                || step.is_tuple
            {
                return None;
            }
            size = match &step.node {
                AstNode::Name(_) => self.make(size)?,
                node @ (AstNode::Variable(_) | AstNode::ParentVariable(_)) if index == 0 => {
                    self.of(node, context)?
                }
                node if steps.len() == 1 => self.of(node, context)?,
                node if index == 0 => self.each(node, size)?,
                AstNode::Variable(name) if name.is_empty() => self.make(size)?,
                AstNode::FunctionApplication(node) => self.each(node, size)?,
                node @ AstNode::Object(_) => self.each(node, size)?,
                _ => return None,
            };
            for stage in &step.stages {
                match stage {
                    Stage::Filter(predicate) if is_scalar(predicate) => {
                        self.each(predicate, size)?;
                        self.make(size)?;
                    }
                    Stage::KeepArray => {}
                    Stage::Filter(_) | Stage::Index(_) => return None,
                }
            }
        }
        Some(size)
    }

    /// An expression that is evaluated for each item of a value.
    fn each(&mut self, node: &AstNode, size: u64) -> Option<u64> {
        self.items(size, |estimate, item| estimate.of(node, item))
    }

    /// The bytes of one item grow at least in proportion to its size. So all items together make at most the
    /// bytes of one item of their total size, and the fixed bytes of each.
    fn items(&mut self, size: u64, mut of: impl FnMut(&mut Self, u64) -> Option<u64>) -> Option<u64> {
        let items = size / ITEM_BYTES + 1;
        let whole = of(self, size)?;
        let before = self.made;
        let each = of(self, 0)?;
        let made = self.made - before;
        self.made = before.saturating_add(made.saturating_mul(items));
        self.make(whole.saturating_add(each.saturating_add(ITEM_BYTES).saturating_mul(items)))
    }

    /// `$map` and `$filter` with a function literal.
    fn callback(&mut self, name: &str, args: &[AstNode], context: u64) -> Option<u64> {
        let [data, AstNode::Lambda { params, body, signature: None, .. }] = args else {
            return None;
        };
        let is_taken = |name: &String| builtin(name).is_some() || self.names.contains_key(name);
        if !matches!(name, "map" | "filter") || params.len() > 2 || params.iter().any(is_taken) {
            return None;
        }
        // The library evaluates the data twice.
        self.of(data, context)?;
        let size = self.of(data, context)?;
        let value = self.items(size, |estimate, item| {
            let sizes = [item, ITEM_BYTES];
            estimate.names.extend(params.iter().cloned().zip(sizes));
            let value = estimate.of(body, context);
            estimate.names.retain(|name, _| !params.contains(name));
            value
        })?;
        if name == "map" { Some(value) } else { self.make(size) }
    }

    fn call(&mut self, name: &str, args: &[AstNode], context: u64) -> Option<u64> {
        let (_, known) = builtin(name)?;
        if args.is_empty() || self.names.contains_key(name) {
            return None;
        }
        if known.callback {
            return self.callback(name, args, context);
        }
        let sum = self.sum(args.iter(), context)?;
        let with_context = sum.saturating_add(context);
        match known.cost {
            Cost::None if known.yields == Yield::Scalar => Some(ITEM_BYTES),
            Cost::None if name == "lookup" || name == "type" => self.make(with_context),
            Cost::Values(times) => self.make(sum.saturating_mul(times)),
            Cost::Text(times) => self.make(with_context.saturating_mul(times)),
            Cost::Custom => match name {
                "string" => self.make(sum.saturating_mul(2 * TEXT_TIMES)),
                // There is a separator between every two parts.
                "join" => {
                    self.make(sum.saturating_add((sum / ITEM_BYTES).saturating_mul(self.separator(args)?)))
                }
                "contains" if matches!(args, [_, AstNode::String(_)]) => Some(ITEM_BYTES),
                _ => None,
            },
            _ => None,
        }
    }

    fn separator(&self, args: &[AstNode]) -> Option<u64> {
        match args.get(1) {
            None => Some(0),
            Some(AstNode::String(text)) => Some(text.len() as u64),
            Some(_) => None,
        }
    }
}
