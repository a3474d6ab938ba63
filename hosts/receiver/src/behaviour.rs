//! How an endpoint of the sink behaves: as a good destination does, or as badly as it was told to.

use std::time::Duration;

use axum::http::StatusCode;
use clap::Args;
use serde::{Deserialize, Serialize};

/// The settings of an endpoint, by flags or by `PUT /_sink/{endpoint}`. Without any it answers 200 at once.
#[derive(Clone, Debug, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Behaviour {
    /// The status of the answers.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// The share of requests that this is for, 0 to 1; the others are answered 200 at once. All without it.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<f64>,
    /// For so many requests; after them all is normal.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<u64>,
    /// Answer so many milliseconds late.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    /// A header Retry-After with so many seconds; the status is 503 then, where none is said.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
    /// Never answer.
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    hang: bool,
    /// Reset the connection.
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    reset: bool,
    /// Answer with a body that never ends.
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    endless: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With an answer.
    Answered,
    /// With an answer whose body has no end.
    Endless,
    /// With a connection that is reset.
    Reset,
    /// Not at all.
    Hanging,
}

/// The answer to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) status: StatusCode,
    pub(super) delay: Duration,
    /// In seconds.
    pub(super) retry_after: Option<u32>,
    pub(super) ending: Ending,
}

impl Verdict {
    /// The answer of a healthy destination.
    pub(super) const NORMAL: Self =
        Self { status: StatusCode::OK, delay: Duration::ZERO, retry_after: None, ending: Ending::Answered };

    /// The status that its answer has, if there will be one.
    pub(super) fn status(self) -> Option<u16> {
        match self.ending {
            Ending::Answered | Ending::Endless => Some(self.status.as_u16()),
            Ending::Reset | Ending::Hanging => None,
        }
    }
}

/// A behaviour at work: which request it is for depends on nothing but how many there were since it was set.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    behaviour: Behaviour,
    verdict: Verdict,
    share: f64,
    requests: u64,
    left: u64,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            behaviour: Behaviour::default(),
            verdict: Verdict::NORMAL,
            share: 1.0,
            requests: 0,
            left: u64::MAX,
        }
    }
}

/// 2^64 divided by the golden ratio: its multiples are spread evenly, and follow no period that the requests
/// themselves may have.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Rule {
    /// The rule of a behaviour; the error says what about it cannot be.
    pub(super) fn new(behaviour: Behaviour) -> Result<Self, String> {
        let status = behaviour.status.unwrap_or(if behaviour.retry_after.is_some() { 503 } else { 200 });
        let status = StatusCode::from_u16(status).ok().filter(|_| (200..600).contains(&status));
        let status = status.ok_or("a status is 200 to 599")?;
        let share = behaviour.share.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&share) {
            return Err("a share is 0 to 1".to_owned());
        }
        let ending = match (behaviour.hang, behaviour.reset, behaviour.endless) {
            (false, false, false) => Ending::Answered,
            (true, false, false) => Ending::Hanging,
            (false, true, false) => Ending::Reset,
            (false, false, true) => Ending::Endless,
            _ => return Err("only one of hang, reset and endless can be".to_owned()),
        };
        let verdict = Verdict {
            status,
            delay: Duration::from_millis(behaviour.delay_ms.unwrap_or(0)),
            retry_after: behaviour.retry_after,
            ending,
        };
        let left = behaviour.times.unwrap_or(u64::MAX);
        Ok(Self { behaviour, verdict, share, requests: 0, left })
    }

    /// The settings that it was made from.
    pub(super) fn behaviour(&self) -> &Behaviour {
        &self.behaviour
    }

    /// Whether it has no effect any more, or never had.
    pub(super) fn is_normal(&self) -> bool {
        self.left == 0 || self.verdict == Verdict::NORMAL
    }

    /// The answer to the next request.
    pub(super) fn next(&mut self) -> Verdict {
        self.requests += 1;
        if self.is_normal() || !self.is_chosen() {
            return Verdict::NORMAL;
        }
        self.left -= 1;
        self.verdict
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of 2^64, to 53 bits; a cast stops at both ends"
    )]
    fn is_chosen(&self) -> bool {
        let bound = (self.share * u64::MAX as f64) as u64;
        self.share >= 1.0 || self.requests.wrapping_mul(GOLDEN) < bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the first `requests` requests, and of so many more, are not answered as usual.
    #[track_caller]
    fn check(told: &str, requests: u64, odd: u64, more: u64) {
        let mut rule = Rule::new(serde_json::from_str(told).unwrap()).unwrap();
        let mut count = || (0..requests).filter(|_| rule.next() != Verdict::NORMAL).count() as u64;
        assert_eq!((count(), count()), (odd, more), "{told}");
    }

    #[test]
    fn share_and_times_are_kept() {
        check("{}", 100, 0, 0);
        check(r#"{"status": 200}"#, 100, 0, 0);
        check(r#"{"status": 503}"#, 100, 100, 100);
        check(r#"{"status": 503, "share": 0}"#, 100, 0, 0);
        check(r#"{"status": 503, "share": 0.05}"#, 10_000, 500, 500);
        check(r#"{"hang": true, "share": 0.25}"#, 1_000, 251, 250);
        check(r#"{"reset": true, "times": 3}"#, 100, 3, 0);
        check(r#"{"delayMs": 9, "times": 120}"#, 100, 100, 20);
        check(r#"{"endless": true, "times": 30, "share": 0.5}"#, 50, 25, 5);
        check(r#"{"retryAfter": 1}"#, 5, 5, 5);
    }

    #[test]
    fn impossible_behaviours_are_refused() {
        for told in [
            r#"{"status": 100}"#,
            r#"{"status": 600}"#,
            r#"{"share": 1.5}"#,
            r#"{"share": -0.1}"#,
            r#"{"hang": true, "reset": true}"#,
        ] {
            Rule::new(serde_json::from_str(told).unwrap()).unwrap_err();
        }
        serde_json::from_str::<Behaviour>(r#"{"delay": 5}"#).unwrap_err();
    }
}
