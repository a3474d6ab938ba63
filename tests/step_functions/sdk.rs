//! The Step Functions endpoint as AWS's SDK for Rust sees it: every answer is read by its types.

use aws_sdk_sfn::{
    Client,
    config::{BehaviorVersion, Credentials, Region, RuntimeComponents},
    error::ProvideErrorMetadata,
    types::{ExecutionStatus, HistoryEventType, SyncExecutionStatus, Tag},
};
use aws_smithy_runtime_api::{
    client::{
        http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    http::StatusCode,
    shared::IntoShared,
};
use aws_smithy_types::body::SdkBody;

use crate::harness::program::{PATIENCE, Place, Server};

const ROLE: &str = "arn:aws:iam::000000000000:role/sdk";
const PASS: &str = r#"{"QueryLanguage": "JSONata", "StartAt": "A", "States":
    {"A": {"Type": "Pass", "Output": "{% {'n': $states.input.n + 1} %}", "End": true}}}"#;

/// Plain HTTP, on the client that the other tests use. The SDK puts `sync-` before the host of some calls;
/// here all calls go to one host.
#[derive(Clone, Debug)]
struct Plain(ureq::Agent);

impl HttpClient for Plain {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        self.clone().into_shared()
    }
}

impl HttpConnector for Plain {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let agent = self.0.clone();
        let uri = request.uri().replace("http://sync-", "http://");
        let mut post = agent.post(uri);
        for (name, value) in request.headers().iter().filter(|(name, _)| *name != "host") {
            post = post.header(name, value);
        }
        let body = request.body().bytes().unwrap_or_default().to_vec();
        HttpConnectorFuture::new(async move {
            let answered = tokio::task::spawn_blocking(move || post.send(&body[..])).await.unwrap();
            let mut answer = answered.map_err(|error| ConnectorError::io(error.into()))?;
            let status = StatusCode::try_from(answer.status().as_u16()).unwrap();
            let body = answer.body_mut().read_to_vec().unwrap();
            Ok(HttpResponse::new(status, SdkBody::from(body)))
        })
    }
}

fn client(server: &Server) -> Client {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
    let config = aws_sdk_sfn::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
        .endpoint_url(&server.step_functions)
        .http_client(Plain(agent.build().into()));
    Client::from_conf(config.build())
}

async fn execution(sfn: &Client, machine: &str) {
    let started = sfn.start_execution().state_machine_arn(machine).name("one").input(r#"{"n": 1}"#);
    let arn = started.send().await.unwrap().execution_arn;
    let described = loop {
        let described = sfn.describe_execution().execution_arn(&arn).send().await.unwrap();
        if described.status != ExecutionStatus::Running {
            break described;
        }
    };
    assert_eq!(described.output.as_deref(), Some(r#"{"n":2}"#));
    let mut pages = sfn.get_execution_history().execution_arn(&arn).into_paginator().page_size(2).send();
    let mut kinds = Vec::new();
    while let Some(page) = pages.next().await {
        kinds.extend(page.unwrap().events.into_iter().map(|event| event.r#type));
    }
    use HistoryEventType::{ExecutionStarted, ExecutionSucceeded, PassStateEntered, PassStateExited};
    assert_eq!(kinds, [ExecutionStarted, PassStateEntered, PassStateExited, ExecutionSucceeded]);
    let taken = sfn.start_execution().state_machine_arn(machine).name("one").send().await.unwrap_err();
    assert!(taken.into_service_error().is_execution_already_exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_for_rust_reads_every_answer() {
    let place = Place::new();
    let server = Server::start(&place);
    let sfn = client(&server);
    let tag = Tag::builder().key("k").value("v").build();
    let made = sfn.create_state_machine().name("sdk").definition(PASS).role_arn(ROLE).tags(tag);
    let machine = made.send().await.unwrap().state_machine_arn;
    let tags = sfn.list_tags_for_resource().resource_arn(&machine).send().await.unwrap();
    assert_eq!(tags.tags()[0].key(), Some("k"));
    execution(&sfn, &machine).await;
    let express = sfn.create_state_machine().name("sdk-express").definition(PASS).role_arn(ROLE);
    let express = express.r#type("EXPRESS".into()).send().await.unwrap().state_machine_arn;
    let ran = sfn.start_sync_execution().state_machine_arn(express).input(r#"{"n": 41}"#);
    let ran = ran.send().await.unwrap();
    assert_eq!((ran.status, ran.output.as_deref()), (SyncExecutionStatus::Succeeded, Some(r#"{"n":42}"#)));
    let refused = sfn.create_state_machine().name("bad").definition("{}").role_arn(ROLE).send().await;
    assert!(refused.unwrap_err().into_service_error().is_invalid_definition());
    sfn.delete_state_machine().state_machine_arn(&machine).send().await.unwrap();
    let gone = sfn.describe_state_machine().state_machine_arn(&machine).send().await.unwrap_err();
    assert_eq!(gone.message(), Some(format!("State Machine Does Not Exist: '{machine}'").as_str()));
    let unknown = sfn.list_state_machine_aliases().state_machine_arn(&machine).send().await.unwrap_err();
    assert_eq!(unknown.code(), Some("UnknownOperationException"));
}
