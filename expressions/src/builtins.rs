//! The functions of the language, and what the bounds have to know of each.

/// What a function gives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Yield {
    /// A number, a truth value or nothing.
    Scalar,
    /// A value whose bytes were booked before the call.
    Charged,
    /// Something that it was given, a part of it, or a short text.
    Shared,
}

/// What is booked before a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cost {
    /// Nothing: the function makes nothing that grows.
    None,
    /// The weight of all arguments, so many times.
    Values(u64),
    /// Room for a value an item of the first argument.
    Items,
    /// The length of the first argument, so many times.
    Text(u64),
    /// A cost of its own.
    Custom,
}

pub(crate) struct Builtin {
    pub(crate) name: &'static str,
    /// How many arguments it takes at most; more do not matter here.
    pub(crate) arity: usize,
    /// How many arguments it is given where it is called for each item.
    pub(crate) params: usize,
    /// Whether a missing first argument is the context.
    pub(crate) context: bool,
    pub(crate) yields: Yield,
    pub(crate) cost: Cost,
    /// Where its function stands among its arguments, if it calls one for each item.
    pub(crate) callback: bool,
}

/// As many as the arguments, but for those that take an option or any number.
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

/// By name. Those at the end are functions of the Amazon States Language.
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

/// The function of this name, and its number.
pub(crate) fn builtin(name: &str) -> Option<(usize, &'static Builtin)> {
    BUILTINS.iter().enumerate().find(|(_, builtin)| builtin.name == name)
}

/// The function of this number.
pub(crate) fn numbered(number: usize) -> Option<&'static Builtin> {
    BUILTINS.get(number)
}
