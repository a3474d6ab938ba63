//! `template.yaml` and the definitions that it deploys, as JSON.

use std::{fs, path::PathBuf};

use saphyr::{LoadableYamlNode, ScalarOwned, YamlOwned};
use serde_json::{Map, Value, json};

/// The text of a file of the repository.
pub(crate) fn text(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The folder of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The template, with the short forms of CloudFormation's functions written out.
pub(crate) fn template() -> Value {
    let mut documents = YamlOwned::load_from_str(&text("template.yaml")).expect("YAML");
    value(documents.remove(0))
}

/// The definition of a machine of the template.
pub(crate) fn definition(machine: &Value) -> Value {
    let path = machine["Properties"]["DefinitionUri"].as_str().expect("a DefinitionUri");
    serde_json::from_str(&text(path)).expect("a definition is JSON")
}

/// The resources of one type, by logical id.
pub(crate) fn resources<'a>(
    template: &'a Value,
    kind: &'a str,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let all = template["Resources"].as_object().expect("resources");
    all.iter()
        .filter(move |(_, resource)| resource["Type"] == kind)
        .map(|(id, resource)| (id.as_str(), resource))
}

fn value(node: YamlOwned) -> Value {
    match node {
        YamlOwned::Value(ScalarOwned::Boolean(truth)) => truth.into(),
        YamlOwned::Value(ScalarOwned::Integer(number)) => number.into(),
        YamlOwned::Value(ScalarOwned::String(text)) => text.into(),
        YamlOwned::Sequence(items) => items.into_iter().map(value).collect(),
        YamlOwned::Mapping(fields) => {
            let name = |name| value(name).as_str().expect("a name is text").to_owned();
            fields.into_iter().map(|(key, field)| (name(key), value(field))).collect::<Map<_, _>>().into()
        }
        YamlOwned::Tagged(tag, inner) => function(tag.suffix.trim_start_matches('!'), value(*inner)),
        other => panic!("the template holds what this test cannot read: {other:?}"),
    }
}

fn function(tag: &str, argument: Value) -> Value {
    match (tag, argument.as_str().and_then(|text| text.split_once('.'))) {
        ("Ref", _) => json!({ "Ref": argument }),
        ("GetAtt", Some((resource, attribute))) => json!({ "Fn::GetAtt": [resource, attribute] }),
        _ => json!({ format!("Fn::{tag}"): argument }),
    }
}
