//! JSONata over one JSON text: what a destination's filter and mapping are. The one file here that knows the
//! library which evaluates it.
//!
//! An expression comes to the same whenever it is evaluated: what reads the clock or chance is refused, and so is
//! what runs text as an expression or asks for memory without bound. No error holds a value out of the JSON.

use std::{collections::BTreeSet, fmt, io, time::Duration};

use jsonata_core::{
    ast::AstNode,
    evaluator::{Context, Evaluator, EvaluatorError, EvaluatorOptions},
    parser::{self, Lexer, ParserError, Token},
    value::{JValue, with_stack},
};

/// How long an expression may be, in bytes.
pub const MAX_SOURCE_BYTES: usize = 8 * 1024;
/// How large a result may be, in bytes of JSON: as much as a message of SQS holds.
pub const MAX_RESULT_BYTES: usize = 256 * 1024;
/// How deep a result may nest (design, Numbers to hold).
const MAX_RESULT_DEPTH: usize = 64;
/// How long an evaluation may take. An honest one takes microseconds, so that a slow or busy machine refuses none.
const PATIENCE_MS: u64 = 1_000;
/// The same as a duration.
pub const EVALUATION_TIMEOUT: Duration = Duration::from_millis(PATIENCE_MS);
/// How deep an expression may call itself: more than an event may nest, and reached long before the time is over.
const MAX_CALLS: usize = 200;
/// How many items an array made by an expression may have; an event of 32 KB has no more.
const MAX_ITEMS: usize = 32 * 1024;

/// The functions that are refused, and why.
const REFUSED: [(&str, &str); 6] = [
    ("now", "the result must be the same for every try; receivedAt is when the event arrived"),
    ("millis", "the result must be the same for every try; receivedAt is when the event arrived"),
    ("random", "the result must be the same for every try"),
    ("shuffle", "the result must be the same for every try"),
    ("eval", "an expression may not run text"),
    ("pad", "its width has no bound"),
];

/// The other functions of the language. They stand here, since to ask the evaluator brings it into programs that
/// only check expressions.
const FUNCTIONS: &str = "\
    abs append assert average base64decode base64encode boolean ceil contains count decodeUrl \
    decodeUrlComponent distinct each encodeUrl encodeUrlComponent error exists filter floor formatBase \
    formatInteger formatNumber fromMillis join keys length lookup lowercase map match max merge min not \
    number parseInteger power reduce replace reverse round sift single sort split spread sqrt string \
    substring substringAfter substringBefore sum toMillis trim type uppercase zip";

/// A parsed expression.
#[derive(Debug)]
pub struct Expression {
    tree: AstNode,
}

/// A JSON text, read once for many expressions. It stays on the thread that read it.
pub struct Subject(JValue);

/// What is wrong with an expression, or with what it came to, in words that hold no value out of the JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionError {
    message: String,
    is_timeout: bool,
}

impl Expression {
    /// Reads an expression. The error says what is wrong with it, and may quote it.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(ExpressionError::new(format!("is longer than {MAX_SOURCE_BYTES} bytes")));
        }
        let tree = parser::parse(source).map_err(|error| ExpressionError::syntax(&error))?;
        let mentions = Mentions::read(source)?;
        for (name, why) in REFUSED {
            if mentions.all.contains(name) {
                return Err(ExpressionError::new(format!("the function ${name} is not available: {why}")));
            }
        }
        match mentions.unknown() {
            Some(name) => Err(ExpressionError::new(format!("there is no function ${name}"))),
            None => Ok(Self { tree }),
        }
    }

    /// What it comes to for a JSON text, as a JSON text; `None` where that is nothing (JSONata's undefined).
    pub fn evaluate(&self, json: &str) -> Result<Option<String>, ExpressionError> {
        self.evaluate_within(json, EVALUATION_TIMEOUT)
    }

    /// The same in a shorter time, of whole milliseconds.
    pub fn evaluate_within(&self, json: &str, limit: Duration) -> Result<Option<String>, ExpressionError> {
        match self.value(&Subject::read(json)?, limit)? {
            JValue::Undefined => Ok(None),
            value => write(&value).map(Some),
        }
    }

    /// Whether it comes to `true`, and not to something else that may count as it.
    pub fn is_true(&self, subject: &Subject) -> Result<bool, ExpressionError> {
        self.is_true_within(subject, EVALUATION_TIMEOUT)
    }

    /// The same in a shorter time, of whole milliseconds.
    pub fn is_true_within(&self, subject: &Subject, limit: Duration) -> Result<bool, ExpressionError> {
        Ok(matches!(self.value(subject, limit)?, JValue::Bool(true)))
    }

    fn value(&self, subject: &Subject, limit: Duration) -> Result<JValue, ExpressionError> {
        let limit = limit.min(EVALUATION_TIMEOUT);
        let options = EvaluatorOptions {
            timeout_ms: Some(u64::try_from(limit.as_millis()).unwrap_or(PATIENCE_MS)),
            max_stack_depth: Some(MAX_CALLS),
            max_sequence_length: Some(MAX_ITEMS),
            ..EvaluatorOptions::default()
        };
        let mut evaluator = Evaluator::with_options(Context::new(), options);
        evaluator.evaluate(&self.tree, &subject.0).map_err(|error| ExpressionError::evaluation(&error))
    }
}

