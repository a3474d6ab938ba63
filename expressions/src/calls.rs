//! Calls of the language's functions, calls of the expression's functions, and functions as values.

use jsonata_core::ast::{AstNode, BinaryOp};

use crate::builtins::{Builtin, Cost, builtin};
use crate::meter_fns::MeterFn;
use crate::rewrite::Rewriter;

fn variable(name: impl Into<String>) -> AstNode {
    AstNode::Variable(name.into())
}

impl Rewriter<'_> {
    /// A call by name. It stays a call node, since the library treats such nodes in its own way.
    pub(crate) fn function(&mut self, name: &str, args: &[AstNode], is_builtin: bool) -> AstNode {
        let known = if is_builtin { builtin(name) } else { None };
        let is_partial = args.contains(&AstNode::Placeholder);
        match known {
            Some(_) if is_partial && !self.names.bound.contains(name) => self.partial(name, args),
            Some((number, known)) if !is_partial => {
                let args = self.builtin_args(number, known, args);
                AstNode::Function { name: name.to_owned(), args, is_builtin }
            }
            _ => {
                let mut args = self.lambda_args(args);
                if let Some(first) = args.iter_mut().find(|arg| **arg != AstNode::Placeholder) {
                    let arg = std::mem::replace(first, AstNode::Null);
                    *first = if self.names.has_loose_regex && is_builtin {
                        self.meter_call(MeterFn::RegexCall, [arg, variable(name)])
                    } else {
                        arg
                    };
                }
                AstNode::Function { name: name.to_owned(), args, is_builtin }
            }
        }
    }

    /// The arguments of a function of the expression.
    fn lambda_args(&mut self, args: &[AstNode]) -> Vec<AstNode> {
        args.iter()
            .map(|arg| match arg {
                AstNode::Variable(_) | AstNode::ParentVariable(_) => self.uncharged(arg),
                arg => self.charged(arg),
            })
            .collect()
    }

    /// The arguments of a function of the language. The last one charges the function's value.
    fn builtin_args(&mut self, number: usize, known: &Builtin, args: &[AstNode]) -> Vec<AstNode> {
        // The function checks the form of its argument.
        if known.name == "exists" && matches!(args, [AstNode::Variable(_) | AstNode::Null]) {
            return args.to_vec();
        }
        if known.callback {
            return self.callback_args(number, known, args);
        }
        let mut args: Vec<AstNode> = args.iter().map(|arg| self.uncharged(arg)).collect();
        if known.cost == Cost::None {
            return args;
        }
        if args.is_empty() && known.context {
            args.push(variable(""));
        }
        let Some(last) = args.pop() else {
            return args;
        };
        let count = args.len() + 1;
        let context = if known.context && count < known.arity { variable("") } else { AstNode::Undefined };
        let mut args: Vec<AstNode> =
            args.into_iter().map(|arg| self.meter_call(MeterFn::KeepArgument, [arg])).collect();
        let numbers = [number, count].map(|number| AstNode::Number(number as f64));
        let [number, count] = numbers;
        args.push(self.meter_call(MeterFn::Call, [number, count, context, last]));
        args
    }

    /// The arguments of a function that calls another one for each item.
    fn callback_args(&mut self, number: usize, known: &Builtin, args: &[AstNode]) -> Vec<AstNode> {
        let is_function = |arg: &AstNode| matches!(arg, AstNode::Lambda { .. } | AstNode::Regex { .. });
        // `$each(function)` applies to the context.
        let alone = known.context
            && args.len() == 1
            && (is_function(&args[0]) || matches!(args[0], AstNode::Variable(_)));
        let callback_at = usize::from(!alone);
        let callback = match args.get(callback_at) {
            Some(AstNode::Variable(name)) if self.names.has_loose_regex => Some(variable(name)),
            _ => None,
        };
        let mut written = Vec::with_capacity(args.len());
        for (index, arg) in args.iter().enumerate() {
            if index == callback_at {
                written.push(self.value_of_function(arg));
            } else if index == 0 {
                let data = self.uncharged(arg);
                let number = AstNode::Number(number as f64);
                let args: Vec<_> = [number, data].into_iter().chain(callback.clone()).collect();
                written.push(self.meter_call(MeterFn::Each, args));
            } else {
                written.push(self.charged(arg));
            }
        }
        written
    }

    /// `(function)(...)`
    pub(crate) fn call(&mut self, procedure: &AstNode, args: &[AstNode]) -> AstNode {
        let mut args = self.lambda_args(args);
        if let AstNode::Regex { .. } = procedure {
            if !args.is_empty() {
                let first = args.remove(0);
                args.insert(0, self.meter_call(MeterFn::RegexCall, [first, procedure.clone()]));
            }
            return AstNode::Call { procedure: procedure.clone().into(), args };
        }
        let procedure = self.uncharged(procedure);
        let procedure = if self.names.has_loose_regex && !matches!(procedure, AstNode::Lambda { .. }) {
            self.meter_call(MeterFn::RefuseRegex, [procedure])
        } else {
            procedure
        };
        AstNode::Call { procedure: procedure.into(), args }
    }

    /// A variable. If it names a function of the language, the value is a function with its charges.
    pub(crate) fn variable(&mut self, name: &str) -> AstNode {
        let Some((_, known)) = builtin(name) else {
            return variable(name);
        };
        let params: Vec<String> = (0..known.params).map(|index| format!("\u{1}{index}")).collect();
        let call = |count: usize| {
            let args = params[..count].iter().map(variable).collect();
            AstNode::Function { name: name.to_owned(), args, is_builtin: true }
        };
        let body = match params.as_slice() {
            // Without a function these do something else.
            [_, function] if matches!(name, "sort" | "single") => {
                let args = vec![variable(function)];
                AstNode::Conditional {
                    condition: AstNode::Function { name: "exists".to_owned(), args, is_builtin: true }.into(),
                    then_branch: call(2).into(),
                    else_branch: Some(call(1).into()),
                }
            }
            all => call(all.len()),
        };
        let function = self.uncharged(&lambda(params, body));
        // The expression or its caller may have assigned another value to the name.
        AstNode::Conditional {
            condition: self.meter_call(MeterFn::IsBuiltin, [variable(name)]).into(),
            then_branch: function.into(),
            else_branch: Some(variable(name).into()),
        }
    }

    /// A variable that must not be a function of the language.
    pub(crate) fn refuse_builtin(&mut self, name: &str) -> AstNode {
        if builtin(name).is_some() {
            self.meter_call(MeterFn::RefuseBuiltin, [variable(name)])
        } else {
            variable(name)
        }
    }

    /// A function as a value.
    pub(crate) fn value_of_function(&mut self, node: &AstNode) -> AstNode {
        match node {
            AstNode::Regex { .. } => {
                let params = ["\u{1}0", "\u{1}1"];
                let call =
                    AstNode::Call { procedure: node.clone().into(), args: params.map(variable).into() };
                self.uncharged(&lambda(params.map(str::to_owned).into(), call))
            }
            node => self.uncharged(node),
        }
    }

    /// `$name(?, x)`: a function of the open arguments. The other arguments are bound.
    fn partial(&mut self, name: &str, args: &[AstNode]) -> AstNode {
        let mut items = Vec::new();
        let mut params = Vec::new();
        let mut all = Vec::new();
        for arg in args {
            let own = format!("\u{1}p{}", self.new_names);
            self.new_names += 1;
            all.push(variable(&own));
            if *arg == AstNode::Placeholder {
                params.push(own);
            } else {
                let rhs = match arg {
                    AstNode::Regex { .. } => {
                        all.pop();
                        all.push(arg.clone());
                        continue;
                    }
                    arg => self.charged(arg),
                };
                let lhs = variable(own);
                items.push(AstNode::Binary { op: BinaryOp::ColonEqual, lhs: lhs.into(), rhs: rhs.into() });
            }
        }
        let call = AstNode::Function { name: name.to_owned(), args: all, is_builtin: true };
        let function = self.uncharged(&lambda(params, call));
        items.push(function);
        AstNode::Block(items)
    }
}

fn lambda(params: Vec<String>, body: AstNode) -> AstNode {
    AstNode::Lambda { params, body: body.into(), signature: None, thunk: false }
}
