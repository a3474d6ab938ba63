//! The endpoints.

use serde::{Deserialize, Serialize};

/// The endpoints that destinations of the seed have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Endpoint {
    #[serde(rename = "analytics-1")]
    Analytics1,
    #[serde(rename = "analytics-2")]
    Analytics2,
    #[serde(rename = "comms")]
    Comms,
}

impl Endpoint {
    pub(crate) const ALL: [Self; 3] = [Self::Analytics1, Self::Analytics2, Self::Comms];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Analytics1 => "analytics-1",
            Self::Analytics2 => "analytics-2",
            Self::Comms => "comms",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.name() == name)
    }
}
