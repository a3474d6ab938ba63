//! The stack that the cases are played on, where one is named.

use std::{collections::BTreeMap, fs};

/// A deployed stack.
pub(crate) struct Stack {
    /// Its address, without `/records`.
    pub(crate) base: String,
    /// The address of its REST API, which has Segment's doors.
    pub(crate) segment: Option<String>,
    /// A name for this run that no run had before.
    pub(crate) run: String,
    /// Where it may send to, its parameter `AllowedDestinations`: a `crmflow sink`, and two addresses of this machine
    /// where nobody listens.
    pub(crate) allowed: Option<[String; 3]>,
    /// By name, the cases that it cannot do, and why.
    pub(crate) skipped: BTreeMap<String, String>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where these tests are configured and need the time"
)]
pub(crate) fn deployed() -> Option<Stack> {
    let stack = std::env::var("AWS_SAM_STACK_NAME").ok()?;
    let base = std::env::var("CRMFLOW_API");
    let base = base.unwrap_or_else(|_| panic!("CRMFLOW_API must hold the APIEndpoint of the stack {stack}"));
    let skipped = std::env::var("CRMFLOW_SKIPPED").map(|file| fs::read_to_string(file).unwrap());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Some(Stack {
        base: base.trim_end_matches("/records").to_owned(),
        segment: std::env::var("CRMFLOW_SEGMENT").ok(),
        run: format!("{:x}", now.as_millis()),
        allowed: std::env::var("CRMFLOW_ALLOWED").ok().map(|allowed| {
            let addresses: Vec<_> = allowed.split(',').map(ToOwned::to_owned).collect();
            addresses
                .try_into()
                .unwrap_or_else(|_| panic!("CRMFLOW_ALLOWED must hold three addresses: {allowed}"))
        }),
        skipped: skipped.map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default(),
    })
}
