//! A function is a file, a binary, a state, a block in the template and an arm of the registry.

use std::collections::BTreeSet;

use kernel::Error;
use registry::{Consumer, Function};
use serde_json::{Value, json};

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

/// The variables that a binary's source needs: those of the tables, queues and machines that it names.
fn variables(binary: &str) -> BTreeSet<String> {
    let source = text(&format!("hosts/lambda/src/bin/{binary}.rs"));
    let tables = [
        ("OptIns", "OPT_INS_TABLE"),
        ("Consents", "CONSENTS_TABLE"),
        ("Batches", "BATCHES_TABLE"),
        ("Claims", "CLAIMS_TABLE"),
        ("Events", "EVENTS_TABLE"),
        ("Responses", "RESPONSES_TABLE"),
        ("Destinations", "DESTINATIONS_TABLE"),
        ("Deliveries", "DELIVERIES_TABLE"),
    ];
    let queues = [("Events", "EVENTS_QUEUE_URL"), ("Lanes", "LANES_QUEUE_URL")];
    let sends =
        |queue: &str| source.contains("StepFunctions") || source.contains(&format!("QueueName::{queue}"));
    let queues = queues.into_iter().filter(|(queue, _)| sends(queue)).map(|(_, variable)| variable);
    let machines = [
        ("StepFunctions::new", "RECORDS_STATE_MACHINE_ARN"),
        ("StepFunctions::new", "RECORDS_EXPRESS_STATE_MACHINE_ARN"),
        ("StepFunctions::new", "BATCH_STATE_MACHINE_ARN"),
        ("StepFunctions::new", "TEST_DESTINATION_STATE_MACHINE_ARN"),
        ("Express::new", "RECORDS_EXPRESS_STATE_MACHINE_ARN"),
        ("guard(&config)", "ALLOWED_DESTINATIONS"),
    ];
    let uses = |table: &str| source.contains("Table::ALL") || source.contains(&format!("Table::{table}"));
    let tables = tables.into_iter().filter(|(table, _)| uses(table)).map(|(_, variable)| variable);
    let machines =
        machines.into_iter().filter(|(call, _)| source.contains(call)).map(|(_, variable)| variable);
    tables.chain(queues).chain(machines).map(ToOwned::to_owned).collect()
}

#[test]
fn every_function_is_told_what_it_needs_and_no_more() {
    let template = template();
    let shared = &template["Globals"]["Function"]["Environment"]["Variables"];
    assert_eq!(*shared, json!({ "DATA_BUCKET": { "Ref": "DataBucket" } }));
    for (id, function) in resources(&template, "AWS::Serverless::Function") {
        let binary = kebab(id.strip_suffix("Function").unwrap());
        let given = function["Properties"]["Environment"]["Variables"].as_object();
        let given = given.into_iter().flatten().filter(|(name, _)| !name.starts_with("AWS_"));
        let given: BTreeSet<String> = given.map(|(name, _)| name.clone()).collect();
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
        assert!(lines <= 25, "{} has {lines} lines", path.display());
        names.insert(path.file_stem().unwrap().to_string_lossy().into_owned());
    }
    assert_eq!(names, self::names().map(kebab).collect());
}

/// Every string in a definition that is the value of a field named `name`.
fn values<'a>(definition: &'a Value, name: &str, into: &mut Vec<&'a Value>) {
    match definition {
        Value::Object(fields) => {
            into.extend(fields.get(name));
            fields.values().for_each(|field| values(field, name, into));
        }
        Value::Array(items) => items.iter().for_each(|item| values(item, name, into)),
        _ => {}
    }
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
            match name.strip_suffix("FunctionArn") {
                Some(function) => {
                    assert!(Function::from_name(function).is_some(), "{id} names {function}");
                    assert_eq!(*target, json!({ "Fn::GetAtt": [format!("{function}Function"), "Arn"] }));
                }
                None => {
                    let named = target["Ref"].as_str().unwrap();
                    let is_there = |part: &str| template[part].get(named).is_some();
                    assert!(is_there("Resources") || is_there("Parameters"), "{id} names {named}");
                }
            }
        }
    }
}

#[test]
fn machines_catch_errors_that_there_are() {
    let template = template();
    for (id, machine) in resources(&template, "AWS::Serverless::StateMachine") {
        let definition = definition(machine);
        let mut caught = Vec::new();
        values(&definition, "ErrorEquals", &mut caught);
        for error in caught.into_iter().flat_map(|errors| errors.as_array().unwrap()) {
            let error = error.as_str().unwrap();
            let is_of_aws =
                ["States.", "Lambda.", "Runtime.", "Sandbox."].iter().any(|it| error.starts_with(it));
            assert!(is_of_aws || Error::NAMES.contains(&error), "{id} catches {error}");
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
