//! crmflow's functions, by ARN and by `lambda:invoke`.

use std::time::Duration;

use serde_json::json;
use states::{Failure, Value, reserved};
use template::Site;

use super::{
    arguments::{Arguments, Takes},
    service::{LAMBDA, Refusal},
};
use crate::{functions::Function, resource::Flavor, services::Services};

const INVOKE: Takes = Takes {
    call: "lambda:invoke",
    required: &["FunctionName"],
    optional: &["ClientContext", "InvocationType", "LogType", "Payload", "Qualifier"],
    not_here: &[],
};

/// How long Lambda waits before it calls a function again that failed on an event.
const EVENT_RETRY_DELAYS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];

/// Calls a function that a task names by its ARN.
pub(super) async fn call(function: Function, input: &Value, services: &Services) -> Result<Value, Failure> {
    let unreadable = |error: serde_json::Error| Failure::new(reserved::RUNTIME, error.to_string());
    let input = serde_json::to_vec(input).map_err(unreadable)?;
    let output = services.call(function, input).await.map_err(|error| failure(function, &error))?;
    serde_json::from_slice(&output).map_err(unreadable)
}

/// `lambda:invoke`. The optimized flavor fails when the function does and gives its output as JSON; the SDK
/// flavor answers in both cases, with a text.
pub(super) async fn invoke(arguments: &Value, flavor: Flavor, services: &Services) -> Result<Value, Failure> {
    let arguments = Arguments::check(arguments, &INVOKE)?;
    arguments.only("LogType", "None")?;
    let function = function(&arguments, flavor, services)?;
    let input = payload(&arguments, flavor)?;
    match arguments.text("InvocationType")?.as_deref() {
        None | Some("RequestResponse") => {}
        Some("Event") => {
            tokio::spawn(on_event(function, input, services.clone()));
            return Ok(Value::from([("StatusCode", 202.into())]));
        }
        Some("DryRun") => return Ok(Value::from([("StatusCode", 204.into())])),
        Some(_) => return Err(arguments.malformed("InvocationType")),
    }
    let (text, failed) = match services.call(function, input).await {
        Ok(output) => (String::from_utf8_lossy(&output).into_owned(), false),
        Err(error) => {
            let failure = failure(function, &error);
            if flavor == Flavor::Optimized {
                return Err(failure);
            }
            (failure.cause.unwrap_or_default(), true)
        }
    };
    let payload = match flavor {
        Flavor::Optimized => Value::parse(&text).unwrap_or_else(|_| Value::string(text)),
        Flavor::Sdk => Value::string(text),
    };
    let members = [
        ("ExecutedVersion", Some("$LATEST".into())),
        ("FunctionError", failed.then(|| "Unhandled".into())),
        ("Payload", Some(payload)),
        ("StatusCode", Some(200.into())),
    ];
    Ok(members.into_iter().filter_map(|(name, value)| Some((name.into(), value?))).collect())
}

/// The function that `FunctionName` names: by name, ARN or a part of one.
fn function(arguments: &Arguments<'_>, flavor: Flavor, services: &Services) -> Result<Function, Failure> {
    let given = arguments.required("FunctionName")?;
    let partial = given.split_once(":function:").filter(|(account, _)| template::account(account).is_ok());
    let whole =
        template::resource_of(&given, "lambda").and_then(|resource| resource.strip_prefix("function:"));
    let name = whole.or(partial.map(|(_, name)| name)).unwrap_or(&given);
    let (name, in_name) = name.split_once(':').map_or((name, None), |(name, version)| (name, Some(version)));
    let qualifier = arguments.text("Qualifier")?;
    let version = in_name.or(qualifier.as_deref()).unwrap_or("$LATEST");
    let found = (services.host.functions.find)(name).filter(|_| version == "$LATEST");
    found.ok_or_else(|| {
        let arn = if name.starts_with("arn:") {
            name.to_owned()
        } else {
            Site::here().arn("lambda", &format!("function:{name}"))
        };
        let refusal = Refusal {
            status: 404,
            code: "ResourceNotFoundException",
            exception: Some("ResourceNotFoundException"),
            message: format!("Function not found: {arn}:{version}"),
        };
        LAMBDA.failure(flavor, &refusal)
    })
}

/// The bytes that the function gets. A text is JSON already; AWS sends it as it is.
fn payload(arguments: &Arguments<'_>, flavor: Flavor) -> Result<Vec<u8>, Failure> {
    let text = match arguments.field("Payload") {
        None => "{}".to_owned(),
        Some(Value::String(text)) => {
            if let Err(error) = Value::parse(text) {
                let refusal = Refusal {
                    status: 400,
                    code: "InvalidRequestContentException",
                    exception: Some("InvalidRequestContentException"),
                    message: format!("Could not parse request body into json: {error}"),
                };
                return Err(LAMBDA.failure(flavor, &refusal));
            }
            text.to_string()
        }
        Some(json) => json.to_string(),
    };
    Ok(text.into_bytes())
}

/// An asynchronous call: after a failure there are two retries, as Lambda does.
async fn on_event(function: Function, input: Vec<u8>, services: Services) {
    let mut pauses = EVENT_RETRY_DELAYS.into_iter();
    while let Err(error) = services.call(function, input.clone()).await {
        failure(function, &error);
        let Some(pause) = pauses.next() else { return };
        tokio::time::sleep(pause).await;
    }
}

/// The failure that Lambda gives for a failed function, so that a machine catches the same here and there. It is logged
/// here, once: a machine that catches it continues.
fn failure(function: Function, error: &kernel::Error) -> Failure {
    tracing::error!(
        function.name = function.name,
        error.name = error.name(),
        "{} failed: {error}",
        function.name
    );
    let cause = json!({ "errorType": error.name(), "errorMessage": error.to_string() });
    Failure::new(error.name(), cause.to_string())
}
