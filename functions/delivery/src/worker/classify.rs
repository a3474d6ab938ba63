//! What an answer means for a delivery and its destination.

use super::breaker::Signal;

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is delivered.
    Delivered,
    /// It is tried again.
    Retry,
    /// The destination asks for time.
    Throttled,
    /// The destination is gone.
    Gone,
    /// The destination does not want it.
    Final,
}

impl Verdict {
    /// What the status of an answer means where these are final; `None`: there was no answer.
    pub(super) fn new(status: Option<u16>, finals: &[u16]) -> Self {
        match status {
            Some(200..=299) => Self::Delivered,
            Some(429) => Self::Throttled,
            Some(status) if finals.contains(&status) => {
                if status == 410 {
                    Self::Gone
                } else {
                    Self::Final
                }
            }
            _ => Self::Retry,
        }
    }
}

/// What an answer shows of its destination. Redirects are not followed, since nobody named the host that they lead to
/// as a destination: they are refusals.
pub(super) fn signal(status: Option<u16>) -> Signal {
    match status {
        Some(200..=299) => Signal::Success,
        None | Some(408 | 423 | 425 | 500..=599) => Signal::Failure,
        Some(410 | 429) => Signal::Neutral,
        Some(_) => Signal::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use destinations::destination::FINAL_STATUSES;

    #[test]
    fn every_status_means_one_thing() {
        for (status, verdict, shown) in [
            (Some(199), Verdict::Retry, Signal::Refused),
            (Some(200), Verdict::Delivered, Signal::Success),
            (Some(202), Verdict::Delivered, Signal::Success),
            (Some(299), Verdict::Delivered, Signal::Success),
            (Some(300), Verdict::Retry, Signal::Refused),
            (Some(302), Verdict::Retry, Signal::Refused),
            (Some(400), Verdict::Final, Signal::Refused),
            (Some(401), Verdict::Retry, Signal::Refused),
            (Some(403), Verdict::Retry, Signal::Refused),
            (Some(404), Verdict::Retry, Signal::Refused),
            (Some(408), Verdict::Retry, Signal::Failure),
            (Some(409), Verdict::Retry, Signal::Refused),
            (Some(410), Verdict::Gone, Signal::Neutral),
            (Some(413), Verdict::Final, Signal::Refused),
            (Some(414), Verdict::Final, Signal::Refused),
            (Some(415), Verdict::Final, Signal::Refused),
            (Some(422), Verdict::Final, Signal::Refused),
            (Some(423), Verdict::Retry, Signal::Failure),
            (Some(425), Verdict::Retry, Signal::Failure),
            (Some(429), Verdict::Throttled, Signal::Neutral),
            (Some(500), Verdict::Retry, Signal::Failure),
            (Some(599), Verdict::Retry, Signal::Failure),
            (Some(600), Verdict::Retry, Signal::Refused),
            (None, Verdict::Retry, Signal::Failure),
        ] {
            assert_eq!(Verdict::new(status, &FINAL_STATUSES), verdict, "{status:?}");
            assert_eq!(signal(status), shown, "{status:?}");
        }
    }

    #[test]
    fn a_destination_lists_the_final_ones() {
        for (status, verdict) in
            [(404, Verdict::Final), (503, Verdict::Final), (400, Verdict::Retry), (410, Verdict::Retry)]
        {
            assert_eq!(Verdict::new(Some(status), &[404, 503]), verdict, "{status}");
        }
    }
}
