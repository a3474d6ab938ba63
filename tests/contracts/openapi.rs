//! The description of the API as the server gives it: it agrees with the routes, and is whole in itself.

use std::{collections::BTreeSet, sync::LazyLock};

use api::problem::Kind;
use serde_json::{Value, json};

use crate::harness::{
    http::Client,
    program::{Place, Server},
};

static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| served(|api| api.show("/openapi.json")));

fn served<T>(test: impl FnOnce(&Client) -> T) -> T {
    let place = Place::new();
    let server = Server::start(&place);
    test(&Client::new(&server.base))
}

/// The method, in lower case, and the path of each operation.
fn operations() -> impl Iterator<Item = (&'static str, &'static str)> {
    let paths = DESCRIPTION["paths"].as_object().unwrap();
    assert!(paths.len() > 20);
    paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().keys().map(|method| (method.as_str(), path.as_str()))
    })
}

#[test]
fn every_path_allows_the_methods_described() {
    served(|api| {
        for path in operations().map(|(_, path)| path).collect::<BTreeSet<_>>() {
            let mut described: BTreeSet<String> =
                operations().filter(|(_, of)| *of == path).map(|(method, _)| method.to_uppercase()).collect();
            described.insert("OPTIONS".to_owned());
            if described.contains("GET") {
                described.insert("HEAD".to_owned());
            }
            let answer = api.request("OPTIONS", path, None);
            let allowed = answer.headers["allow"].to_str().unwrap();
            assert_eq!(allowed.split(", ").map(str::to_owned).collect::<BTreeSet<_>>(), described, "{path}");
        }
    });
}

#[test]
fn every_operation_has_its_own_words() {
    let (mut ids, mut count) = (BTreeSet::new(), 0);
    for (method, path) in operations() {
        let operation = &DESCRIPTION["paths"][path][method];
        ids.insert(operation["operationId"].as_str().unwrap());
        count += 1;
        let is_known =
            |tag: &Value| DESCRIPTION["tags"].as_array().unwrap().iter().any(|known| known["name"] == *tag);
        assert!(is_known(&operation["tags"][0]), "{method} {path}");
        assert!(operation["summary"].is_string() && operation["responses"].is_object(), "{method} {path}");
    }
    assert_eq!(ids.len(), count);
}

#[test]
fn path_parameters_are_those_of_the_path() {
    let description = &*DESCRIPTION;
    for (method, path) in operations() {
        let in_path: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let parameters = description["paths"][path][method]["parameters"].as_array();
        let described: BTreeSet<&str> = parameters
            .into_iter()
            .flatten()
            .map(|parameter| resolve(description, parameter))
            .filter(|parameter| parameter["in"] == "path")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        assert_eq!(described, in_path, "{path}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let description = &*DESCRIPTION;
    let mut open = vec![description];
    while let Some(value) = open.pop() {
        if value.get("$ref").is_some() {
            assert!(!resolve(description, value).is_null(), "{value}");
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
    let description = &*DESCRIPTION;
    let (mut open, mut count) = (vec![description], 0);
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
    let description = &*DESCRIPTION;
    let types = &description["components"]["schemas"]["Problem"]["properties"]["type"]["enum"];
    let described: Vec<&str> = types.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(described, Kind::ALL.map(Kind::urn));
}

#[test]
fn the_version_is_ours() {
    assert_eq!(DESCRIPTION["info"]["version"], env!("CARGO_PKG_VERSION"));
}

fn resolve<'a>(description: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => description.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null),
        None => value,
    }
}
