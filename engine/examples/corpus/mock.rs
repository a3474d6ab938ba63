//! The mocked functions and services of a case.

use serde_json::{Value as Json, json};
use states::{Failure, MockCase, MockFile, TaskRequest, Value};

type Answer = Result<Value, Failure>;

/// The functions and services of a case.
pub(crate) struct Mock<'c> {
    functions: &'c Json,
    /// The states with responses in a mock file.
    states: Option<MockCase>,
}

impl<'c> Mock<'c> {
    pub(crate) fn new(case: &'c Json) -> Self {
        let mock = &case["mock"];
        let text = |name: &str| mock[name].as_str().unwrap_or_default();
        let file = MockFile::parse(&mock["mock_config"].to_string()).unwrap_or_default();
        let states = file.case(text("mock_state_machine"), text("mock_test_case"));
        Self { functions: &mock["lambda"], states }
    }

    pub(crate) fn answer(&mut self, task: &TaskRequest) -> Answer {
        let mocked = self.states.as_mut().and_then(|states| states.answer(&task.state));
        mocked.unwrap_or_else(|| self.function(&task.resource, &task.arguments))
    }

    fn function(&self, resource: &str, arguments: &Value) -> Answer {
        let invoke = resource.ends_with(":lambda:invoke");
        if !invoke && !resource.contains(":function:") {
            return Err(Failure::new("States.TaskFailed", format!("nothing stands for {resource}")));
        }
        let (arn, payload) = if invoke {
            let name = arguments.get("FunctionName").and_then(Value::as_str).unwrap_or_default();
            // As on AWS, a text is parsed as JSON, and a missing payload is an empty object.
            let payload = match arguments.get("Payload") {
                None | Some(Value::Null) => Value::from([]),
                Some(Value::String(text)) => {
                    Value::parse(text).unwrap_or_else(|_| text.to_string().as_str().into())
                }
                Some(payload) => payload.clone(),
            };
            (name, payload)
        } else {
            (resource, arguments.clone())
        };
        let name = arn.rsplit(':').next().unwrap_or_default();
        let own = name.replace('-', "_");
        let function = self.functions.get(name).or_else(|| self.functions.get(&own));
        let Some(function) = function else {
            let arn = format!("arn:aws:lambda:us-east-1:111111111111:function:{name}:$LATEST");
            let cause = format!(
                "Function not found: {arn} (Service: AWSLambda; Status Code: 404; Error Code: ResourceNotFoundException; Request ID: 0; Proxy: null)"
            );
            return Err(Failure::new("Lambda.ResourceNotFoundException", cause));
        };
        let result = behave(function, payload)?;
        let mut answer = json!({ "ExecutedVersion": "$LATEST", "Payload": result, "StatusCode": 200 });
        if arguments.get("LogType").and_then(Value::as_str) == Some("Tail") {
            answer["LogResult"] = json!("U1RBUlQ=");
        }
        Ok(if invoke { value(&answer) } else { result })
    }
}

/// A service's answer to the request of a callback or of a job.
pub(crate) fn submitted(task: &TaskRequest) -> Value {
    if task.resource.contains(":sqs:sendMessage") {
        return value(
            &json!({ "MD5OfMessageBody": "3bcb6e8e", "MessageId": "11112222-3333-4444-5555-666677778888" }),
        );
    }
    Value::from([])
}

fn behave(function: &Json, payload: Value) -> Answer {
    Ok(match function["behaviour"].as_str().unwrap_or_default() {
        "raise" => {
            let cause = json!({
                "errorMessage": function["errorMessage"], "errorType": function["errorType"],
                "requestId": "7ab1e0a2-0000-4000-8000-000000000000", "stackTrace": function["stackTrace"],
            });
            return Err(Failure::new(function["errorType"].as_str().unwrap_or_default(), cause.to_string()));
        }
        "constant" => value(&function["value"]),
        "large_string" => {
            let size = usize::try_from(function["size"].as_u64().unwrap_or_default()).unwrap_or_default();
            Value::string(function["char"].as_str().unwrap_or("a").repeat(size))
        }
        "format" => Value::string(format!("input-event-{}", payload.to_string().replace('"', "'"))),
        _ => payload,
    })
}

fn value(json: &Json) -> Value {
    Value::parse(&json.to_string()).unwrap_or_default()
}
