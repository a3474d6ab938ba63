//! Evaluates filters and mappings outside the threads of the workers. A slow evaluation moves to a thread of
//! its own, which may have the lowest priority. Each expression has one evaluation at a time there, so lanes
//! alternate.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{self, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, oneshot},
    task::spawn_blocking,
};

use destinations::expression::{EVALUATION_TIMEOUT, ExpressionError};

/// A longer evaluation moves to the slow thread.
const QUICK_TIMEOUT: Duration = Duration::from_millis(2);

type Job = Box<dyn FnOnce() + Send>;

/// Evaluates expressions. Clones share the slow thread, which ends with the last of them.
#[derive(Clone, Debug)]
pub struct Evaluator {
    slow: Arc<OnceLock<Option<Sender<Job>>>>,
    on_start: fn(),
}

/// The evaluations of one expression.
#[derive(Debug)]
pub(super) struct Evaluations {
    slow_slot: Semaphore,
    /// Whether the last evaluation was slow.
    is_slow: AtomicBool,
}

/// The result of an evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Evaluation<T> {
    /// The value.
    Value(T),
    /// The expression is wrong, or fails on this event. The text has no value from the event.
    Failed(String),
    /// The evaluation reached its time limit.
    TooSlow(String),
    /// The evaluation was cancelled while it waited.
    Cancelled,
}

impl Default for Evaluations {
    fn default() -> Self {
        Self { slow_slot: Semaphore::new(1), is_slow: AtomicBool::new(false) }
    }
}

impl Evaluations {
    /// Cancels the evaluations that wait for the slow thread.
    pub(super) fn cancel(&self) {
        self.slow_slot.close();
    }
}

impl<T> From<Result<T, ExpressionError>> for Evaluation<T> {
    fn from(result: Result<T, ExpressionError>) -> Self {
        match result {
            Ok(value) => Self::Value(value),
            Err(error) if error.is_timeout() => Self::TooSlow(error.to_string()),
            Err(error) => Self::Failed(error.to_string()),
        }
    }
}

impl Default for Evaluator {
    fn default() -> Self {
        Self::new(|| {})
    }
}

impl Evaluator {
    /// An evaluator whose slow thread begins with `on_start`, which may lower its priority.
    pub fn new(on_start: fn()) -> Self {
        Self { slow: Arc::default(), on_start }
    }

    /// Evaluates an expression with `work`, which gets a time limit, and may be called twice.
    pub(super) async fn evaluate<T: Send + 'static>(
        &self,
        of: &Evaluations,
        work: impl Fn(Duration) -> Result<T, ExpressionError> + Send + Sync + 'static,
    ) -> Evaluation<T> {
        // A panic of the library counts as a failure of the expression.
        let failed = || Evaluation::Failed("it cannot be evaluated on this".to_owned());
        let work = Arc::new(move |limit| {
            catch_unwind(AssertUnwindSafe(|| work(limit))).map_or_else(|_| failed(), Evaluation::from)
        });
        if !of.is_slow.load(Relaxed) {
            let quick = Arc::clone(&work);
            let evaluation = spawn_blocking(move || quick(QUICK_TIMEOUT)).await.unwrap_or_else(|_| failed());
            if !matches!(evaluation, Evaluation::TooSlow(_)) {
                return evaluation;
            }
        }
        let Ok(_slot) = of.slow_slot.acquire().await else { return Evaluation::Cancelled };
        let (sender, receiver) = oneshot::channel();
        let job = Box::new(move || {
            let began = Instant::now();
            let evaluation = work(EVALUATION_TIMEOUT);
            // The receiver may be gone: then the result is not needed.
            let _ = sender.send((evaluation, began.elapsed()));
        });
        self.run(job);
        let Ok((evaluation, took)) = receiver.await else { return failed() };
        of.is_slow.store(took > QUICK_TIMEOUT, Relaxed);
        evaluation
    }

    /// Runs a job on the slow thread. If the system cannot start that thread, a blocking thread runs the job.
    fn run(&self, job: Job) {
        let slow = self.slow.get_or_init(|| start_slow_thread(self.on_start));
        let left = match slow {
            Some(slow) => slow.send(job).map_err(|back| back.0),
            None => Err(job),
        };
        if let Err(job) = left {
            drop(spawn_blocking(job));
        }
    }
}

fn start_slow_thread(on_start: fn()) -> Option<Sender<Job>> {
    let (jobs, next) = mpsc::channel::<Job>();
    let work = move || {
        on_start();
        for job in next {
            job();
        }
    };
    thread::Builder::new().name("crmflow-slow".to_owned()).spawn(work).ok().map(|_| jobs)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use destinations::expression::{Expression, Subject};

    const ENDLESS: &str = "($f := function() { $f() }; $f())";

    /// Evaluates an expression; returns the result, and the time limits of its evaluations.
    async fn evaluate(source: &str, of: &Evaluations) -> (Evaluation<bool>, Vec<Duration>) {
        let limits = Arc::<Mutex<Vec<Duration>>>::default();
        let (expression, given) = (Expression::parse(source).unwrap(), Arc::clone(&limits));
        let work = move |limit| {
            given.lock().unwrap().push(limit);
            expression.is_true_within(&Subject::read("{}").unwrap(), limit)
        };
        let evaluation = Evaluator::default().evaluate(of, work).await;
        let limits = limits.lock().unwrap().clone();
        (evaluation, limits)
    }

    #[tokio::test]
    async fn a_slow_expression_stays_on_the_slow_thread() {
        let of = Evaluations::default();
        let too_slow = || Evaluation::TooSlow("it took longer than 1 s".to_owned());
        let both = vec![QUICK_TIMEOUT, EVALUATION_TIMEOUT];
        assert_eq!(evaluate(ENDLESS, &of).await, (too_slow(), both));
        assert_eq!(evaluate(ENDLESS, &of).await, (too_slow(), vec![EVALUATION_TIMEOUT]));
    }

    #[tokio::test]
    async fn a_waiting_evaluation_can_be_cancelled() {
        let of = Evaluations::default();
        // Of two slow evaluations, the first one polled gets the thread.
        of.is_slow.store(true, Relaxed);
        let (first, second) = futures::join!(evaluate(ENDLESS, &of), async {
            let second = evaluate(ENDLESS, &of);
            let (second, ()) = futures::join!(second, async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                of.cancel();
            });
            second
        });
        let too_slow = |(evaluation, _)| matches!(evaluation, Evaluation::TooSlow(_));
        let cancelled = |(evaluation, _)| evaluation == Evaluation::Cancelled;
        assert!(too_slow(first));
        assert!(cancelled(second));
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_of_the_expression() {
        let of = Evaluations::default();
        let faulty = |_| -> Result<bool, ExpressionError> { std::panic::resume_unwind(Box::new(())) };
        let evaluation = Evaluator::default().evaluate(&of, faulty).await;
        assert_eq!(evaluation, Evaluation::Failed("it cannot be evaluated on this".to_owned()));
        let wrong = evaluate("$number('x') > 1", &of).await.0;
        assert_eq!(wrong, Evaluation::Failed("$number was given something that is no number".to_owned()));
    }
}
