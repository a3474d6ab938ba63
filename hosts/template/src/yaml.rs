//! CloudFormation's YAML as JSON: the short forms of its functions (`!Ref`, `!GetAtt`, `!Sub`) written out.

use saphyr::{LoadableYamlNode, ScalarOwned, YamlOwned};
use serde_json::{Map, Value, json};

/// Reads a template. The error names line and column.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let documents = YamlOwned::load_from_str(text).map_err(|error| error.to_string())?;
    documents.into_iter().next().map(value).ok_or_else(|| "the template is empty".to_owned())
}

fn value(node: YamlOwned) -> Value {
    match node {
        YamlOwned::Value(scalar) => match scalar {
            ScalarOwned::Null => Value::Null,
            ScalarOwned::Boolean(truth) => truth.into(),
            ScalarOwned::Integer(number) => number.into(),
            ScalarOwned::FloatingPoint(number) => number.into_inner().into(),
            ScalarOwned::String(text) => text.into(),
        },
        YamlOwned::Representation(text, ..) => text.into(),
        YamlOwned::Sequence(items) => items.into_iter().map(value).collect(),
        YamlOwned::Mapping(fields) => fields
            .into_iter()
            .map(|(name, field)| (name_of(value(name)), value(field)))
            .collect::<Map<_, _>>()
            .into(),
        YamlOwned::Tagged(tag, inner) => function(&tag.suffix, value(*inner)),
        YamlOwned::Alias(_) | YamlOwned::BadValue => Value::Null,
    }
}

fn name_of(name: Value) -> String {
    match name {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn function(tag: &str, argument: Value) -> Value {
    match (tag.trim_start_matches('!'), argument) {
        ("Ref", name) => json!({ "Ref": name }),
        ("GetAtt", Value::String(path)) => match path.split_once('.') {
            Some((resource, attribute)) => json!({ "Fn::GetAtt": [resource, attribute] }),
            None => json!({ "Fn::GetAtt": [path] }),
        },
        (other, argument) => {
            let name = format!("Fn::{other}");
            json!({ name: argument })
        }
    }
}
