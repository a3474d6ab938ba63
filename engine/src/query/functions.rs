//! AWS's additional functions for JSONata, and JSONata's functions that need the run's clock.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::rng::{JavaRandom, Rng};
use crate::value::{Number, Value};

/// Every function in this file.
pub(super) const NAMES: [&str; 8] =
    ["partition", "range", "hash", "random", "uuid", "parse", "now", "millis"];

/// Functions that fail on AWS for some texts where the library does not.
pub(super) const STRICT: [&str; 3] = ["decodeUrl", "decodeUrlComponent", "base64decode"];

/// The maximum number of items of `$range`. A larger range is a mistake in the arguments.
const MAX_RANGE_ITEMS: f64 = 1_000_000.0;

/// The value of a call. An argument that JSON cannot represent is `None`.
pub(super) fn call(
    name: &str,
    args: &[Option<Value>],
    now: Timestamp,
    random: &mut Rng,
) -> Result<Option<Value>, String> {
    match (name, args) {
        ("partition", [Some(list), Some(size)]) => partition(list, size),
        ("range", [Some(first), Some(last), Some(step)]) => range(first, last, step),
        ("hash", [Some(text), Some(algorithm)]) => hash(text, algorithm),
        ("random", []) => Ok(number(random.unit())),
        ("random", [Some(seed)]) => {
            let seed = seed.as_number().ok_or("the seed of $random must be a number")?;
            Ok(number(JavaRandom::new(truncated(seed)).unit()))
        }
        ("uuid", []) => Ok(Some(Value::string(random.uuid()))),
        ("parse", [Some(text)]) => {
            let text = text.as_str().ok_or("the argument of $parse must be a string")?;
            Value::parse(text).map(Some).map_err(|error| format!("$parse cannot read its argument: {error}"))
        }
        ("now", []) => Ok(Some(Value::string(format_timestamp(now)))),
        ("millis", []) => Ok(Some(Value::from(now.as_millisecond()))),
        (_, args) if args.contains(&None) => Err(format!("an argument of ${name} has no value")),
        _ => Err(format!("${name} was called with {} arguments", args.len())),
    }
}

/// AWS's error for a text that one of the [`STRICT`] functions cannot decode.
pub(super) fn malformed(name: &str, text: &str) -> Option<String> {
    if name == "base64decode" {
        let illegal = |byte: &u8| !byte.is_ascii_alphanumeric() && !b"+/=".contains(byte);
        return text.bytes().find(illegal).map(|byte| format!("Illegal base64 character {byte:x}"));
    }
    let message = || format!("D3140: Malformed URL passed to ${name}(): {}", Value::from(text));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        (rest, _) = match (first, after) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (after, bytes.push(high * 16 + low)),
                _ => return Some(message()),
            },
            (b'%', _) => return Some(message()),
            (byte, after) => (after, bytes.push(*byte)),
        };
    }
    std::str::from_utf8(&bytes).err().map(|_| message())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The time in AWS's form: in UTC, with milliseconds.
pub(crate) fn format_timestamp(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// The integer part of a number.
#[expect(clippy::cast_possible_truncation, reason = "beyond the range is the range's end, as in Java")]
fn truncated(number: Number) -> i64 {
    number.as_i64().unwrap_or_else(|| number.as_f64() as i64)
}

fn number(n: f64) -> Option<Value> {
    Number::from_f64(n).map(Value::Number)
}

fn partition(list: &Value, size: &Value) -> Result<Option<Value>, String> {
    let list = list.as_array().ok_or("the first argument of $partition must be an array")?;
    let size = size.as_number().and_then(Number::as_i64).and_then(|size| usize::try_from(size).ok());
    let size =
        size.filter(|size| *size > 0).ok_or("the size of $partition must be a whole number above zero")?;
    Ok(Some(list.chunks(size).map(|part| Value::from(part.to_vec())).collect::<Vec<_>>().into()))
}

fn range(first: &Value, last: &Value, step: &Value) -> Result<Option<Value>, String> {
    let parts: Option<Vec<_>> =
        [first, last, step].iter().map(|part| Some(part.as_number()?.as_f64())).collect();
    let parts = parts.ok_or("the arguments of $range must be numbers")?;
    let [first, last, step] = parts[..] else {
        return Ok(None);
    };
    if step == 0.0 {
        return Err("the step of $range must not be zero".into());
    }
    let steps = ((last - first) / step).floor();
    if steps > MAX_RANGE_ITEMS {
        return Err(format!("$range would give more than {MAX_RANGE_ITEMS} items"));
    }
    let mut items = Vec::new();
    let mut index = 0.0;
    while index <= steps {
        items.extend(number(first + index * step));
        index += 1.0;
    }
    Ok(Some(items.into()))
}

fn hash(text: &Value, algorithm: &Value) -> Result<Option<Value>, String> {
    let text = text.as_str().ok_or("the first argument of $hash must be a string")?;
    let digest = digest(text, algorithm.as_str().unwrap_or_default());
    let digest = digest.ok_or("the algorithm of $hash must be MD5, SHA-1, SHA-256, SHA-384 or SHA-512")?;
    Ok(Some(Value::string(digest)))
}

/// The hash in hexadecimal; `None`: the algorithm does not exist.
pub(super) fn digest(text: &str, algorithm: &str) -> Option<String> {
    let digest = match algorithm {
        "MD5" => Md5::digest(text).to_vec(),
        "SHA-1" => Sha1::digest(text).to_vec(),
        "SHA-256" => Sha256::digest(text).to_vec(),
        "SHA-384" => Sha384::digest(text).to_vec(),
        "SHA-512" => Sha512::digest(text).to_vec(),
        _ => return None,
    };
    Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}
