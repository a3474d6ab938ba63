//! Rows of delimited text: each becomes an object of texts.

use std::sync::Arc;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use states::Value;

/// The rows. As on AWS, a row that is too short is filled with empty texts, and superfluous fields are omitted.
pub(super) fn rows(
    key: &str,
    bytes: &[u8],
    headers: Option<&[Arc<str>]>,
    delimiter: char,
    most: usize,
) -> Result<Vec<Value>, String> {
    let delimiter = u8::try_from(delimiter).map_err(|_| format!("{delimiter} cannot delimit"))?;
    let bytes = bytes.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(bytes);
    let mut records = Records { reader: ReaderBuilder::new().delimiter(delimiter).build(), rest: bytes };
    let not_text = || format!("{key} is not UTF-8");
    let headers: Vec<Arc<str>> = match headers {
        Some(headers) => headers.to_vec(),
        None => records.next().ok_or_else(not_text)?.into_iter().flatten().map(Arc::from).collect(),
    };
    let mut rows = Vec::new();
    while rows.len() < most {
        let Some(fields) = records.next().ok_or_else(not_text)? else {
            break;
        };
        let fields = fields.into_iter().map(Some).chain(std::iter::repeat(None));
        let members = headers.iter().zip(fields);
        let members =
            members.map(|(name, field)| (Arc::clone(name), Value::string(field.unwrap_or_default())));
        rows.push(members.collect());
    }
    Ok(rows)
}

/// The records of the remaining text.
struct Records<'b> {
    reader: Reader,
    rest: &'b [u8],
}

impl Records<'_> {
    /// The next record's fields, `Some(None)` at the end; `None`: they are not UTF-8.
    #[expect(clippy::option_option, reason = "there may be no record, and it may be broken")]
    fn next(&mut self) -> Option<Option<Vec<String>>> {
        let (mut text, mut ends) = (vec![0; 1024], vec![0; 32]);
        let (mut filled, mut fields) = (0, 0);
        loop {
            let (result, read, written, ended) =
                self.reader.read_record(self.rest, &mut text[filled..], &mut ends[fields..]);
            self.rest = &self.rest[read..];
            filled += written;
            fields += ended;
            match result {
                // At the end of the text the reader ends the last record.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => text.resize(text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => ends.resize(ends.len() * 2, 0),
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Some(None),
            }
        }
        let text = std::str::from_utf8(&text[..filled]).ok()?;
        let starts = std::iter::once(0).chain(ends[..fields].iter().copied());
        let fields = starts.zip(&ends[..fields]).map(|(start, end)| text.get(start..*end).map(str::to_owned));
        fields.collect::<Option<Vec<_>>>().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, headers: Option<&[Arc<str>]>, delimiter: char, expected: &str) {
        let rows = rows("k", text.as_bytes(), headers, delimiter, 3).expect("it is UTF-8");
        assert_eq!(Value::from(rows).to_string(), expected);
    }

    #[test]
    fn delimited_text_is_read_as_rows() {
        check(
            "a,b\n1,\"x, \"\"y\"\"\"\r\n2\n3,4,5\n6,7\n",
            None,
            ',',
            r#"[{"a":"1","b":"x, \"y\""},{"a":"2","b":""},{"a":"3","b":"4"}]"#,
        );
        check("1|2\n", Some(&["a".into(), "b".into(), "c".into()]), '|', r#"[{"a":"1","b":"2","c":""}]"#);
        check("", None, ',', "[]");
        let long = "x".repeat(5000);
        check(&format!("a\n{long}"), None, ',', &format!(r#"[{{"a":"{long}"}}]"#));
        assert_eq!(rows("k", b"a\n\xFF\n", None, ',', 3), Err("k is not UTF-8".into()));
    }
}
