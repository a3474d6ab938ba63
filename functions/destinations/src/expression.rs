//! JSONata over one JSON text: filters and mappings of destinations. This is the one module here that knows the library
//! of the evaluator.
//!
//! An expression always has the same result. Functions that read the clock or random numbers are refused, and so are
//! those that run text as an expression. Every result is bounded. No error contains a value of the JSON.

mod fault;
mod mentions;

use std::{cell::OnceCell, io, time::Duration};

use expressions::{Limits, Program};
use jsonata_core::{
    evaluator::Context,
    parser,
    value::{JValue, with_stack},
};

pub use fault::{ExpressionError, ExpressionFault};
use mentions::Mentions;

/// Maximum length of an expression, in bytes.
pub const MAX_SOURCE_BYTES: usize = 8 * 1024;
/// Maximum size of a result, in bytes of JSON: that of an SQS message.
pub const MAX_RESULT_BYTES: usize = 256 * 1024;
/// Maximum depth of a result (design, Numbers to hold).
const MAX_RESULT_DEPTH: usize = 64;
/// Maximum time of an evaluation. An honest one needs microseconds, so that a slow or busy machine refuses none.
const MAX_EVALUATION_MS: u64 = 1_000;
/// The same as a duration.
pub const EVALUATION_TIMEOUT: Duration = Duration::from_millis(MAX_EVALUATION_MS);
/// Maximum depth of the calls, blocks and operators of an expression: deeper than an event may nest, and reached long
/// before the timeout.
const MAX_LEVELS: usize = 400;
/// Maximum number of items of an array that an expression makes; an event of 32 KB has no more.
const MAX_ITEMS: usize = 32 * 1024;
/// Maximum number of bytes that an evaluation makes in all, each copy counted: 64 results of the largest size, or 500
/// events.
const MAX_EVALUATION_BYTES: u64 = 16 * 1024 * 1024;

/// The functions that are refused, and why.
const REFUSED: [(&str, &str); 5] = [
    ("now", "the result must be the same for every try; receivedAt is when the event arrived"),
    ("millis", "the result must be the same for every try; receivedAt is when the event arrived"),
    ("random", "the result must be the same for every try"),
    ("shuffle", "the result must be the same for every try"),
    ("eval", "an expression may not run text"),
];

/// The other functions of the language. They are listed here, since a question to the evaluator would link it into
/// programs that only check expressions.
const FUNCTIONS: &str = "\
    abs append assert average base64decode base64encode boolean ceil contains count decodeUrl \
    decodeUrlComponent distinct each encodeUrl encodeUrlComponent error exists filter floor formatBase \
    formatInteger formatNumber fromMillis join keys length lookup lowercase map match max merge min not \
    number pad parseInteger power reduce replace reverse round sift single sort split spread sqrt string \
    substring substringAfter substringBefore sum toMillis trim type uppercase zip";

/// A parsed expression.
#[derive(Debug)]
pub struct Expression {
    program: Program,
    /// The texts of `$error` and `$assert` that are literals in its source.
    literals: Vec<String>,
}

/// A JSON text, parsed once for many expressions. It stays on the thread that parsed it.
pub struct Subject {
    value: JValue,
    /// Its size in memory, once an expression asked for it.
    weight: OnceCell<u64>,
}