impl Subject {
    /// Reads a JSON text.
    pub fn read(json: &str) -> Result<Self, ExpressionError> {
        let value = JValue::from_json_str(json);
        value.map(Self).map_err(|error| ExpressionError::new(crate::door::describe(&error)))
    }
}

impl ExpressionError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_timeout: false }
    }

    /// Whether the time was over before the evaluation was: another try may come to an end.
    pub fn is_timeout(&self) -> bool {
        self.is_timeout
    }

    fn syntax(error: &ParserError) -> Self {
        Self::new(without_code(&error.display_message()))
    }

    /// By its code alone: the library's sentence may quote a value.
    fn evaluation(error: &EvaluatorError) -> Self {
        let code = error.code().unwrap_or_default();
        let is_timeout = code == "D1012";
        let sentence = Self::new(match code {
            "D1012" => format!("it took longer than {} s", PATIENCE_MS / 1_000),
            "D1011" | "U1001" => "it calls itself too deep".to_owned(),
            "D2014" | "D2015" => format!("it makes an array of more than {MAX_ITEMS} items"),
            "D3137" => "it called $error".to_owned(),
            "D3141" => "an $assert of it does not hold".to_owned(),
            "D3030" => "it makes a number of something that is none".to_owned(),
            "T1003" => "it makes an object with a name that is no text".to_owned(),
            "T1005" | "T1006" | "T1007" | "T1008" | "T2006" => {
                "it calls something that is not a function".to_owned()
            }
            "T2001" | "T2002" | "T2003" | "T2004" => "it counts with something that is no number".to_owned(),
            "T2007" | "T2008" | "T2009" | "T2010" => "it compares things that cannot be compared".to_owned(),
            code if code.starts_with("T04") => {
                "it calls a function with something that the function does not take".to_owned()
            }
            "" => "it cannot be evaluated on this".to_owned(),
            code => format!("it cannot be evaluated on this (JSONata {code})"),
        });
        Self { is_timeout, ..sentence }
    }
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ExpressionError {}

/// The names behind a `$` in an expression.
#[derive(Default)]
struct Mentions {
    all: BTreeSet<String>,
    /// Those that are called at least once.
    called: BTreeSet<String>,
    /// Those that stand at least once where nothing is called: only there a name can be given a value.
    named: BTreeSet<String>,
}

impl Mentions {
    fn read(source: &str) -> Result<Self, ExpressionError> {
        let mut lexer = Lexer::new(source.to_owned());
        let mut mentions = Self::default();
        let mut last: Option<String> = None;
        loop {
            let token = lexer.next_token().map_err(|error| ExpressionError::syntax(&error))?;
            if let Some(name) = last.take() {
                let calls = matches!(token, Token::LeftParen);
                (if calls { &mut mentions.called } else { &mut mentions.named }).insert(name);
            }
            match token {
                Token::Eof => return Ok(mentions),
                Token::Variable(name) => {
                    mentions.all.insert(name.clone());
                    last = Some(name);
                }
                _ => {}
            }
        }
    }

    /// A function that is called, and neither the language nor the expression has it.
    fn unknown(&self) -> Option<&str> {
        let mut called = self.called.difference(&self.named).map(String::as_str);
        called.find(|name| !FUNCTIONS.split(' ').any(|known| known == *name))
    }
}

