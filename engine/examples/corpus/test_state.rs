//! Tests one state as its case requests, and compares the answer.

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use states::{Entry, Input, TestSite, TestStateAnswer, TestStateError, TestStateRequest, test_state};

use crate::compare::Comparator;
use crate::mock::Mock;
use crate::{Difference, definition};

pub(crate) fn check(case: &Json) -> Result<(), Difference> {
    let expected = &case["expected"];
    let found = match answer(case) {
        Ok(answer) => serde_json::to_value(answer).unwrap(),
        Err(error) if expected["error"].is_string() => {
            json!({ "status": "API_ERROR", "error": error.name(), "cause": error.message() })
        }
        // Some cases contain the SDK's message for the error.
        Err(error) => {
            let cause = format!(
                "An error occurred ({}) when calling the TestState operation: {}",
                error.name(),
                error.message()
            );
            json!({ "status": "API_ERROR", "cause": cause })
        }
    };
    let compare = Comparator::new(case);
    let differs = |name: &str| compare.first(name, &expected[name], &found[name]);
    let difference = differs("status").map(Difference::Status);
    let difference = difference.or_else(|| differs("output").or(differs("error")).map(Difference::Output));
    let difference = difference.or_else(|| differs("cause").map(Difference::Cause));
    let rest = || differs("nextState").or_else(|| differs("inspectionData"));
    difference.or_else(|| rest().map(Difference::History)).map_or(Ok(()), Err)
}

fn answer(case: &Json) -> Result<TestStateAnswer, TestStateError> {
    let now: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
    let mut arguments = case["test_state_args"].clone();
    arguments["definition"] = definition(case).into();
    if !case["input"].is_null() {
        arguments["input"] = case["input"].to_string().into();
    }
    // The recorder omitted roles. A task without a mock was tested without a role.
    if !arguments["mock"].is_null() || !case["mock"].is_null() || case["tier"] != "D" {
        arguments["roleArn"] = "arn:aws:iam::111111111111:role/role".into();
    }
    let request: TestStateRequest = serde_json::from_value(arguments).unwrap();
    let site = TestSite { arn: "arn:aws:states:us-east-1:111111111111".into(), seed: 1 };
    let mut test = test_state(&request, &site, &|_| Ok(()), now)?;
    let mut mock = Mock::new(case);
    loop {
        if let Some(answer) = test.answer() {
            return answer;
        }
        let entry = match test.task() {
            Some(task) => {
                let result = mock.answer(&task);
                Entry { at: now, inputs: vec![Input::TaskDone { task: task.id, result }] }
            }
            None => Entry { at: test.next_due().unwrap(), inputs: Vec::new() },
        };
        test.step(&entry);
    }
}
