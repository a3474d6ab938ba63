//! Mock configuration files: their format and their responses.

use states::{Failure, MockFile, Value};

#[test]
fn responses_depend_on_the_call_number() {
    let file = MockFile::parse(
        r#"{
          "StateMachines": { "Orders": { "TestCases": { "Happy": { "Charge": "Paid" }, "Retry": { "Charge": "Later", "Ship": "Paid" } } } },
          "MockedResponses": {
            "Paid": { "0": { "Return": null } },
            "Later": { "0": { "Throw": { "Error": "Busy", "Cause": "Try again." } }, "1-2": { "Return": { "n": 1 } } }
          }
        }"#,
    )
    .unwrap();
    assert_eq!(file.machines().collect::<Vec<_>>(), ["Orders"]);
    assert_eq!(file.test_cases("Orders").collect::<Vec<_>>(), ["Happy", "Retry"]);
    assert!(file.case("Orders", "Sad").is_none() && file.case("Other", "Happy").is_none());
    let mut case = file.case("Orders", "Retry").unwrap();
    assert!(case.has("Ship") && !case.has("Pack"));
    assert_eq!(case.answer("Pack"), None);
    assert_eq!(case.answer("Charge"), Some(Err(Failure::new("Busy", "Try again."))));
    let paid = Value::from([("n", Value::from(1))]);
    assert_eq!((case.answer("Charge"), case.answer("Charge")), (Some(Ok(paid.clone())), Some(Ok(paid))));
    let cause = "There is no mocked response for call 3 of the state 'Charge'";
    assert_eq!(case.answer("Charge"), Some(Err(Failure::new("States.Runtime", cause))));
    assert_eq!(file.case("Orders", "Happy").unwrap().answer("Charge"), Some(Ok(Value::Null)));
}

#[test]
fn an_error_needs_no_cause() {
    let file = MockFile::parse(
        r#"{
          "StateMachines": { "M": { "TestCases": { "T": { "A": "R" } } } },
          "MockedResponses": { "R": { "0": { "Throw": { "Error": "E" } } } }
        }"#,
    );
    let mut case = file.unwrap().case("M", "T").unwrap();
    assert_eq!(case.answer("A"), Some(Err(Failure::named("E"))));
}

#[test]
fn mock_file_errors_name_their_place() {
    for (file, problem) in [
        (
            r#"{ "StateMachines": { "M": { "TestCases": { "T": { "A": "R" } } } } }"#,
            "there is no mocked response R",
        ),
        (
            r#"{ "MockedResponses": { "R": { "x": { "Return": 1 } } } }"#,
            "R/x: a call is a number from 0, or a range of them like 1-2",
        ),
        (
            r#"{ "MockedResponses": { "R": { "2-1": { "Return": 1 } } } }"#,
            "R/2-1: a call is a number from 0, or a range of them like 1-2",
        ),
        (
            r#"{ "MockedResponses": { "R": { "0-1": { "Return": 1 }, "1": { "Return": 1 } } } }"#,
            "R/1: the call has an answer already",
        ),
        (r#"{ "MockedResponses": { "R": { "0": {} } } }"#, "R/0: an answer has either 'Return' or 'Throw'"),
        (
            r#"{ "MockedResponses": { "R": { "0": { "Throw": { "Cause": "C" } } } } }"#,
            "missing field `Error` at line 1 column 62",
        ),
    ] {
        assert_eq!(MockFile::parse(file).unwrap_err().to_string(), problem, "{file}");
    }
}