/// Writes a value, if JSON can hold it and it is not too large.
fn write(value: &JValue) -> Result<String, ExpressionError> {
    check(value, MAX_RESULT_DEPTH)?;
    let mut to = Bounded(Vec::new());
    serde_json::to_writer(&mut to, value)
        .map_err(|_| ExpressionError::new(format!("the result is larger than {MAX_RESULT_BYTES} bytes")))?;
    String::from_utf8(to.0).map_err(|_| ExpressionError::new("the result is not text"))
}

/// Refuses what JSON cannot hold, or what nests deeper than `room`.
fn check(value: &JValue, room: usize) -> Result<(), ExpressionError> {
    let deeper = || {
        let deep = || ExpressionError::new(format!("the result nests deeper than {MAX_RESULT_DEPTH}"));
        room.checked_sub(1).ok_or_else(deep)
    };
    match value {
        JValue::Array(items) => {
            let room = deeper()?;
            with_stack(|| items.iter().try_for_each(|item| check(item, room)))
        }
        JValue::Object(members) => {
            let room = deeper()?;
            with_stack(|| members.values().try_for_each(|member| check(member, room)))
        }
        value if value.is_function() => Err(ExpressionError::new("the result holds a function")),
        _ => Ok(()),
    }
}

/// Takes [`MAX_RESULT_BYTES`], and no more.
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

/// The library's sentence without the code before it.
fn without_code(message: &str) -> &str {
    let is_code = |end: usize| {
        let code = message.get(end.saturating_sub(5)..end).unwrap_or_default().as_bytes();
        matches!(code, [letter, digits @ ..] if letter.is_ascii_uppercase() && digits.len() == 4 && digits.iter().all(u8::is_ascii_digit))
    };
    let code = message.match_indices(": ").find(|(end, _)| is_code(*end));
    let message = code.map_or(message, |(end, _)| &message[end + 2..]);
    message.strip_prefix("Parse error: ").unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use jsonata_core::{ast::AstNode, evaluator::Evaluator, value::JValue};

    use super::{Expression, FUNCTIONS, REFUSED, Subject};

    const EVENT: &str = r#"{"event":"Order Placed","userId":"ann","metadata":{"total":12.5,"items":[{"sku":"a"},{"sku":"b"}],"vip":true}}"#;

    /// What the expression comes to for [`EVENT`]: a JSON text, `undefined`, or what is wrong.
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
    fn expressions_come_to_json() {
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
    fn what_is_wrong_is_said_without_values() {
        check("", "error: Unexpected end of expression");
        check("metadata.(", "error: Unexpected end of expression");
        check("$shout(event)", "error: there is no function $shout");
        check("event; 1", "error: Syntax error: Semicolon");
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
        check("$pad('', 2147483647)", "error: the function $pad is not available: its width has no bound");
        check("$number(userId)", "error: it makes a number of something that is none");
        check("$error(userId)", "error: it called $error");
        check("$assert(false, userId)", "error: an $assert of it does not hold");
        check("userId + 1", "error: it counts with something that is no number");
        check("{metadata.total: 1}", "error: it makes an object with a name that is no text");
        check(
            "$uppercase(metadata.vip)",
            "error: it calls a function with something that the function does not take",
        );
        check("userId()", "error: it calls something that is not a function");
        check("$uppercase", "error: the result holds a function");
        check(r#"{"f": function($x) { $x }}"#, "error: the result holds a function");
    }

    #[test]
    fn nothing_runs_away() {
        check("($f := function() { $f() }; $f())", "error: it took longer than 1 s");
        check("($f := function() { 1 + $f() }; $f())", "error: it calls itself too deep");
        check("[1..1000000]", "error: it makes an array of more than 32768 items");
        check("$reduce([1..100], function($all, $n) { [[$all]] })", "error: the result nests deeper than 64");
        check(
            "($a := $string([1..8000]); $a & $a & $a & $a & $a & $a & $a & $a)",
            "error: the result is larger than 262144 bytes",
        );
        check(
            &"(".repeat(8_000),
            "error: Stack overflow - maximum expression nesting depth (1000) exceeded while parsing expression",
        );
        check(&"[".repeat(8_193), "error: is longer than 8192 bytes");
        let nested = |depth| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
        check(&nested(150), "1");
        check(&nested(900), "error: it calls itself too deep");
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
    fn an_expression_may_go_to_any_thread() {
        fn check<T: Send + Sync>() {}
        check::<Expression>();
    }
}
