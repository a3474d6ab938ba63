//! Rows of a Parquet file: each becomes an object, with types where JSON has them.

use std::sync::Arc;

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use states::Value;

/// The rows, up to a limit.
pub(super) fn rows(key: &str, bytes: Bytes, most: usize) -> Result<Vec<Value>, String> {
    let broken = |_| format!("{key} is not Parquet");
    let reader = SerializedFileReader::new(bytes).map_err(broken)?;
    let rows = reader.get_row_iter(None).map_err(broken)?;
    rows.take(most).map(|row| row.map(|row| object(&row)).map_err(broken)).collect()
}

fn object(row: &Row) -> Value {
    row.get_column_iter().map(|(name, field)| (Arc::from(name.as_str()), value(field))).collect()
}

/// As on AWS: a timestamp is a number of milliseconds, lists and structures stay what they are.
fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(truth) => (*truth).into(),
        Field::Byte(n) => i64::from(*n).into(),
        Field::Short(n) => i64::from(*n).into(),
        Field::Int(n) | Field::TimeMillis(n) => i64::from(*n).into(),
        Field::Long(n) | Field::TimeMicros(n) | Field::TimestampMillis(n) => (*n).into(),
        Field::UByte(n) => i64::from(*n).into(),
        Field::UShort(n) => i64::from(*n).into(),
        Field::UInt(n) => i64::from(*n).into(),
        Field::ULong(n) => (*n).into(),
        Field::Float16(n) => number(f64::from(*n)),
        // Through its text, so that 1.1 stays 1.1.
        Field::Float(n) => number(n.to_string().parse().unwrap_or(f64::from(*n))),
        Field::Double(n) => number(*n),
        Field::Str(text) => text.as_str().into(),
        Field::TimestampMicros(micros) => micros.div_euclid(1000).into(),
        Field::Group(row) => object(row),
        Field::ListInternal(list) => list.elements().iter().map(value).collect::<Vec<_>>().into(),
        Field::MapInternal(map) => {
            let text = |key: &Field| match value(key) {
                Value::String(text) => text,
                other => other.to_string().into(),
            };
            map.entries().iter().map(|(key, member)| (text(key), value(member))).collect()
        }
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).as_ref().into(),
        Field::Decimal(_) | Field::Date(_) => Value::string(field.to_string()),
    }
}

/// JSON has no word for infinity and what is not a number.
fn number(n: f64) -> Value {
    if n.is_finite() { Value::Number(states::Number::Float(n)) } else { Value::Null }
}
