//! By what a delivery failed: what lists and redrives select by.

use std::str::FromStr;

use crate::model::Attempt;

/// By what a delivery failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An answer with a status of this hundred: 4 or 5, `4xx`.
    Class(u16),
    /// An answer with this status.
    Status(u16),
    /// There was no answer: `network`.
    Network,
    /// The error or the reason has this name: `timeout`, `tls`, `mapping`.
    Named(String),
}

/// What there is when there was no answer (see [`delivery::Attempt::error`]).
const NETWORK: [&str; 5] = ["timeout", "connect", "reset", "dns", "tls"];

impl Failure {
    /// Whether a delivery failed by this, given what was tried, and why it is not tried again.
    pub(crate) fn is_of(&self, attempts: &[Attempt], reason: Option<&str>) -> bool {
        let last = attempts.last();
        let status = last.and_then(|attempt| attempt.status);
        let error = last.and_then(|attempt| attempt.error.as_deref());
        match self {
            Self::Class(hundred) => status.is_some_and(|status| status / 100 == *hundred),
            Self::Status(wanted) => status == Some(*wanted),
            Self::Network => error.is_some_and(|error| NETWORK.contains(&error)),
            Self::Named(name) => error == Some(name) || reason == Some(name),
        }
    }
}

impl FromStr for Failure {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "an error is a status like 404, a class like 5xx, network, or a name like timeout";
        match text.as_bytes() {
            b"network" => Ok(Self::Network),
            [hundred @ b'1'..=b'5', b'x', b'x'] => Ok(Self::Class(u16::from(hundred - b'0'))),
            [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9'] => text.parse().map(Self::Status).map_err(|_| RULE),
            [b'a'..=b'z', ..] if text.len() <= 32 => {
                let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
                if text.bytes().all(fits) { Ok(Self::Named(text.to_owned())) } else { Err(RULE) }
            }
            _ => Err(RULE),
        }
    }
}
