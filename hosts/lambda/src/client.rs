//! One HTTPS client for DynamoDB, Step Functions and S3: HTTP/1.1 over rustls with ring. The SDK's own client supports
//! HTTP/2 too and reads the system's certificates, which costs a function half a megabyte and milliseconds of its start.

use std::{error::Error, time::Duration};

use async_trait::async_trait;
use aws_sdk_dynamodb::config::{
    Credentials, Region, RuntimeComponents, SharedCredentialsProvider, SharedHttpClient,
    timeout::TimeoutConfig,
};
use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient, HttpConnector as SdkConnector, HttpConnectorFuture, HttpConnectorSettings,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    shared::IntoShared,
};
use aws_smithy_types::body::SdkBody;
use destinations::outbound::tls_roots;
use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, Error as ClientError, connect::HttpConnector},
    rt::TokioExecutor,
};
use object_store::{
    ClientOptions,
    client::{
        HttpClient as ObjectClient, HttpConnector as ObjectConnector, HttpError, HttpErrorKind,
        HttpRequest as ObjectRequest, HttpResponse as ObjectResponse, HttpResponseBody, HttpService,
    },
};

use crate::config::{Config, Missing};

/// Maximum time to open a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum time for the answer of a store.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// The settings of every AWS client.
#[derive(Clone, Debug)]
pub struct Aws {
    /// The region.
    pub region: Region,
    /// The function's role.
    pub credentials: SharedCredentialsProvider,
    /// The address of AWS, if it is not the usual one.
    pub endpoint: Option<String>,
    /// The client below.
    pub http: SharedHttpClient,
    /// Maximum time of one attempt.
    pub timeouts: TimeoutConfig,
}

impl Aws {
    /// The settings of the environment.
    pub fn new(config: &Config) -> Result<Self, Missing> {
        let [key, secret, token] = &config.credentials;
        let token = token.get().ok().map(ToOwned::to_owned);
        let credentials = Credentials::new(key.get()?, secret.get()?, token, None, "environment");
        Ok(Self {
            region: Region::new(config.region.get()?.to_owned()),
            credentials: SharedCredentialsProvider::new(credentials),
            endpoint: config.endpoint.clone(),
            http: Https::new().into_shared(),
            timeouts: TimeoutConfig::builder().operation_attempt_timeout(ANSWER_TIMEOUT).build(),
        })
    }
}

/// The client.
#[derive(Clone, Debug)]
pub struct Https(Client<HttpsConnector<HttpConnector>, SdkBody>);

impl Https {
    /// A client without connections.
    pub fn new() -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        // An emulator has no TLS.
        tcp.enforce_http(false);
        #[expect(
            clippy::expect_used,
            reason = "ring has cipher suites for each version of TLS that rustls speaks"
        )]
        let tls = tls_roots::config(tls_roots::roots()).expect("ring suits rustls");
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let https = https.wrap_connector(tcp);
        Self(Client::builder(TokioExecutor::new()).build(https))
    }
}

impl Default for Https {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpClient for Https {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl SdkConnector for Https {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let response = client.request(request).await.map_err(|error| ConnectorError::io(error.into()))?;
            HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

impl ObjectConnector for Https {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<ObjectClient> {
        Ok(ObjectClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Https {
    async fn call(&self, request: ObjectRequest) -> Result<ObjectResponse, HttpError> {
        let answer = self.0.request(request.map(SdkBody::from_body_1_x));
        let response = match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(response) => response.map_err(failure)?,
            Err(late) => return Err(HttpError::new(HttpErrorKind::Timeout, late)),
        };
        let (parts, body) = response.into_parts();
        let body = body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error));
        Ok(ObjectResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

fn failure(error: ClientError) -> HttpError {
    let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Interrupted };
    let cause: Box<dyn Error + Send + Sync> = error.into();
    HttpError::new_boxed(kind, cause)
}
