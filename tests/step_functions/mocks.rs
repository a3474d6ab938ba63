//! Mocks as Step Functions Local has them, and the region and account that ARNs name.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    harness::{
        http::{Client, until},
        program::{Place, Server, run as run_to_end},
    },
    records::failures::root,
    step_functions::calls::call,
};

const ROLE: &str = "arn:aws:iam::123456789012:role/any";

/// A task of a service that this host has not, with a Catch, and a wait before it.
fn definition(seconds: u32) -> String {
    let publish = json!({ "Type": "Task", "Resource": "arn:aws:states:::sns:publish", "Parameters": { "TopicArn": "t", "Message": "m" },
        "Catch": [{ "ErrorEquals": ["SNS.NotFound"], "Next": "Sorry" }], "End": true });
    let states = json!({ "Wait": { "Type": "Wait", "Seconds": seconds, "Next": "Publish" }, "Publish": publish,
        "Sorry": { "Type": "Pass", "Result": "sorry", "End": true } });
    json!({ "StartAt": "Wait", "States": states }).to_string()
}

fn mock_file() -> String {
    let cases = json!({ "Sent": { "Publish": "Sent" }, "Lost": { "Publish": "Lost" } });
    let responses = json!({ "Sent": { "0": { "Return": { "MessageId": "m1" } } },
        "Lost": { "0": { "Throw": { "Error": "SNS.NotFound", "Cause": "c" } } } });
    json!({ "StateMachines": { "now": { "TestCases": cases }, "later": { "TestCases": cases }, "quick": { "TestCases": cases } },
        "MockedResponses": responses })
    .to_string()
}

struct Endpoint(Client);