impl Expression {
    /// Parses an expression. The error says what is wrong with the expression, and may quote it.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(ExpressionError::new(format!("is longer than {MAX_SOURCE_BYTES} bytes")));
        }
        let tree = parser::parse(source).map_err(|error| ExpressionError::syntax(source, &error))?;
        let mentions = Mentions::read(source)?;
        for (name, why) in REFUSED {
            if mentions.all.contains(name) {
                return Err(ExpressionError::new(format!("the function ${name} is not available: {why}")));
            }
        }
        match mentions.unknown() {
            Some(name) => Err(ExpressionError::new(format!("there is no function ${name}"))),
            None => {
                let limits = Limits {
                    bytes: MAX_EVALUATION_BYTES,
                    items: MAX_ITEMS,
                    depth: MAX_LEVELS,
                    time_ms: MAX_EVALUATION_MS,
                };
                Ok(Self { literals: fault::literals(&tree), program: Program::new(tree, limits) })
            }
        }
    }

    /// The result for a JSON text, as a JSON text; `None` if there is none (JSONata's undefined).
    pub fn evaluate(&self, json: &str) -> Result<Option<String>, ExpressionError> {
        self.evaluate_within(json, EVALUATION_TIMEOUT)
    }

    /// The same with a shorter timeout, in whole milliseconds.
    pub fn evaluate_within(&self, json: &str, limit: Duration) -> Result<Option<String>, ExpressionError> {
        match self.value(&Subject::read(json)?, limit)? {
            JValue::Undefined => Ok(None),
            value => write(&value).map(Some),
        }
    }

    /// Whether the result is `true`, and not another value that counts as true.
    pub fn is_true(&self, subject: &Subject) -> Result<bool, ExpressionError> {
        self.is_true_within(subject, EVALUATION_TIMEOUT)
    }

    /// The same with a shorter timeout, in whole milliseconds.
    pub fn is_true_within(&self, subject: &Subject, limit: Duration) -> Result<bool, ExpressionError> {
        Ok(matches!(self.value(subject, limit)?, JValue::Bool(true)))
    }

    fn value(&self, subject: &Subject, limit: Duration) -> Result<JValue, ExpressionError> {
        let time_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).min(MAX_EVALUATION_MS);
        let weight = || subject.weight();
        let value = self.program.evaluate_within(time_ms, Context::new(), &subject.value, weight, |_| Ok(()));
        value.map_err(|failure| ExpressionError::evaluation(&failure, &self.literals))
    }
}

impl Subject {
    fn weight(&self) -> u64 {
        *self.weight.get_or_init(|| expressions::weight(&self.value))
    }

    /// Parses a JSON text.
    pub fn read(json: &str) -> Result<Self, ExpressionError> {
        let value = JValue::from_json_str(json);
        value
            .map(|value| Self { value, weight: OnceCell::new() })
            .map_err(|error| ExpressionError::new(kernel::json::describe(&error)))
    }
}

/// Writes a value, if JSON can represent it and it is not too large.
fn write(value: &JValue) -> Result<String, ExpressionError> {
    check(value, MAX_RESULT_DEPTH)?;
    let mut to = Bounded(Vec::new());
    serde_json::to_writer(&mut to, value)
        .map_err(|_| ExpressionError::new(format!("the result is larger than {MAX_RESULT_BYTES} bytes")))?;
    String::from_utf8(to.0).map_err(|_| ExpressionError::new("the result is not text"))
}

/// Refuses a value that JSON cannot represent, or that nests deeper than `levels`.
fn check(value: &JValue, levels: usize) -> Result<(), ExpressionError> {
    let deeper = || {
        let deep = || ExpressionError::new(format!("the result nests deeper than {MAX_RESULT_DEPTH}"));
        levels.checked_sub(1).ok_or_else(deep)
    };
    match value {
        JValue::Array(items) => {
            let levels = deeper()?;
            with_stack(|| items.iter().try_for_each(|item| check(item, levels)))
        }
        JValue::Object(members) => {
            let levels = deeper()?;
            with_stack(|| members.values().try_for_each(|member| check(member, levels)))
        }
        value if value.is_function() => Err(ExpressionError::new("the result holds a function")),
        _ => Ok(()),
    }
}

