//! `aws-sdk:s3:getObject` and `putObject`: objects of the template's bucket.

use kernel::{Error, Objects};
use md5::{Digest, Md5};
use object_store::path::Path;
use states::{Failure, Value, reserved};
use template::Template;

use super::{
    arguments::{Arguments, Takes},
    service::{Refusal, S3},
};
use crate::resource::Flavor;

const GET_OBJECT: Takes = Takes {
    call: "s3:getObject",
    required: &["Bucket", "Key"],
    optional: &["ExpectedBucketOwner"],
    not_here: &[
        "ChecksumMode",
        "IfMatch",
        "IfModifiedSince",
        "IfNoneMatch",
        "IfUnmodifiedSince",
        "PartNumber",
        "Range",
        "RequestPayer",
        "ResponseCacheControl",
        "ResponseContentDisposition",
        "ResponseContentEncoding",
        "ResponseContentLanguage",
        "ResponseContentType",
        "ResponseExpires",
        "SseCustomerAlgorithm",
        "SseCustomerKey",
        "SseCustomerKeyMD5",
        "VersionId",
    ],
};
const PUT_OBJECT: Takes = Takes {
    call: "s3:putObject",
    required: &["Bucket", "Key"],
    optional: &["Body", "ExpectedBucketOwner"],
    not_here: &[
        "Acl",
        "BucketKeyEnabled",
        "CacheControl",
        "ContentDisposition",
        "ContentEncoding",
        "ContentLanguage",
        "ContentLength",
        "ContentMD5",
        "ContentType",
        "Expires",
        "IfMatch",
        "IfNoneMatch",
        "Metadata",
        "ServerSideEncryption",
        "SsekmsKeyId",
        "StorageClass",
        "Tagging",
        "WebsiteRedirectLocation",
    ],
};

/// An object with more bytes is no result of a task; it is not read.
const MAX_OBJECT_BYTES: u64 = 256 * 1024;

/// Gives an object's content as a text.
pub(super) async fn get_object(
    arguments: &Value,
    template: &Template,
    objects: &Objects,
) -> Result<Value, Failure> {
    let arguments = Arguments::check(arguments, &GET_OBJECT)?;
    let key = place(&arguments, template)?;
    if objects.size(&key).await.map_err(|error| failure(&error))? > MAX_OBJECT_BYTES {
        const CAUSE: &str = "The state/task 'aws-sdk:s3' returned a result with a size exceeding the maximum \
                             number of bytes service limit.";
        return Err(Failure::new(reserved::DATA_LIMIT_EXCEEDED, CAUSE));
    }
    let (bytes, written_at) = objects.get_dated(&key).await.map_err(|error| failure(&error))?;
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Err(arguments.not_here("an object that is not UTF-8"));
    };
    Ok(Value::from([
        ("AcceptRanges", "bytes".into()),
        ("Body", text.into()),
        ("ContentLength", Value::from(u64::try_from(bytes.len()).unwrap_or(u64::MAX))),
        ("ETag", etag(&bytes)),
        ("LastModified", format!("{written_at:.0}").as_str().into()),
        ("Metadata", Value::from([])),
    ]))
}

/// Puts an object: a text as it is, any other JSON as its text.
pub(super) async fn put_object(
    arguments: &Value,
    template: &Template,
    objects: &Objects,
) -> Result<Value, Failure> {
    let arguments = Arguments::check(arguments, &PUT_OBJECT)?;
    let key = place(&arguments, template)?;
    let body = match arguments.field("Body") {
        None => String::new(),
        Some(Value::String(text)) => text.to_string(),
        Some(json) => json.to_string(),
    };
    let tag = etag(body.as_bytes());
    objects.put(&key, body.into_bytes()).await.map_err(|error| failure(&error))?;
    Ok(Value::from([("ETag", tag)]))
}

/// The key, after a check that the bucket is the template's. S3 accepts keys that are no paths; files do not.
fn place(arguments: &Arguments<'_>, template: &Template) -> Result<String, Failure> {
    let (bucket, key) = (arguments.required("Bucket")?, arguments.required("Key")?);
    if !template.is_bucket(&bucket) {
        return Err(refusal("NoSuchBucketException", "The specified bucket does not exist"));
    }
    match Path::parse(&*key) {
        Ok(path) if !key.is_empty() && path.as_ref() == &*key => Ok(key.into_owned()),
        _ => Err(arguments.not_here(format_args!("the key '{key}', which is no path of a file"))),
    }
}

fn failure(error: &Error) -> Failure {
    match error {
        Error::ObjectMissing(_) => refusal("NoSuchKeyException", "The specified key does not exist."),
        error => S3.unavailable(Flavor::Sdk, error),
    }
}

fn refusal(exception: &'static str, message: &str) -> Failure {
    let refusal =
        Refusal { status: 404, code: exception, exception: Some(exception), message: message.to_owned() };
    S3.failure(Flavor::Sdk, &refusal)
}

/// The tag that S3 gives an object that is put whole.
fn etag(bytes: &[u8]) -> Value {
    let digits: String = Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Value::string(format!("\"{digits}\""))
}
