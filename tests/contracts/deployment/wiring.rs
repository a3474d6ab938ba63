//! A function is a file, a binary, a state, a block in the template and an arm of the registry.

use std::collections::BTreeSet;

use kernel::{queue::QueueName, store::Table};
use registry::{Consumer, Function};
use serde_json::{Map, Value, json};

use super::stack::{definition, resources, root, template, text};

/// `ValidateSchema` as a file is named: `validate-schema`.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.extend(letter.to_lowercase());
    }
    kebab
}

/// Of all functions: those of machines, those that queues feed, and the API's.
fn names() -> impl Iterator<Item = &'static str> {
    let consumers = Consumer::ALL.map(Consumer::name);
    Function::ALL.map(Function::name).into_iter().chain(consumers).chain(["Api"])
}

#[test]
fn every_function_has_a_binary_and_a_block() {
    let template = template();
    let wanted: BTreeSet<String> = names().map(|name| format!("{name}Function")).collect();
    let found: BTreeSet<String> =
        resources(&template, "AWS::Serverless::Function").map(|(id, _)| id.to_owned()).collect();
    assert_eq!(found, wanted);
    for (id, function) in resources(&template, "AWS::Serverless::Function") {
        let name = id.strip_suffix("Function").unwrap();
        assert_eq!(function["Metadata"]["BuildMethod"], "rust-cargolambda", "{id}");
        assert_eq!(function["Metadata"]["BuildProperties"]["Binary"], kebab(name), "{id}");
        // `sam logs -n` looks where Lambda logs by default.
        let properties = &function["Properties"];
        assert_eq!(properties["FunctionName"], json!({ "Fn::Sub": format!("${{AWS::StackName}}-{name}") }));
        assert_eq!(properties["LoggingConfig"]["LogGroup"], json!({ "Ref": format!("{name}LogGroup") }));
        let group = &template["Resources"][format!("{name}LogGroup")]["Properties"];
        let path = format!("/aws/lambda/${{AWS::StackName}}-{name}");
        assert_eq!(group["LogGroupName"], json!({ "Fn::Sub": path }));
        assert_eq!(group["RetentionInDays"], 30);
    }
}

/// The variables that a binary's source needs beside those that all functions have: those of the machines that it
/// starts, and the addresses that it may call.
fn variables(binary: &str) -> BTreeSet<&'static str> {
    let source = text(&format!("hosts/lambda/src/bin/{binary}.rs"));
    let needs = [
        ("StepFunctions::new", "RECORDS_STATE_MACHINE_ARN"),
        ("StepFunctions::new", "RECORDS_EXPRESS_STATE_MACHINE_ARN"),
        ("StepFunctions::new", "BATCH_STATE_MACHINE_ARN"),
        ("StepFunctions::new", "TEST_DESTINATION_STATE_MACHINE_ARN"),
        ("Express::new", "RECORDS_EXPRESS_STATE_MACHINE_ARN"),
        ("guard(&config)", "ALLOWED_DESTINATIONS"),
    ];
    needs.into_iter().filter(|(call, _)| source.contains(call)).map(|(_, variable)| variable).collect()
}

#[test]
fn every_function_knows_tables_and_queues() {
    let template = template();
    let shared = &template["Globals"]["Function"]["Environment"]["Variables"];
    let tables = Table::ALL.map(|table| (format!("{}_TABLE", table.name().to_uppercase()), table.resource()));
    let queues =
        QueueName::ALL.map(|queue| (format!("{}_QUEUE_URL", queue.name().to_uppercase()), queue.resource()));
    let wanted: Map<String, Value> = [("DATA_BUCKET".to_owned(), "DataBucket")]
        .into_iter()
        .chain(tables)
        .chain(queues)
        .map(|(variable, resource)| (variable, json!({ "Ref": resource })))
        .collect();
    assert_eq!(*shared, Value::Object(wanted));
}

#[test]
fn a_function_knows_no_machine_but_its_own() {
    let template = template();
    for (id, function) in resources(&template, "AWS::Serverless::Function") {
        let binary = kebab(id.strip_suffix("Function").unwrap());
        let given = function["Properties"]["Environment"]["Variables"].as_object();
        let given = given.into_iter().flatten().map(|(name, _)| name.as_str());
        let given: BTreeSet<&str> = given.filter(|name| !name.starts_with("AWS_")).collect();
        assert_eq!(given, variables(&binary), "{id}");
    }
}

#[test]
fn binaries_are_wiring() {
    let binaries = std::fs::read_dir(root().join("hosts/lambda/src/bin")).unwrap();
    let mut names = BTreeSet::new();
    for binary in binaries {
        let path = binary.unwrap().path();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 30, "{} has {lines} lines", path.display());
        names.insert(path.file_stem().unwrap().to_string_lossy().into_owned());
    }
    assert_eq!(names, self::names().map(kebab).collect());
}

#[test]
fn machines_name_what_the_template_gives_them() {
    let template = template();
    for (id, machine) in resources(&template, "AWS::Serverless::StateMachine") {
        let properties = &machine["Properties"];
        let source = text(properties["DefinitionUri"].as_str().unwrap());
        let named: BTreeSet<&str> =
            source.split("${").skip(1).filter_map(|rest| rest.split('}').next()).collect();
        let given = properties["DefinitionSubstitutions"].as_object().unwrap();
        assert_eq!(named, given.keys().map(String::as_str).collect(), "{id}");
        for (name, target) in given {
            if name == "FunctionPrefix" {
                let prefix = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:";
                assert_eq!(*target, json!({ "Fn::Sub": format!("{prefix}${{AWS::StackName}}-") }));
                continue;
            }
            let named = target["Ref"].as_str().unwrap();
            let is_there = |part: &str| template[part].get(named).is_some();
            assert!(is_there("Resources") || is_there("Parameters"), "{id} names {named}");
        }
    }
}

/// How much longer than its function a state waits, in seconds: an environment may have to be made for the call.
const GRACE: i64 = 5;

/// A call that is cut off is over when its state gives up: nothing writes behind the back of the next state, or of
/// another try.
#[test]
fn functions_end_before_their_states_do() {
    let template = template();
    let default = &template["Globals"]["Function"]["Timeout"];
    for (id, machine) in resources(&template, "AWS::Serverless::StateMachine") {
        for (name, state) in definition(machine)["States"].as_object().unwrap() {
            let function = &template["Resources"][format!("{name}Function")]["Properties"];
            if state["Type"] == "Task" {
                let timeout = function.get("Timeout").unwrap_or(default).as_i64().unwrap();
                assert_eq!(state["TimeoutSeconds"], timeout + GRACE, "{name} of {id}");
            }
        }
    }
}
