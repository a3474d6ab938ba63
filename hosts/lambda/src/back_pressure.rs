//! Back-pressure: a service that throttles is asked more slowly, for as long as the caller waits, and not given up.
//!
//! [`Pace`] bounds how many calls are on their way at once, and finds the bound itself: each call that is taken raises
//! it a little, a call that is throttled cuts it (AIMD). [`retry`] makes a call again that was throttled or failed on
//! the way. The SDK's own retries are switched off: their quota is empty after a hundred throttled calls.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use rand::RngExt;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

/// How many calls are on their way at once at most, and until something is known.
const MAX_CALLS: u16 = 64;
const FIRST_CALLS: u16 = 16;
/// By how much the bound rises while as many calls as it allows are taken.
const RISE: f64 = 0.25;
/// What is left of the bound after a throttled call.
const CUT: f64 = 0.7;
/// How long a throttled call waits before it is made again: at least and at most; by how much that grows with each
/// call that is throttled, and what is left of it after one that is taken. All calls to a table share it, so that none
/// waits long while others are taken.
const MIN_DELAY: Duration = Duration::from_millis(10);
const MAX_DELAY: Duration = Duration::from_secs(1);
const DELAY_RISE: f64 = 1.5;
const DELAY_CUT: f64 = 0.8;
/// How long to wait before a call is made again that failed otherwise: at first, and at most.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(50);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);
/// For how long a call is made again that fails on the way or on the service's side, though nothing is throttled.
/// The state that waits for it tries again for minutes.
const OUTAGE_PATIENCE: Duration = Duration::from_secs(20);

/// For how long a throttled call is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Until the caller drops the call: a step, which its deadline ends.
    UntilCutOff,
    /// So long: somebody waits for the answer.
    For(Duration),
}

impl Patience {
    /// A client waits for the answer.
    pub const SOON: Self = Self::For(Duration::from_secs(5));
    /// A lease runs, whose holder writes nothing in its last 20 seconds.
    pub const LEASED: Self = Self::For(Duration::from_secs(10));

    fn is_over(self, waited: Duration) -> bool {
        matches!(self, Self::For(patience) if waited >= patience)
    }
}

/// What a failed call means for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The service has too much to do.
    Throttled,
    /// The service or the network failed: trying again may help.
    Passing,
    /// The service refused.
    Final,
}

/// Codes of throttling that do not hold the word.
const THROTTLING: [&str; 8] = [
    "BandwidthLimitExceeded",
    "ExecutionLimitExceeded",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "SlowDown",
    "TooManyRequestsException",
];
/// Codes of failures that pass, whatever their status.
const PASSING: [&str; 4] =
    ["InternalServerError", "RequestTimeout", "RequestTimeoutException", "TransactionConflictException"];

/// What this failure of an AWS service means.
pub(crate) fn fault<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Fault {
    if matches!(error, SdkError::ConstructionFailure(_)) {
        return Fault::Final;
    }
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let is_answer = matches!(error, SdkError::ServiceError(_));
    fault_of(error.code(), status, is_answer)
}

fn fault_of(code: Option<&str>, status: u16, is_answer: bool) -> Fault {
    match code {
        Some(code) if code.contains("Throttl") || THROTTLING.contains(&code) => Fault::Throttled,
        Some(code) if status >= 500 || PASSING.contains(&code) => Fault::Passing,
        Some(_) => Fault::Final,
        None if status == 429 => Fault::Throttled,
        None if is_answer && status < 500 => Fault::Final,
        None => Fault::Passing,
    }
}

/// How many calls to one table, of one kind, are on their way at once.
#[derive(Debug)]
pub(crate) struct Pace {
    permits: Semaphore,
    bound: Mutex<Bound>,
}

#[derive(Debug)]
struct Bound {
    calls: f64,
    /// How many permits there are, taken ones included.
    permits: u16,
    /// When it was cut last.
    cut: Instant,
    /// How long a throttled call waits.
    delay: Duration,
}

impl Bound {
    /// How many permits there should be.
    fn whole(&self) -> u16 {
        // Within 1 and MAX_CALLS.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let whole = self.calls as u16;
        whole
    }
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            permits: Semaphore::new(usize::from(FIRST_CALLS)),
            bound: Mutex::new(Bound {
                calls: f64::from(FIRST_CALLS),
                permits: FIRST_CALLS,
                cut: Instant::now(),
                delay: MIN_DELAY,
            }),
        }
    }

    /// Waits until another call may be made.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        // The semaphore is never closed.
        Turn { pace: self, permit: self.permits.acquire().await.ok(), began: Instant::now() }
    }

    /// A call that began at `began` was throttled. Calls that were on their way together tell one thing, and cut once.
    /// `is_partly`: a part of it was taken.
    fn throttled(&self, began: Instant, is_partly: bool) {
        let mut bound = self.bound();
        if began >= bound.cut {
            bound.calls = (bound.calls * CUT).max(1.0);
            bound.cut = Instant::now();
            if !is_partly {
                bound.delay = bound.delay.mul_f64(DELAY_RISE).min(MAX_DELAY);
            }
        }
    }

    /// How long a call waits that was throttled.
    fn delay(&self) -> Duration {
        self.bound().delay.mul_f64(rand::rng().random_range(0.5..=1.5))
    }

    fn bound(&self) -> MutexGuard<'_, Bound> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to make a call; it is kept while the call waits to be made again.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pace: &'a Pace,
    permit: Option<SemaphorePermit<'a>>,
    began: Instant,
}

