//! The description and the router say the same; the description is whole in itself.

use std::collections::BTreeSet;

use api::{OPENAPI, Operation, problem::Kind};
use serde_json::{Value, json};

fn description() -> Value {
    serde_json::from_str(OPENAPI).unwrap_or_default()
}

#[test]
fn every_route_is_described_and_every_description_is_a_route() {
    let description = description();
    let described: BTreeSet<(String, String)> = description["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(|method| (path.clone(), method.clone()))
        })
        .collect();
    let routed: BTreeSet<(String, String)> = Operation::ALL
        .into_iter()
        .map(|operation| operation.route())
        .map(|(method, path)| (path.to_owned(), method.to_owned()))
        .collect();
    assert_eq!(described, routed);
}

#[test]
fn path_parameters_are_those_of_the_path() {
    let description = description();
    for operation in Operation::ALL {
        let (method, path) = operation.route();
        let in_path: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let parameters = description["paths"][path][method]["parameters"].as_array();
        let described: BTreeSet<&str> = parameters
            .into_iter()
            .flatten()
            .map(|parameter| resolve(&description, parameter))
            .filter(|parameter| parameter["in"] == "path")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        assert_eq!(described, in_path, "{path}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let description = description();
    let mut open = vec![&description];
    while let Some(value) = open.pop() {
        if value.get("$ref").is_some() {
            assert!(!resolve(&description, value).is_null(), "{value}");
        }
        match value {
            Value::Object(members) => open.extend(members.values()),
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
}

#[test]
fn every_example_is_as_described() {
    let description = description();
    let (mut open, mut count) = (vec![&description], 0);
    while let Some(value) = open.pop() {
        let examples = value["examples"].as_object().into_iter().flat_map(|all| all.values());
        let examples = value.get("example").into_iter().chain(examples.map(|one| &one["value"]));
        if let Some(schema) = value.get("schema") {
            let whole = json!({"allOf": [schema], "components": description["components"]});
            let validator = jsonschema::validator_for(&whole).unwrap();
            for example in examples {
                let faults: Vec<String> = validator
                    .iter_errors(example)
                    .map(|error| format!("{} {error}", error.instance_path()))
                    .collect();
                assert!(faults.is_empty(), "{faults:#?} in {example:#}");
                count += 1;
            }
        }
        match value {
            Value::Object(members) => open.extend(members.values()),
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn every_problem_is_described() {
    let description = description();
    let types = &description["components"]["schemas"]["Problem"]["properties"]["type"]["enum"];
    let described: Vec<&str> = types.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(described, Kind::ALL.map(Kind::urn));
}

#[test]
fn the_version_is_ours() {
    assert_eq!(description()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

fn resolve<'a>(description: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => description.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null),
        None => value,
    }
}
