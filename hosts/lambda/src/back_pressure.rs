//! Back-pressure: this host calls a throttling service more slowly, as long as the caller waits, and does not give up.
//!
//! `ConcurrencyLimit` bounds the number of concurrent calls. It finds the bound itself: each accepted call raises it a
//! little, and a throttled call cuts it (AIMD). `retry` repeats calls that were throttled or that failed in transit. The
//! SDK's own retries are off, because their quota is used up after a hundred throttled calls.

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

/// Maximum number of concurrent calls, and the number before the first answer.
const MAX_CALLS: u16 = 64;
const FIRST_CALLS: u16 = 16;
/// Increase of the bound while the service accepts as many calls as the bound permits.
const BOUND_RISE: f64 = 0.25;
/// Factor of the bound after a throttled call.
const BOUND_CUT_FACTOR: f64 = 0.7;
/// Delay before a throttled call is repeated: minimum and maximum, the factor after each throttled call, and the factor
/// after an accepted one. All calls to a table share the delay, so that no call waits long while others are accepted.
const MIN_DELAY: Duration = Duration::from_millis(10);
const MAX_DELAY: Duration = Duration::from_secs(1);
const DELAY_RISE_FACTOR: f64 = 1.5;
const DELAY_CUT_FACTOR: f64 = 0.8;
/// Delay before a call that failed otherwise is repeated: initial and maximum.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(50);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);
/// Maximum time that a call is repeated after failures of network or service, without throttling. The state that waits
/// for it retries for minutes.
const MAX_OUTAGE_TIME: Duration = Duration::from_secs(20);

/// Maximum time that a throttled call is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryTime {
    /// Until the caller drops the call: the deadline of a step ends it.
    UntilDropped,
    /// This long: a client waits for the answer.
    For(Duration),
}

impl RetryTime {
    /// A client waits for the answer.
    pub const SOON: Self = Self::For(Duration::from_secs(5));
    /// A lease is running, and its holder writes nothing in its last 20 seconds.
    pub const LEASED: Self = Self::For(Duration::from_secs(10));

    fn is_over(self, waited: Duration) -> bool {
        matches!(self, Self::For(retry_time) if waited >= retry_time)
    }
}

/// The consequence of a failed call for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The service throttles.
    Throttled,
    /// The service or the network failed: trying again may help.
    Passing,
    /// The service refused.
    Final,
}

/// Codes of throttling without that word in them.
const THROTTLING_CODES: [&str; 8] = [
    "BandwidthLimitExceeded",
    "ExecutionLimitExceeded",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "SlowDown",
    "TooManyRequestsException",
];
/// Codes of transient failures, with any status.
const TRANSIENT_CODES: [&str; 4] =
    ["InternalServerError", "RequestTimeout", "RequestTimeoutException", "TransactionConflictException"];

/// The consequence of a failure of an AWS service.
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
        Some(code) if code.contains("Throttl") || THROTTLING_CODES.contains(&code) => Fault::Throttled,
        Some(code) if status >= 500 || TRANSIENT_CODES.contains(&code) => Fault::Passing,
        Some(_) => Fault::Final,
        None if status == 429 => Fault::Throttled,
        None if is_answer && status < 500 => Fault::Final,
        None => Fault::Passing,
    }
}

/// The bound of concurrent calls of one kind to one table.
#[derive(Debug)]
pub(crate) struct ConcurrencyLimit {
    permits: Semaphore,
    bound: Mutex<LimitState>,
}

#[derive(Debug)]
struct LimitState {
    calls: f64,
    /// Number of permits, used ones included.
    permits: u16,
    /// The time of the last cut.
    cut: Instant,
    /// The delay of a throttled call.
    delay: Duration,
}

impl LimitState {
    /// The target number of permits.
    fn whole(&self) -> u16 {
        // Within 1 and MAX_CALLS.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let whole = self.calls as u16;
        whole
    }
}

impl ConcurrencyLimit {
    pub(crate) fn new() -> Self {
        Self {
            permits: Semaphore::new(usize::from(FIRST_CALLS)),
            bound: Mutex::new(LimitState {
                calls: f64::from(FIRST_CALLS),
                permits: FIRST_CALLS,
                cut: Instant::now(),
                delay: MIN_DELAY,
            }),
        }
    }

    /// Waits for a permit.
    pub(crate) async fn acquire(&self) -> Permit<'_> {
        // The semaphore is never closed.
        Permit { limit: self, permit: self.permits.acquire().await.ok(), began: Instant::now() }
    }

    /// Records that a call from `began` was throttled. Concurrent calls cut the bound once. `is_partly`: the service
    /// accepted a part of the call.
    fn throttled(&self, began: Instant, is_partly: bool) {
        let mut bound = self.bound();
        if began >= bound.cut {
            bound.calls = (bound.calls * BOUND_CUT_FACTOR).max(1.0);
            bound.cut = Instant::now();
            if !is_partly {
                bound.delay = bound.delay.mul_f64(DELAY_RISE_FACTOR).min(MAX_DELAY);
            }
        }
    }

    /// The delay before a throttled call is repeated.
    fn delay(&self) -> Duration {
        self.bound().delay.mul_f64(rand::rng().random_range(0.5..=1.5))
    }

    fn bound(&self) -> MutexGuard<'_, LimitState> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The permit of a call, also during its delay before a repetition.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    limit: &'a ConcurrencyLimit,
    permit: Option<SemaphorePermit<'a>>,
    began: Instant,
}

