//! One HTTPS client for DynamoDB, Step Functions and S3: one TLS stack in a binary is enough, and it loads
//! the root certificates when the first call needs them, not when the function starts.

use std::{sync::OnceLock, time::Duration};

use async_trait::async_trait;
use aws_sdk_dynamodb::config::{
    Credentials, Region, SharedCredentialsProvider, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_smithy_http_client::{
    Builder, Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector},
    orchestrator::HttpRequest,
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector as ObjectConnector, HttpError, HttpErrorKind, HttpRequest as ObjectRequest,
        HttpResponse, HttpResponseBody, HttpService,
    },
};

use crate::config::{Config, Missing};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an answer may take to begin. A synchronous execution takes up to five minutes.
const ANSWER: Duration = Duration::from_secs(310);
/// How often a call is made before its failure is the step's: throttling passes.
const ATTEMPTS: u32 = 5;

fn tls() -> Provider {
    Provider::Rustls(CryptoMode::Ring)
}

/// What every AWS client is made with.
#[derive(Clone, Debug)]
pub struct Aws {
    /// The region.
    pub region: Region,
    /// The function's role.
    pub credentials: SharedCredentialsProvider,
    /// Where AWS is, if not in its usual place.
    pub endpoint: Option<String>,
    /// The client below.
    pub http: SharedHttpClient,
    /// What is tried again.
    pub retry: RetryConfig,
    /// How long things may take.
    pub timeouts: TimeoutConfig,
}

impl Aws {
    /// What the environment says.
    pub fn new(config: &Config) -> Result<Self, Missing> {
        let [key, secret, token] = &config.credentials;
        let token = token.get().ok().map(ToOwned::to_owned);
        let credentials = Credentials::new(key.get()?, secret.get()?, token, None, "environment");
        Ok(Self {
            region: Region::new(config.region.get()?.to_owned()),
            credentials: SharedCredentialsProvider::new(credentials),
            endpoint: config.endpoint.clone(),
            http: Builder::new().tls_provider(tls()).build_https(),
            retry: RetryConfig::standard().with_max_attempts(ATTEMPTS),
            timeouts: TimeoutConfig::builder().connect_timeout(CONNECT).read_timeout(ANSWER).build(),
        })
    }
}

/// Makes the client of an object store, which then uses the same stack.
#[derive(Debug, Default)]
pub struct ForObjects;

impl ObjectConnector for ForObjects {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service::default()))
    }
}

#[derive(Debug, Default)]
struct Service(OnceLock<SharedHttpConnector>);

impl Service {
    fn connector(&self) -> &SharedHttpConnector {
        self.0.get_or_init(|| {
            let settings =
                HttpConnectorSettings::builder().connect_timeout(CONNECT).read_timeout(ANSWER).build();
            SharedHttpConnector::new(
                Connector::builder().tls_provider(tls()).connector_settings(settings).build(),
            )
        })
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: ObjectRequest) -> Result<HttpResponse, HttpError> {
        let request = HttpRequest::try_from(request.map(SdkBody::from_body_1_x))
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let response = self.connector().call(request).await.map_err(failure)?;
        let (parts, body) = response
            .try_into_http1x()
            .map_err(|error| HttpError::new(HttpErrorKind::Decode, error))?
            .into_parts();
        let body = http_body_util::BodyExt::map_err(body, |error| {
            HttpError::new_boxed(HttpErrorKind::Interrupted, error)
        });
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

/// Which failures may be tried again.
fn failure(error: ConnectorError) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_io() {
        HttpErrorKind::Connect
    } else if error.is_user() {
        HttpErrorKind::Unknown
    } else {
        HttpErrorKind::Request
    };
    HttpError::new(kind, error)
}