/// Accepts [`MAX_RESULT_BYTES`], and no more.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_RESULT_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jsonata_core::{ast::AstNode, evaluator::Evaluator, value::JValue};

    use super::{Expression, FUNCTIONS, REFUSED, Subject};

    const EVENT: &str = r#"{"event":"Order Placed","userId":"ann","metadata":{"total":12.5,"items":[{"sku":"a"},{"sku":"b"}],"vip":true}}"#;

    /// The result of the expression for [`EVENT`]: a JSON text, `undefined`, or the error.
    #[track_caller]
    fn check(source: &str, expected: &str) {
        let found = match Expression::parse(source).and_then(|expression| expression.evaluate(EVENT)) {
            Ok(Some(json)) => json,
            Ok(None) => "undefined".to_owned(),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(found, expected, "{}", &source[..source.len().min(100)]);
    }

    #[test]
    fn results_are_json() {
        check("event", r#""Order Placed""#);
        check("metadata.items.sku", r#"["a","b"]"#);
        check("metadata.total * 2", "25");
        check("nothing.there", "undefined");
        check("null", "null");
        check(r#"{"who": $uppercase(userId), "n": $count(metadata.items)}"#, r#"{"who":"ANN","n":2}"#);
        check(r#"($twice := function($x) { $x & $x }; $twice(userId))"#, r#""annann""#);
        check(r#"$map(metadata.items, function($item) { $item.sku })"#, r#"["a","b"]"#);
        check("userId ~> $uppercase", r#""ANN""#);
        check(
            r#"$ ~> |metadata|{"total": 0}, "items"|"#,
            r#"{"event":"Order Placed","userId":"ann","metadata":{"total":0,"vip":true}}"#,
        );
        check(r#""$now() is text""#, r#""$now() is text""#);
    }

    #[test]
    fn the_functions_are_those_that_the_evaluator_has() {
        let mut evaluator = Evaluator::new();
        for name in FUNCTIONS.split(' ').chain(REFUSED.map(|(name, _)| name)) {
            let known = evaluator.evaluate(&AstNode::Variable(name.to_owned()), &JValue::Undefined);
            assert!(known.is_ok_and(|value| value.is_function()), "{name}");
        }
    }

    #[test]
    fn errors_contain_no_values() {
        check("", "error: Unexpected end of expression");
        check("metadata.(", "error: Unexpected end of expression");
        check("$shout(event)", "error: there is no function $shout");
        check("event; 1", "error: Syntax error: Semicolon (at character 6)");
        check(
            "{'at': $now()}",
            "error: the function $now is not available: the result must be the same for every try; receivedAt is when the event arrived",
        );
        check(
            "($f := $random; $f())",
            "error: the function $random is not available: the result must be the same for every try",
        );
        check(
            "$shuffle(metadata.items)",
            "error: the function $shuffle is not available: the result must be the same for every try",
        );
        check("$eval('1')", "error: the function $eval is not available: an expression may not run text");
        check("$number(userId)", "error: $number was given something that is no number");
        check("$error(userId)", "error: it called $error");
        check(r#"$error("boom")"#, "error: $error: boom");
        check(r#"$error("bo" & userId)"#, "error: it called $error");
        check("$assert(false, userId)", "error: an $assert of it does not hold");
        check("$assert(userId = 'bob', 'must be bob')", "error: $assert: must be bob");
        check("userId + 1", "error: the left side of + is no number");
        check(r#"metadata.total * "a""#, "error: the right side of * is no number");
        check("[1..userId]", "error: the right side of .. is no whole number");
        check("{metadata.total: 1}", "error: it makes an object with a name that is no text");
        check(
            "$uppercase(metadata.vip)",
            "error: it calls a function with something that the function does not take (argument 1)",
        );
        check("userId()", "error: it calls something that is not a function");
        check("$uppercase", "error: the result holds a function");
        check(r#"{"f": function($x) { $x }}"#, "error: the result holds a function");
    }

    #[test]
    fn evaluations_are_bounded() {
        check("($f := function() { $f() }; $f())", "error: it took longer than 1 s");
        check(
            "($f := function() { 1 + $f() }; $f())",
            "error: it nests deeper than 400 calls, blocks and operators",
        );
        check("$pad('', 2147483647)", "error: it makes more than 16777216 bytes");
        check(
            "($f:=function($s,$n){$n=0?$s:$f($join([1..200].$s),$n-1)}; $f('aaaaaaaa',6))",
            "error: it makes more than 16777216 bytes",
        );
        check(
            "($f := function($s) { $f($s & $s) }; $f('aaaaaaaa'))",
            "error: it makes more than 16777216 bytes",
        );
        check("[1..1000000]", "error: it makes an array of more than 32768 items");
        check("$reduce([1..100], function($all, $n) { [[$all]] })", "error: the result nests deeper than 64");
        check(
            "($a := $string([1..8000]); $a & $a & $a & $a & $a & $a & $a & $a)",
            "error: the result is larger than 262144 bytes",
        );
        check(
            &"(".repeat(8_000),
            "error: Stack overflow - maximum expression nesting depth (1000) exceeded while parsing expression (at character 1000)",
        );
        check(&"[".repeat(8_193), "error: is longer than 8192 bytes");
        let nested = |depth| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
        check(&nested(150), "1");
        check(&nested(900), "error: it nests deeper than 400 calls, blocks and operators");
    }

    #[test]
    fn only_true_is_true() {
        let subject = Subject::read(EVENT).unwrap();
        let is_true = |source: &str| Expression::parse(source).unwrap().is_true(&subject).unwrap();
        assert!(is_true("metadata.total > 10"));
        for source in ["metadata.total > 20", "event", "metadata.items", "nothing", "1"] {
            assert!(!is_true(source), "{source}");
        }
    }

    #[test]
    fn expressions_are_send_and_sync() {
        fn check<T: Send + Sync>() {}
        check::<Expression>();
    }
}
