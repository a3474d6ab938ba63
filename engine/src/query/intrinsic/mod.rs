//! Intrinsic functions: `States.Format('{} items', States.ArrayLength($.items))`.
//!
//! | file | content |
//! |---|---|
//! | `parse.rs` | text to calls |
//! | `arrays.rs`, `texts.rs`, `numbers.rs` | the functions |

mod arrays;
mod numbers;
mod parse;
mod texts;

use std::sync::Arc;

use super::jsonpath::JsonPath;
use super::scope::Scope;
use crate::failure::reserved;
use crate::value::Value;

/// A parsed call with its text.
#[derive(Debug)]
pub(crate) struct Intrinsic {
    source: Arc<str>,
    call: Call,
}

#[derive(Debug)]
struct Call {
    function: Function,
    arguments: Vec<Argument>,
}

#[derive(Debug)]
enum Argument {
    Path(JsonPath),
    Value(Value),
    /// A text in quotes, with its escapes.
    Text(Arc<str>),
    Call(Call),
}

/// Every intrinsic function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Array,
    ArrayContains,
    ArrayGetItem,
    ArrayLength,
    ArrayPartition,
    ArrayRange,
    ArrayUnique,
    Base64Decode,
    Base64Encode,
    Format,
    Hash,
    JsonMerge,
    JsonToString,
    MathAdd,
    MathRandom,
    StringSplit,
    StringToJson,
    Uuid,
}

/// The error of a call: its name and its cause.
pub(crate) struct IntrinsicError {
    pub error: &'static str,
    pub cause: String,
}

impl Intrinsic {
    /// Parses a call; `None`: the text is no call.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(Self { source: text.into(), call: parse::call(text)? })
    }

    pub(crate) fn evaluate(&self, scope: &mut Scope<'_>) -> Result<Value, IntrinsicError> {
        self.call.value(scope).map_err(|IntrinsicError { error, cause }| IntrinsicError {
            error,
            cause: format!("The function '{}' had the following error: {cause}", self.source),
        })
    }
}

impl Call {
    fn value(&self, scope: &mut Scope<'_>) -> Result<Value, IntrinsicError> {
        let mut arguments = Vec::with_capacity(self.arguments.len());
        for (index, argument) in self.arguments.iter().enumerate() {
            arguments.push(match argument {
                Argument::Value(value) => value.clone(),
                // The first text of a Format keeps its escapes: `\{` is no placeholder there.
                Argument::Text(text) if self.function == Function::Format && index == 0 => {
                    Value::String(Arc::clone(text))
                }
                Argument::Text(text) => Value::string(texts::unescaped(text)),
                Argument::Call(call) => call.value(scope)?,
                Argument::Path(path) => path.resolve(scope).map_err(|_| missing(path, scope))?,
            });
        }
        self.function.apply(&arguments, scope).map_err(|why| IntrinsicError {
            error: reserved::INTRINSIC_FAILURE,
            cause: format!("Invalid arguments in {}: {why}", self.function.name()),
        })
    }
}

/// The error of a path without a value. AWS shows a path into the context object as a path into the input,
/// and shows the input.
fn missing(path: &JsonPath, scope: &Scope<'_>) -> IntrinsicError {
    let source = path.source();
    let source = if path.is_context() { &source[1..] } else { source };
    let cause = format!(
        "The JsonPath argument for the field '{source}' could not be found in the input '{}'",
        scope.input
    );
    IntrinsicError { error: reserved::RUNTIME, cause }
}

impl Function {
    const ALL: [Self; 18] = [
        Self::Array,
        Self::ArrayContains,
        Self::ArrayGetItem,
        Self::ArrayLength,
        Self::ArrayPartition,
        Self::ArrayRange,
        Self::ArrayUnique,
        Self::Base64Decode,
        Self::Base64Encode,
        Self::Format,
        Self::Hash,
        Self::JsonMerge,
        Self::JsonToString,
        Self::MathAdd,
        Self::MathRandom,
        Self::StringSplit,
        Self::StringToJson,
        Self::Uuid,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Array => "States.Array",
            Self::ArrayContains => "States.ArrayContains",
            Self::ArrayGetItem => "States.ArrayGetItem",
            Self::ArrayLength => "States.ArrayLength",
            Self::ArrayPartition => "States.ArrayPartition",
            Self::ArrayRange => "States.ArrayRange",
            Self::ArrayUnique => "States.ArrayUnique",
            Self::Base64Decode => "States.Base64Decode",
            Self::Base64Encode => "States.Base64Encode",
            Self::Format => "States.Format",
            Self::Hash => "States.Hash",
            Self::JsonMerge => "States.JsonMerge",
            Self::JsonToString => "States.JsonToString",
            Self::MathAdd => "States.MathAdd",
            Self::MathRandom => "States.MathRandom",
            Self::StringSplit => "States.StringSplit",
            Self::StringToJson => "States.StringToJson",
            Self::Uuid => "States.UUID",
        }
    }

    /// The function's value. The error says why the arguments do not suit it.
    fn apply(self, arguments: &[Value], scope: &mut Scope<'_>) -> Result<Value, String> {
        match (self, arguments) {
            (Self::Array, items) => Ok(items.to_vec().into()),
            (Self::ArrayContains, [list, item]) => arrays::contains(list, item),
            (Self::ArrayGetItem, [list, index]) => arrays::item(list, index),
            (Self::ArrayLength, [list]) => arrays::length(list),
            (Self::ArrayPartition, [list, size]) => arrays::partition(list, size),
            (Self::ArrayRange, [first, last, step]) => arrays::range(first, last, step),
            (Self::ArrayUnique, [list]) => arrays::unique(list),
            (Self::Base64Decode, [text]) => texts::decode(text),
            (Self::Base64Encode, [text]) => texts::encode(text),
            (Self::Format, [template, arguments @ ..]) => texts::format(template, arguments),
            (Self::Hash, [text, algorithm]) => texts::hash(text, algorithm),
            (Self::JsonMerge, [first, second, deep]) => arrays::merge(first, second, deep),
            (Self::JsonToString, [value]) => Ok(Value::string(value.to_string())),
            (Self::MathAdd, [a, b]) => numbers::add(a, b),
            (Self::MathRandom, [from, to]) => numbers::random(from, to, None, scope.rng),
            (Self::MathRandom, [from, to, seed]) => numbers::random(from, to, Some(seed), scope.rng),
            (Self::StringSplit, [text, delimiters]) => texts::split(text, delimiters),
            (Self::StringToJson, [text]) => texts::parse(text),
            (Self::Uuid, []) => Ok(Value::string(scope.rng.uuid())),
            (_, arguments) => Err(format!("it cannot be called with {} arguments", arguments.len())),
        }
    }
}
