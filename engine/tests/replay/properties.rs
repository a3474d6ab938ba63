//! Properties over random machines, tasks and crashes.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;
use states::{Outcome, reserved};

use super::random::{definition, flows};
use super::world::{Run, TaskPlan, started_at};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A run that crashes after some or all of its steps has the same history and outcome as one that does
    /// not.
    #[test]
    fn replay_after_a_crash_changes_nothing(
        flow in flows(true),
        seed in any::<u64>(),
        every in 1_usize..6,
        redrives in 0_u32..3,
    ) {
        let definition = definition(&flow);
        let mut calm = Run::new(&definition, &json!({ "n": 0.1 }), TaskPlan::Random(seed));
        let expected = calm.finish(redrives, |_| false);
        let mut run = Run::new(&definition, &json!({ "n": 0.1 }), TaskPlan::Random(seed));
        let outcome = run.finish(redrives, |step| step % every == 0);
        prop_assert_eq!(outcome, expected);
        prop_assert_eq!(run.events, calm.events);
        prop_assert_eq!(run.journal, calm.journal);
    }

    /// A failed run that is redriven with better tasks succeeds. Its output is as long as after a run with
    /// these tasks from the start. `redrive.rs` checks which tasks run again.
    #[test]
    fn redrive_completes_a_failed_run(flow in flows(false), seed in any::<u64>()) {
        let definition = definition(&flow);
        let input = json!({ "n": 1 });
        let mut fine = Run::new(&definition, &input, TaskPlan::Succeed);
        let expected = fine.finish(0, |_| false);
        // EXPRESS children with much work exceed their time limit under every plan.
        prop_assume!(!matches!(&expected, Outcome::Failed(why) if why.name() == reserved::EXCEED_TOLERATED_FAILURE_THRESHOLD));
        prop_assert!(matches!(expected, Outcome::Succeeded(_)), "{expected:?}");
        let mut run = Run::new(&definition, &input, TaskPlan::RandomUntilRedrive(seed));
        let outcome = run.finish(1, |step| step % 3 == 2);
        // A Map run's ARN is random, and so are tokens.
        let text = |outcome: &Outcome| serde_json::to_string(&match outcome {
            Outcome::Succeeded(output) => output.clone(),
            other => panic!("{other:?}"),
        }).unwrap().len();
        prop_assert_eq!(text(&outcome), text(&expected), "{:?}", outcome);
    }
}

/// A year of waits and retries takes no time.
#[test]
fn a_year_of_retries_runs_in_a_moment() {
    let wait = json!({ "Type": "Wait", "Seconds": 86_400, "Next": "Try" });
    let retry = json!([{ "ErrorEquals": ["States.ALL"], "MaxAttempts": 400, "IntervalSeconds": 43_200, "BackoffRate": 1 }]);
    let task = json!({ "Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:echo", "TimeoutSeconds": 43_200, "Retry": retry, "End": true });
    let definition =
        json!({ "QueryLanguage": "JSONata", "StartAt": "Wait", "States": { "Wait": wait, "Try": task } });
    let begun = Instant::now();
    let mut run = Run::new(&definition, &json!({}), TaskPlan::NeverAnswer);
    let outcome = run.finish(0, |_| false);
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    assert!(run.execution.at().duration_since(started_at()).as_hours() > 365 * 24);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}
