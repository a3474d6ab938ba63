//! Queues and the functions that they feed: nothing is taken twice while it is worked on, and nothing that fails
//! is lost or goes unseen.

use serde_json::{Value, json};

use super::stack::{resources, template};

const QUEUE: &str = "AWS::SQS::Queue";

/// AWS's advice for a queue that feeds a function: a message stays hidden six times as long as a call may take, so
/// that calls that were throttled can be made again before it is received anew.
const VISIBILITY: i64 = 6;

/// Every mapping of a queue to a function: the function's id, and the properties of the mapping.
fn mappings(template: &Value) -> Vec<(&str, &Value)> {
    let mut mappings = Vec::new();
    for (id, function) in resources(template, "AWS::Serverless::Function") {
        let events = function["Properties"]["Events"].as_object().into_iter().flatten();
        let queues = events.filter(|(_, event)| event["Type"] == "SQS");
        mappings.extend(queues.map(|(_, event)| (id, &event["Properties"])));
    }
    mappings
}

/// The id of the resource whose attribute is asked for.
fn named(value: &Value) -> &str {
    value["Fn::GetAtt"][0].as_str().expect("an attribute of a resource")
}

#[test]
fn a_consumer_owns_its_queue_and_reports_failures() {
    let template = template();
    let default = &template["Globals"]["Function"]["Timeout"];
    let mut fed = Vec::new();
    for (id, mapping) in mappings(&template) {
        assert_eq!(mapping["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]), "{id}");
        assert!(mapping["ScalingConfig"]["MaximumConcurrency"].as_i64() >= Some(2), "{id}");
        let queue = named(&mapping["Queue"]);
        let of_queue = &template["Resources"][queue]["Properties"];
        let timeout = template["Resources"][id]["Properties"].get("Timeout").unwrap_or(default);
        let hidden = of_queue["VisibilityTimeout"].as_i64().expect("a visibility timeout");
        assert!(hidden >= VISIBILITY * timeout.as_i64().expect("a timeout"), "{queue} feeds {id}");
        fed.push(queue);
    }
    fed.sort_unstable();
    // A queue that is the end of another one's messages feeds nobody.
    let mut wanted: Vec<&str> = resources(&template, QUEUE)
        .filter(|(_, queue)| queue["Properties"].get("RedrivePolicy").is_some())
        .map(|(id, _)| id)
        .collect();
    wanted.sort_unstable();
    assert_eq!(fed, wanted);
}

#[test]
fn nothing_that_failed_goes_unseen() {
    let template = template();
    let alarms: Vec<&Value> =
        resources(&template, "AWS::CloudWatch::Alarm").map(|(_, alarm)| alarm).collect();
    let watched = |queue: &str, metric: &str| {
        alarms.iter().any(|alarm| {
            let of = &alarm["Properties"];
            let name = &of["Dimensions"][0];
            of["MetricName"] == metric
                && of["Namespace"] == "AWS/SQS"
                && name["Name"] == "QueueName"
                && name["Value"] == json!({ "Fn::GetAtt": [queue, "QueueName"] })
        })
    };
    for (id, queue) in resources(&template, QUEUE) {
        let properties = &queue["Properties"];
        assert_eq!(properties["SqsManagedSseEnabled"], true, "{id}");
        // Fourteen days: the longest there is.
        assert_eq!(properties["MessageRetentionPeriod"], 1_209_600, "{id}");
        match properties.get("RedrivePolicy") {
            Some(policy) => {
                let end = named(&policy["deadLetterTargetArn"]);
                assert!(template["Resources"][end]["Properties"].get("RedrivePolicy").is_none(), "{id}");
                assert!(watched(id, "ApproximateAgeOfOldestMessage"), "{id} may stand still");
            }
            None => assert!(watched(id, "ApproximateNumberOfMessagesVisible"), "{id} has no alarm"),
        }
    }
}