impl Turn<'_> {
    /// The call was taken.
    pub(crate) fn taken(&self) {
        let mut bound = self.pace.bound();
        bound.delay = bound.delay.mul_f64(DELAY_CUT).max(MIN_DELAY);
        bound.calls = (bound.calls + RISE / bound.calls).min(f64::from(MAX_CALLS));
        if bound.permits < bound.whole() {
            bound.permits += 1;
            self.pace.permits.add_permits(1);
        }
    }

    /// The call was throttled.
    pub(crate) fn throttled(&mut self) {
        self.pace.throttled(self.began, false);
        self.began = Instant::now();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut bound = self.pace.bound();
        if bound.permits > bound.whole()
            && let Some(permit) = self.permit.take()
        {
            bound.permits -= 1;
            permit.forget();
        }
    }
}

/// How long to wait before a call is made again, after so many failures.
pub(crate) fn delay(failures: u32) -> Duration {
    let most = FIRST_RETRY_DELAY.saturating_mul(1 << failures.min(10)).min(MAX_RETRY_DELAY);
    most.mul_f64(rand::rng().random_range(0.1..=1.0))
}

/// What a batch call left over, while it is sent again: the service does a part of a batch where it cannot do all.
#[derive(Debug)]
pub(crate) struct Rest<'a> {
    pace: &'a Pace,
    patience: Patience,
    began: Instant,
    asked: Instant,
}

impl<'a> Rest<'a> {
    pub(crate) fn new(pace: &'a Pace, patience: Patience) -> Self {
        Self { pace, patience, began: Instant::now(), asked: Instant::now() }
    }

    /// Waits before the rest is sent; `false`: patience is over. `has_moved`: a part of the last call was done.
    pub(crate) async fn wait(&mut self, has_moved: bool) -> bool {
        self.pace.throttled(self.asked, has_moved);
        if self.patience.is_over(self.began.elapsed()) {
            return false;
        }
        tokio::time::sleep(self.pace.delay()).await;
        self.asked = Instant::now();
        true
    }
}

/// Makes a call at its turn, and again while it is throttled or fails on the way.
pub(crate) async fn paced<T, E, F>(
    pace: &Pace,
    patience: Patience,
    call: impl Fn() -> F + Send,
) -> Result<T, SdkError<E>>
where
    E: ProvideErrorMetadata + Send,
    T: Send,
    F: Future<Output = Result<T, SdkError<E>>> + Send,
{
    let mut turn = pace.turn().await;
    let done = retry(patience, call, |fault| {
        (fault == Fault::Throttled).then(|| {
            turn.throttled();
            pace.delay()
        })
    })
    .await;
    if done.as_ref().err().is_none_or(|error| fault(error) == Fault::Final) {
        turn.taken();
    }
    done
}

/// Makes a call, and again while it is throttled or fails on the way; `failed` hears of each
/// failure, and may say how long to wait then.
pub(crate) async fn retry<T, E, F>(
    patience: Patience,
    call: impl Fn() -> F + Send,
    mut failed: impl FnMut(Fault) -> Option<Duration> + Send,
) -> Result<T, SdkError<E>>
where
    E: ProvideErrorMetadata + Send,
    T: Send,
    F: Future<Output = Result<T, SdkError<E>>> + Send,
{
    let began = Instant::now();
    let mut failures = 0;
    loop {
        let error = match call().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let fault = fault(&error);
        let given = failed(fault);
        let waited = began.elapsed();
        let is_over = match fault {
            Fault::Final => true,
            Fault::Throttled => patience.is_over(waited),
            Fault::Passing => patience.is_over(waited) || waited >= OUTAGE_PATIENCE,
        };
        if is_over {
            return Err(error);
        }
        drop(error);
        tokio::time::sleep(given.unwrap_or_else(|| delay(failures))).await;
        failures += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &str, status: u16, means: Fault) {
        assert_eq!(fault_of(Some(code), status, true), means, "{code} {status}");
    }

    #[test]
    fn what_passes_is_told_from_what_is_refused() {
        for code in ["ThrottlingException", "RequestThrottled", "KMS.ThrottlingException", "KmsThrottled"] {
            check(code, 400, Fault::Throttled);
        }
        THROTTLING.into_iter().for_each(|code| check(code, 400, Fault::Throttled));
        check("SlowDown", 503, Fault::Throttled);
        check("ServiceUnavailable", 503, Fault::Passing);
        check("InternalServerError", 500, Fault::Passing);
        check("TransactionConflictException", 400, Fault::Passing);
        check("AccessDeniedException", 400, Fault::Final);
        check("ConditionalCheckFailedException", 400, Fault::Final);
        assert_eq!(fault_of(None, 429, true), Fault::Throttled);
        assert_eq!(fault_of(None, 404, true), Fault::Final);
        assert_eq!(fault_of(None, 502, true), Fault::Passing);
        // Nobody answered.
        assert_eq!(fault_of(None, 0, false), Fault::Passing);
    }

    #[tokio::test(start_paused = true)]
    async fn throttled_calls_narrow_the_pace_once_a_round() {
        let pace = Pace::new();
        let mut turns = Vec::new();
        for _ in 0..FIRST_CALLS {
            turns.push(pace.turn().await);
        }
        tokio::time::advance(Duration::from_millis(4)).await;
        turns.iter_mut().for_each(Turn::throttled);
        drop(turns);
        assert_eq!((pace.bound().permits, pace.permits.available_permits()), (11, 11));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pace_never_stops_and_finds_its_way_back() {
        let pace = Pace::new();
        for _ in 0..50 {
            tokio::time::advance(Duration::from_millis(4)).await;
            pace.turn().await.throttled();
        }
        assert_eq!(pace.bound().permits, 1);
        for _ in 0..20_000 {
            pace.turn().await.taken();
        }
        assert_eq!(
            (pace.bound().permits, pace.permits.available_permits()),
            (MAX_CALLS, usize::from(MAX_CALLS))
        );
    }
}
