//! Region and account in the ARNs and addresses of this host.

use std::sync::OnceLock;

/// The site of this process. The command line sets it once, before anything is made or read; ARNs are made in too many
/// places for a parameter that never changes.
static HERE: OnceLock<Site> = OnceLock::new();

/// A region and an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The region: `local` by default.
    pub region: String,
    /// The account's twelve digits: zeros by default.
    pub account: String,
}

impl Default for Site {
    fn default() -> Self {
        Self { region: "local".to_owned(), account: "0".repeat(12) }
    }
}

impl Site {
    /// Makes this the site of the process. Only the first call counts.
    pub fn settle(self) {
        let _ = HERE.set(self);
    }

    /// The site of the process.
    pub fn here() -> &'static Self {
        HERE.get_or_init(Self::default)
    }

    /// The ARN of something that a service has here.
    pub fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{resource}", self.region, self.account)
    }

    /// The prefix of every ARN of Step Functions here, without the colon behind the account.
    pub fn states(&self) -> String {
        format!("arn:aws:states:{}:{}", self.region, self.account)
    }

    /// The address of a queue.
    pub fn queue_url(&self, name: &str) -> String {
        format!("https://sqs.{}.amazonaws.com/{}/{name}", self.region, self.account)
    }
}

/// Reads the name of a region.
pub fn region(text: &str) -> Result<String, String> {
    let is_sound = !text.is_empty()
        && text.len() <= 32
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if is_sound { Ok(text.to_owned()) } else { Err("a region is a name such as eu-west-1".to_owned()) }
}

/// Reads the number of an account.
pub fn account(text: &str) -> Result<String, String> {
    if is_account(text) { Ok(text.to_owned()) } else { Err("an account has twelve digits".to_owned()) }
}

pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The resource that an ARN of this service names, in any region and account.
pub fn resource_of<'a>(arn: &'a str, service: &str) -> Option<&'a str> {
    let mut parts = arn.splitn(6, ':');
    let head = [parts.next()?, parts.next()?, parts.next()?];
    let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    (head == ["arn", "aws", service] && !region.is_empty() && is_account(account)).then_some(resource)
}
