//! The functions of the language, with their costs.

/// The value of a function.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Yield {
    /// A number, a boolean or nothing.
    Scalar,
    /// A value whose bytes were charged before the call.
    Charged,
    /// An argument, a part of one, or a short text.
    Shared,
}

/// The charge before a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cost {
    /// Nothing: the size of the value has a fixed bound.
    None,
    /// The weight of all arguments, times this factor.
    Values(u64),
    /// The size of one value for each item of the first argument.
    Items,
    /// The length of the first argument, times this factor.
    Text(u64),
    /// A computation of its own.
    Custom,
}

pub(crate) struct Builtin {
    pub(crate) name: &'static str,
    /// The maximum number of arguments. More do not matter here.
    pub(crate) arity: usize,
    /// The number of arguments when another function calls it for each item.
    pub(crate) params: usize,
    /// Whether the context replaces a missing first argument.
    pub(crate) context: bool,
    pub(crate) yields: Yield,
    pub(crate) cost: Cost,
    /// Whether it calls one of its arguments for each item.
    pub(crate) callback: bool,
}

/// The same as the arity, except for functions with an option or with any number of arguments.
const fn params(name: &str, arity: usize) -> usize {
    match name.as_bytes() {
        b"string" => 1,
        b"zip" => 2,
        _ => arity,
    }
}

const fn row(name: &'static str, arity: usize, context: bool, yields: Yield, cost: Cost) -> Builtin {
    Builtin { name, arity, params: params(name, arity), context, yields, cost, callback: false }
}

const fn calls(name: &'static str, arity: usize, context: bool, yields: Yield, cost: Cost) -> Builtin {
    Builtin { name, arity, params: params(name, arity), context, yields, cost, callback: true }
}

use Cost::{Custom, Items, None as Free, Text, Values};
use Yield::{Charged, Scalar, Shared};

/// By name. The last ones are functions of the Amazon States Language.
#[rustfmt::skip]
static BUILTINS: [Builtin; 68] = [
    row("abs", 1, true, Scalar, Free),
    row("append", 2, false, Charged, Values(1)),
    row("assert", 2, false, Scalar, Free),
    row("average", 1, false, Scalar, Free),
    row("base64decode", 1, true, Charged, Text(3)),
    row("base64encode", 1, true, Charged, Text(2)),
    row("boolean", 1, true, Scalar, Free),
    row("ceil", 1, true, Scalar, Free),
    row("contains", 2, true, Scalar, Custom),
    row("count", 1, false, Scalar, Free),
    row("decodeUrl", 1, true, Charged, Text(3)),
    row("decodeUrlComponent", 1, true, Charged, Text(3)),
    row("distinct", 1, false, Charged, Custom),
    calls("each", 2, true, Shared, Items),
    row("encodeUrl", 1, true, Charged, Text(3)),
    row("encodeUrlComponent", 1, true, Charged, Text(3)),
    row("error", 1, false, Scalar, Free),
    row("exists", 1, false, Scalar, Free),
    calls("filter", 2, false, Charged, Values(1)),
    row("floor", 1, true, Scalar, Free),
    row("formatBase", 2, true, Shared, Free),
    row("formatInteger", 2, true, Charged, Custom),
    row("formatNumber", 3, true, Charged, Custom),
    row("fromMillis", 3, true, Charged, Custom),
    row("join", 2, false, Charged, Custom),
    row("keys", 1, true, Charged, Custom),
    row("length", 1, true, Scalar, Free),
    row("lookup", 2, true, Shared, Free),
    row("lowercase", 1, true, Charged, Text(3)),
    calls("map", 2, false, Charged, Items),
    row("match", 3, true, Charged, Custom),
    row("max", 1, false, Scalar, Free),
    row("merge", 1, false, Charged, Values(1)),
    row("millis", 0, false, Scalar, Free),
    row("min", 1, false, Scalar, Free),
    row("not", 1, true, Scalar, Free),
    row("now", 2, false, Charged, Custom),
    row("number", 1, true, Scalar, Free),
    row("pad", 3, true, Charged, Custom),
    row("parseInteger", 2, true, Scalar, Custom),
    row("power", 2, true, Scalar, Free),
    row("random", 0, false, Scalar, Free),
    calls("reduce", 3, false, Shared, Free),
    row("replace", 4, true, Charged, Custom),
    row("reverse", 1, false, Charged, Values(1)),
    row("round", 2, true, Scalar, Free),
    row("shuffle", 1, false, Charged, Values(1)),
    calls("sift", 2, true, Shared, Values(1)),
    calls("single", 2, false, Shared, Free),
    calls("sort", 2, false, Charged, Values(2)),
    row("split", 3, true, Charged, Custom),
    row("spread", 1, true, Charged, Values(4)),
    row("sqrt", 1, true, Scalar, Free),
    row("string", 2, true, Charged, Custom),
    row("substring", 3, true, Charged, Text(1)),
    row("substringAfter", 2, true, Charged, Text(1)),
    row("substringBefore", 2, true, Charged, Text(1)),
    row("sum", 1, false, Scalar, Free),
    row("toMillis", 2, true, Scalar, Custom),
    row("trim", 1, true, Charged, Text(1)),
    row("type", 1, false, Shared, Free),
    row("uppercase", 1, true, Charged, Text(3)),
    row("zip", 8, false, Charged, Values(3)),
    row("hash", 2, false, Charged, Custom),
    row("parse", 1, false, Charged, Custom),
    row("partition", 2, false, Charged, Values(4)),
    row("range", 3, false, Charged, Custom),
    row("uuid", 0, false, Shared, Free),
];

/// The function of this name, with its number.
pub(crate) fn builtin(name: &str) -> Option<(usize, &'static Builtin)> {
    BUILTINS.iter().enumerate().find(|(_, builtin)| builtin.name == name)
}

/// The function of this number.
pub(crate) fn numbered(number: usize) -> Option<&'static Builtin> {
    BUILTINS.get(number)
}
