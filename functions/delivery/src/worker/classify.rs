//! What an answer means for a delivery and its destination.

use super::breaker::Sign;

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is delivered.
    Done,
    /// It is tried again.
    Again,
    /// The destination asks for time.
    Later,
    /// The destination is gone.
    Disable,
    /// The destination does not want it.
    Final,
}

impl Verdict {
    /// What the status of an answer means where these are final; `None`: there was no answer.
    pub(super) fn new(status: Option<u16>, finals: &[u16]) -> Self {
        match status {
            Some(200..=299) => Self::Done,
            Some(429) => Self::Later,
            Some(status) if finals.contains(&status) => {
                if status == 410 {
                    Self::Disable
                } else {
                    Self::Final
                }
            }
            _ => Self::Again,
        }
    }
}

/// What an answer shows of its destination. Redirects are not followed, since nobody named the host that they lead to
/// as a destination: they are refusals.
pub(super) fn sign(status: Option<u16>) -> Sign {
    match status {
        Some(200..=299) => Sign::Well,
        None | Some(408 | 423 | 425 | 500..=599) => Sign::Ill,
        Some(410 | 429) => Sign::None,
        Some(_) => Sign::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use destinations::destination::FINAL_STATUSES;

    #[test]
    fn every_status_means_one_thing() {
        for (status, verdict, shown) in [
            (Some(199), Verdict::Again, Sign::Refused),
            (Some(200), Verdict::Done, Sign::Well),
            (Some(202), Verdict::Done, Sign::Well),
            (Some(299), Verdict::Done, Sign::Well),
            (Some(300), Verdict::Again, Sign::Refused),
            (Some(302), Verdict::Again, Sign::Refused),
            (Some(400), Verdict::Final, Sign::Refused),
            (Some(401), Verdict::Again, Sign::Refused),
            (Some(403), Verdict::Again, Sign::Refused),
            (Some(404), Verdict::Again, Sign::Refused),
            (Some(408), Verdict::Again, Sign::Ill),
            (Some(409), Verdict::Again, Sign::Refused),
            (Some(410), Verdict::Disable, Sign::None),
            (Some(413), Verdict::Final, Sign::Refused),
            (Some(414), Verdict::Final, Sign::Refused),
            (Some(415), Verdict::Final, Sign::Refused),
            (Some(422), Verdict::Final, Sign::Refused),
            (Some(423), Verdict::Again, Sign::Ill),
            (Some(425), Verdict::Again, Sign::Ill),
            (Some(429), Verdict::Later, Sign::None),
            (Some(500), Verdict::Again, Sign::Ill),
            (Some(599), Verdict::Again, Sign::Ill),
            (Some(600), Verdict::Again, Sign::Refused),
            (None, Verdict::Again, Sign::Ill),
        ] {
            assert_eq!(Verdict::new(status, &FINAL_STATUSES), verdict, "{status:?}");
            assert_eq!(sign(status), shown, "{status:?}");
        }
    }

    #[test]
    fn a_destination_lists_the_final_ones() {
        for (status, verdict) in
            [(404, Verdict::Final), (503, Verdict::Final), (400, Verdict::Again), (410, Verdict::Again)]
        {
            assert_eq!(Verdict::new(Some(status), &[404, 503]), verdict, "{status}");
        }
    }
}
