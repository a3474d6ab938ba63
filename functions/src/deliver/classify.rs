//! What an answer means for a delivery and its destination.

use super::breaker::Sign;

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is delivered.
    Done,
    /// The destination cannot take it now.
    Again,
    /// The destination is gone.
    Disable,
    /// The destination does not know us: somebody has to see to it.
    Pause,
    /// The destination does not want it.
    Final,
}

impl Verdict {
    /// What the status of an answer means; `None`: there was no answer.
    pub(super) fn new(status: Option<u16>) -> Self {
        match status {
            Some(200..=299) => Self::Done,
            Some(401 | 403) => Self::Pause,
            Some(410) => Self::Disable,
            None | Some(408 | 423 | 425 | 429 | 500..=599) => Self::Again,
            // Redirects are not followed: whoever they lead to was not named as a destination.
            Some(_) => Self::Final,
        }
    }

    /// What it shows of the destination: one that refuses an event works.
    pub(super) fn sign(self) -> Sign {
        match self {
            Self::Done | Self::Final => Sign::Well,
            Self::Again => Sign::Ill,
            Self::Disable | Self::Pause => Sign::None,
        }
    }
}

/// The reason of a failure as it is kept: `http_404`, or the name of the error.
pub(super) fn reason(status: Option<u16>, error: Option<&str>) -> String {
    match (status, error) {
        (Some(status), _) => format!("http_{status}"),
        (None, Some(error)) => error.to_owned(),
        (None, None) => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_means_one_thing() {
        for (status, verdict) in [
            (Some(199), Verdict::Final),
            (Some(200), Verdict::Done),
            (Some(202), Verdict::Done),
            (Some(299), Verdict::Done),
            (Some(300), Verdict::Final),
            (Some(302), Verdict::Final),
            (Some(304), Verdict::Final),
            (Some(400), Verdict::Final),
            (Some(401), Verdict::Pause),
            (Some(403), Verdict::Pause),
            (Some(404), Verdict::Final),
            (Some(408), Verdict::Again),
            (Some(409), Verdict::Final),
            (Some(410), Verdict::Disable),
            (Some(413), Verdict::Final),
            (Some(422), Verdict::Final),
            (Some(423), Verdict::Again),
            (Some(425), Verdict::Again),
            (Some(429), Verdict::Again),
            (Some(500), Verdict::Again),
            (Some(503), Verdict::Again),
            (Some(599), Verdict::Again),
            (Some(600), Verdict::Final),
            (None, Verdict::Again),
        ] {
            assert_eq!(Verdict::new(status), verdict, "{status:?}");
        }
    }
}
