//! Failures, by which lists and redrives select deliveries.

use std::str::FromStr;

use crate::model::Attempt;

/// The failure of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A status of this class: 4 is `4xx`, 5 is `5xx`.
    Class(u16),
    /// This status.
    Status(u16),
    /// No response: `network`.
    Network,
    /// An error or a reason with this name: `timeout`, `tls`, `mapping`.
    Named(String),
}

/// The errors without a response (see [`Attempt::error`]).
const NETWORK: [&str; 5] = ["timeout", "connect", "reset", "dns", "tls"];

impl Failure {
    /// Whether this is the failure of a delivery with these attempts, and this reason for the end of its
    /// attempts.
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
