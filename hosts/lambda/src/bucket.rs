//! The objects: one bucket on S3. A returned put is durable there, also for staging files.

use std::{sync::Arc, time::Duration};

use kernel::Objects;
use object_store::{
    RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
};

use crate::{client::Https, config::Config};

/// Maximum number and time of repetitions of a call that S3 throttles (SlowDown) or fails. A step has 25 seconds, and its
/// machine retries it for minutes.
const MAX_RETRIES: usize = 10;
const RETRY_TIMEOUT: Duration = Duration::from_secs(15);

/// The bucket of the configuration.
pub fn bucket(config: &Config) -> Result<Arc<AmazonS3>, lambda_runtime::Error> {
    let [key, secret, token] = &config.credentials;
    let retry = RetryConfig { max_retries: MAX_RETRIES, retry_timeout: RETRY_TIMEOUT, ..Default::default() };
    let mut builder = AmazonS3Builder::new()
        .with_retry(retry)
        .with_http_connector(Https::new())
        .with_region(config.region.get()?)
        .with_access_key_id(key.get()?)
        .with_secret_access_key(secret.get()?)
        .with_bucket_name(config.bucket.get()?);
    if let Ok(token) = token.get() {
        builder = builder.with_token(token);
    }
    if let Some(endpoint) = &config.endpoint {
        // An emulator: one address for all buckets, and no TLS.
        builder =
            builder.with_endpoint(endpoint).with_allow_http(true).with_virtual_hosted_style_request(false);
    }
    Ok(Arc::new(builder.build()?))
}

/// The objects in the bucket of the configuration.
pub fn objects(config: &Config) -> Result<Objects, lambda_runtime::Error> {
    let bucket = bucket(config)?;
    Ok(Objects::new(bucket.clone(), bucket))
}