impl Endpoint {
    #[track_caller]
    fn gives(&self, operation: &str, body: &Value) -> Value {
        let answer = call(&self.0, operation, body.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{operation}: {answer:?}");
        answer.body
    }

    #[track_caller]
    fn fails(&self, operation: &str, body: &Value, error: &str) {
        let answer = call(&self.0, operation, body.to_string().as_bytes());
        assert_eq!(answer.status, 400, "{operation}: {answer:?}");
        assert!(answer.body["__type"].as_str().unwrap().ends_with(error), "{answer:?}");
    }

    fn create(&self, name: &str, definition: &str, kind: &str) -> String {
        let machine = json!({ "name": name, "definition": definition, "roleArn": ROLE, "type": kind });
        self.gives("CreateStateMachine", &machine)["stateMachineArn"].as_str().unwrap().to_owned()
    }

    /// How an execution ended.
    fn ended(&self, arn: &Value) -> Value {
        until(|| {
            let found = self.gives("DescribeExecution", &json!({ "executionArn": arn }));
            (found["status"] != "RUNNING").then_some(found)
        })
    }
}

#[test]
fn a_test_case_answers_tasks_from_the_mock_file() {
    let place = Place::new();
    let mocks = place.file("mocks.json", mock_file());
    let options = ["--mock", mocks.to_str().unwrap()];
    let server = Server::start_with(&place, options);
    let sfn = Endpoint(Client::new(&server.step_functions));
    let unknown = json!({ "name": "other", "definition": definition(0), "roleArn": ROLE });
    sfn.fails("CreateStateMachine", &unknown, "InvalidDefinition");
    let machine = sfn.create("now", &definition(0), "STANDARD");
    let start =
        |arn: &str| sfn.gives("StartExecution", &json!({ "stateMachineArn": arn }))["executionArn"].clone();
    for (case, output) in [("Sent", r#"{"MessageId":"m1"}"#), ("Lost", r#""sorry""#)] {
        let ended = sfn.ended(&start(&format!("{machine}#{case}")));
        assert_eq!((&ended["status"], &ended["output"]), (&json!("SUCCEEDED"), &json!(output)), "{case}");
        assert_eq!(ended["stateMachineArn"], json!(machine));
    }
    sfn.fails("StartExecution", &json!({ "stateMachineArn": format!("{machine}#None") }), "InvalidArn");
    // Without a test case nothing is mocked, and this host cannot publish.
    assert_eq!(sfn.ended(&start(&machine))["status"], "FAILED");
    let quick = sfn.create("quick", &definition(0), "EXPRESS");
    let ended = sfn.gives("StartSyncExecution", &json!({ "stateMachineArn": format!("{quick}#Sent") }));
    assert_eq!(ended["output"], r#"{"MessageId":"m1"}"#);
    let later = sfn.create("later", &definition(3_600), "STANDARD");
    let waiting = start(&format!("{later}#Sent"));
    // The mocks die with the process: what goes on without them would call services.
    drop(server);
    let server = Server::start_with(&place, options);
    let sfn = Endpoint(Client::new(&server.step_functions));
    let ended = sfn.ended(&waiting);
    assert_eq!(ended["status"], "ABORTED");
    assert_eq!(ended["redriveStatus"], "NOT_REDRIVABLE");
    sfn.fails("RedriveExecution", &json!({ "executionArn": waiting }), "ExecutionNotRedrivable");
}

#[test]
fn a_mock_file_that_cannot_be_read_ends_with_2() {
    let place = Place::new();
    let broken =
        place.file("broken.json", r#"{"StateMachines": {"m": {"TestCases": {"c": {"S": "none"}}}}}"#);
    place
        .run(["serve", "--mock", broken.to_str().unwrap()])
        .check(2, &["broken.json", "no mocked response none"]);
}

#[test]
fn a_mock_file_is_made_of_a_definition() {
    let place = Place::new();
    let definition = place.file("publish.asl.json", definition(60));
    // What a Catch leads to in the second one is a Fail state.
    let paths = [(definition, "SUCCEEDED"), (root().join("examples/states/orders.asl.json"), "FAILED")];
    for (definition, caught) in &paths {
        let made = place.run([Path::new("states"), Path::new("mock"), definition]);
        assert_eq!(made.code, Some(0), "{made:?}");
        let file: Value = serde_json::from_str(&made.stdout).unwrap();
        let machines = file["StateMachines"].as_object().unwrap();
        let (_, machine) = machines.iter().next().unwrap();
        let made = place.file("made.json", &made.stdout);
        let test_cases = machine["TestCases"].as_object().unwrap();
        assert_eq!(test_cases.len(), 2, "{machine}");
        for case in test_cases.keys() {
            let mut run = place.command(["states", "run"]);
            run.arg(definition).arg("--mock").arg(&made).args(["--test-case", case, "--json"]);
            let ended: Value = serde_json::from_str(&run_to_end(&mut run, b"").stdout).unwrap();
            let expected = if case == "HappyPath" { "SUCCEEDED" } else { caught };
            assert_eq!(ended["status"], expected, "{case}: {ended}");
        }
    }
    let nothing = place.file("pass.asl.json", r#"{"StartAt":"P","States":{"P":{"Type":"Pass","End":true}}}"#);
    place.run([Path::new("states"), Path::new("mock"), &nothing]).check(2, &["nothing to mock"]);
}

#[test]
fn arns_name_the_region_and_account_of_the_host() {
    let place = Place::new();
    let options = ["--region", "eu-west-1", "--account", "123456789012"];
    let server = Server::start_with(&place, options);
    let sfn = Endpoint(Client::new(&server.step_functions));
    let context = json!({ "QueryLanguage": "JSONata", "StartAt": "P", "States": { "P": { "Type": "Pass", "End": true,
        "Output": "{% [$states.context.Execution.Id, $states.context.StateMachine.Id] %}" } } });
    let machine = sfn.create("here", &context.to_string(), "STANDARD");
    assert_eq!(machine, "arn:aws:states:eu-west-1:123456789012:stateMachine:here");
    let start = json!({ "stateMachineArn": machine, "name": "one" });
    let arn = sfn.gives("StartExecution", &start)["executionArn"].clone();
    assert_eq!(arn, "arn:aws:states:eu-west-1:123456789012:execution:here:one");
    let output: Value = serde_json::from_str(sfn.ended(&arn)["output"].as_str().unwrap()).unwrap();
    assert_eq!(output, json!([arn, machine]));
    let activity = sfn.gives("CreateActivity", &json!({ "name": "work" }));
    assert_eq!(activity["activityArn"], "arn:aws:states:eu-west-1:123456789012:activity:work");
    let machines = sfn.gives("ListStateMachines", &json!({}))["stateMachines"].clone();
    let template = "arn:aws:states:eu-west-1:123456789012:stateMachine:RecordsStateMachine";
    assert!(machines.as_array().unwrap().iter().any(|machine| machine["stateMachineArn"] == template));
    let described = sfn.gives("DescribeStateMachine", &json!({ "stateMachineArn": template }));
    let text = described["definition"].as_str().unwrap();
    assert!(text.contains("arn:aws:lambda:eu-west-1:123456789012:function:ValidateSchemaFunction"));
    assert!(!text.contains(":local:") && !text.contains("000000000000"), "{text}");
    let api = Client::new(&server.base);
    let batch = api.send("application/json", br#"[{"name":"A","email":"a@region.example","optIn":true}]"#);
    let ended = api.ended(&batch);
    assert_eq!(ended["outcomes"]["saved"], 1, "{ended}");
    assert!(
        ended["executionArn"]
            .as_str()
            .unwrap()
            .starts_with("arn:aws:states:eu-west-1:123456789012:execution:")
    );
    drop(server);
    // Another region later: what was made before is found under the ARN that it has.
    let server = Server::start(&place);
    let sfn = Endpoint(Client::new(&server.step_functions));
    assert_eq!(sfn.ended(&arn)["status"], "SUCCEEDED");
    let again =
        sfn.gives("StartExecution", &json!({ "stateMachineArn": machine, "name": "two" }))["executionArn"]
            .clone();
    assert_eq!(again, "arn:aws:states:eu-west-1:123456789012:execution:here:two");
    for (option, value) in [("--region", "EU West"), ("--region", ""), ("--account", "12")] {
        place.run(["serve", option, value]).check(2, &[option]);
    }
}
