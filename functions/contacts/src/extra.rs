//! The fields of a contact that the schema does not name, as they are stored: the text of a JSON object, with sorted
//! names and unchanged values. It is a text because a store would cut digits of a number that has more than 15.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::value::RawValue;

use kernel::{error::Error, json};

/// The text of an object of these fields, without white space between tokens.
pub(crate) fn text(mut fields: Vec<(Cow<'_, str>, &RawValue)>) -> String {
    fields.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut text = String::from("{");
    for (at, (name, value)) in fields.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::String(name.to_string()).to_string());
        text.push(':');
        push_compact(&mut text, value.get());
    }
    text.push('}');
    text
}

/// The stored fields with the new ones over them, and without the cleared ones.
pub(crate) fn merged(
    stored: Option<&str>,
    said: Option<&str>,
    cleared: &[String],
) -> Result<Option<String>, Error> {
    let Some(stored) = stored else { return Ok(said.map(ToOwned::to_owned)) };
    if said.is_none() && cleared.is_empty() {
        return Ok(Some(stored.to_owned()));
    }
    let mut fields = read(stored)?;
    fields.retain(|name, _| !cleared.contains(name));
    if let Some(said) = said {
        fields.extend(read(said)?);
    }
    let fields: Vec<_> = fields.into_iter().map(|(name, value)| (Cow::Owned(name), value)).collect();
    Ok((!fields.is_empty()).then(|| text(fields)))
}

/// The fields of such a text, by name.
pub(crate) fn read(text: &str) -> Result<BTreeMap<String, &RawValue>, Error> {
    serde_json::from_str(text).map_err(|error| Error::BadInput(json::describe(&error)))
}

fn push_compact(to: &mut String, json: &str) {
    let (mut in_string, mut escaped) = (false, false);
    for c in json.chars() {
        if in_string || !c.is_ascii_whitespace() {
            to.push(c);
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stored: Option<&str>, said: Option<&str>, cleared: &[&str], left: Option<&str>) {
        let cleared: Vec<String> = cleared.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(merged(stored, said, &cleared).unwrap().as_deref(), left);
    }

    #[test]
    fn omitted_fields_stay_and_cleared_ones_do_not() {
        let stored = Some(r#"{"city":"Oslo","id":90071992547409931,"phone":"1"}"#);
        check(None, None, &["phone"], None);
        check(None, Some(r#"{"a":1}"#), &["phone"], Some(r#"{"a":1}"#));
        check(stored, None, &[], stored);
        check(stored, Some(r#"{"phone":"1"}"#), &[], stored);
        check(stored, None, &["nothing", "interests"], stored);
        check(
            stored,
            Some(r#"{"é":[1.50]}"#),
            &["city"],
            Some(r#"{"id":90071992547409931,"phone":"1","é":[1.50]}"#),
        );
        check(stored, Some(r#"{"phone":"2"}"#), &["city", "id"], Some(r#"{"phone":"2"}"#));
        check(stored, None, &["city", "id", "phone"], None);
        check(Some(r#"{"a":{"x":1,"y":null}}"#), Some(r#"{"a":{"z":1}}"#), &[], Some(r#"{"a":{"z":1}}"#));
    }
}