impl Permit<'_> {
    /// Records that the service accepted the call.
    pub(crate) fn accepted(&self) {
        let mut bound = self.limit.bound();
        bound.delay = bound.delay.mul_f64(DELAY_CUT_FACTOR).max(MIN_DELAY);
        bound.calls = (bound.calls + BOUND_RISE / bound.calls).min(f64::from(MAX_CALLS));
        if bound.permits < bound.whole() {
            bound.permits += 1;
            self.limit.permits.add_permits(1);
        }
    }

    /// Records that the service throttled the call.
    pub(crate) fn throttled(&mut self) {
        self.limit.throttled(self.began, false);
        self.began = Instant::now();
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut bound = self.limit.bound();
        if bound.permits > bound.whole()
            && let Some(permit) = self.permit.take()
        {
            bound.permits -= 1;
            permit.forget();
        }
    }
}

/// The delay before the next attempt, after this number of failures.
pub(crate) fn delay(failures: u32) -> Duration {
    let most = FIRST_RETRY_DELAY.saturating_mul(1 << failures.min(10)).min(MAX_RETRY_DELAY);
    most.mul_f64(rand::rng().random_range(0.1..=1.0))
}

/// The unprocessed rest of a batch call: a throttling service processes a part of a batch.
#[derive(Debug)]
pub(crate) struct UnprocessedRetry<'a> {
    limit: &'a ConcurrencyLimit,
    retry_time: RetryTime,
    began: Instant,
    asked: Instant,
}

impl<'a> UnprocessedRetry<'a> {
    pub(crate) fn new(limit: &'a ConcurrencyLimit, retry_time: RetryTime) -> Self {
        Self { limit, retry_time, began: Instant::now(), asked: Instant::now() }
    }

    /// Waits before the rest is sent; `false`: the time is over. `has_moved`: the last call processed a part.
    pub(crate) async fn wait(&mut self, has_moved: bool) -> bool {
        self.limit.throttled(self.asked, has_moved);
        if self.retry_time.is_over(self.began.elapsed()) {
            return false;
        }
        tokio::time::sleep(self.limit.delay()).await;
        self.asked = Instant::now();
        true
    }
}

/// Makes a call under a permit, and repeats it while it is throttled or fails in transit.
pub(crate) async fn with_permit<T, E, F>(
    limit: &ConcurrencyLimit,
    retry_time: RetryTime,
    call: impl Fn() -> F + Send,
) -> Result<T, SdkError<E>>
where
    E: ProvideErrorMetadata + Send,
    T: Send,
    F: Future<Output = Result<T, SdkError<E>>> + Send,
{
    let mut permit = limit.acquire().await;
    let done = retry(retry_time, call, |fault| {
        (fault == Fault::Throttled).then(|| {
            permit.throttled();
            limit.delay()
        })
    })
    .await;
    if done.as_ref().err().is_none_or(|error| fault(error) == Fault::Final) {
        permit.accepted();
    }
    done
}

/// Makes a call, and repeats it while it is throttled or fails in transit. `failed` is called for each failure, and may
/// return the delay.
pub(crate) async fn retry<T, E, F>(
    retry_time: RetryTime,
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
            Fault::Throttled => retry_time.is_over(waited),
            Fault::Passing => retry_time.is_over(waited) || waited >= MAX_OUTAGE_TIME,
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
    fn transient_faults_differ_from_refusals() {
        for code in ["ThrottlingException", "RequestThrottled", "KMS.ThrottlingException", "KmsThrottled"] {
            check(code, 400, Fault::Throttled);
        }
        THROTTLING_CODES.into_iter().for_each(|code| check(code, 400, Fault::Throttled));
        check("SlowDown", 503, Fault::Throttled);
        check("ServiceUnavailable", 503, Fault::Passing);
        check("InternalServerError", 500, Fault::Passing);
        check("TransactionConflictException", 400, Fault::Passing);
        check("AccessDeniedException", 400, Fault::Final);
        check("ConditionalCheckFailedException", 400, Fault::Final);
        assert_eq!(fault_of(None, 429, true), Fault::Throttled);
        assert_eq!(fault_of(None, 404, true), Fault::Final);
        assert_eq!(fault_of(None, 502, true), Fault::Passing);
        // No service answered.
        assert_eq!(fault_of(None, 0, false), Fault::Passing);
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_throttled_calls_cut_the_limit_once() {
        let limit = ConcurrencyLimit::new();
        let mut permits = Vec::new();
        for _ in 0..FIRST_CALLS {
            permits.push(limit.acquire().await);
        }
        tokio::time::advance(Duration::from_millis(4)).await;
        permits.iter_mut().for_each(Permit::throttled);
        drop(permits);
        assert_eq!((limit.bound().permits, limit.permits.available_permits()), (11, 11));
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_stays_above_zero_and_recovers() {
        let limit = ConcurrencyLimit::new();
        for _ in 0..50 {
            tokio::time::advance(Duration::from_millis(4)).await;
            limit.acquire().await.throttled();
        }
        assert_eq!(limit.bound().permits, 1);
        for _ in 0..20_000 {
            limit.acquire().await.accepted();
        }
        assert_eq!(
            (limit.bound().permits, limit.permits.available_permits()),
            (MAX_CALLS, usize::from(MAX_CALLS))
        );
    }
}
