//! Map runs: the progress of distributed Maps, in AWS's counts.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Execution, Waiting};
use crate::effect::Outcome;
use crate::failure::{Failure, reserved};
use crate::ids::MapRunId;

/// AWS's limit for the concurrent children of a distributed Map.
const MAX_CHILD_CONCURRENCY: usize = 10_000;

/// A run of a distributed Map, in the form of `DescribeMapRun`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MapRun {
    /// The run's ARN.
    #[serde(rename = "mapRunArn")]
    pub arn: Arc<str>,
    /// The execution that contains the Map state.
    #[serde(rename = "executionArn")]
    pub execution: Arc<str>,
    /// The run's status.
    pub status: MapRunStatus,
    /// The time of the start.
    pub start_date: Timestamp,
    /// The time of the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_date: Option<Timestamp>,
    /// The number of redrives.
    pub redrive_count: u32,
    /// The time of the last redrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redrive_date: Option<Timestamp>,
    /// The maximum number of concurrent children; zero: AWS's limit.
    pub max_concurrency: usize,
    /// The number of items that may fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerated_failure_count: Option<usize>,
    /// The percentage of items that may fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerated_failure_percentage: Option<f64>,
    /// Items, counted by the status of their child.
    pub item_counts: Counts,
    /// Children, counted by status.
    pub execution_counts: Counts,
}

/// The status of a Map run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MapRunStatus {
    /// Children run or are pending.
    Running,
    /// All children ended, and the failures were within the tolerance.
    Succeeded,
    /// The failures exceeded the tolerance, or the host could not read the items or write the results.
    Failed,
    /// The execution ended, or aborted the Map state.
    Aborted,
}

/// Items or children, counted by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are AWS's own; see its MapRunItemCounts")]
pub struct Counts {
    pub total: u64,
    pub pending: u64,
    pub running: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub timed_out: u64,
    pub aborted: u64,
    pub results_written: u64,
    pub failures_not_redrivable: u64,
    pub pending_redrive: u64,
}

/// The limits that a caller can change while the Map run is running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MapRunUpdate {
    /// The maximum number of concurrent children.
    pub max_concurrency: Option<usize>,
    /// The number of items that may fail.
    pub tolerated_failure_count: Option<usize>,
    /// The percentage of items that may fail.
    pub tolerated_failure_percentage: Option<f64>,
}

impl Counts {
    fn pending(all: u64) -> Self {
        Self { total: all, pending: all, ..Self::default() }
    }

    fn started(&mut self, by: u64) {
        self.pending = self.pending.saturating_sub(by);
        self.running += by;
    }

    /// Moves all counts without success to the pending redrives.
    fn redrive(&mut self) {
        self.pending_redrive += self.failed + self.timed_out + self.aborted;
        (self.failed, self.timed_out, self.aborted) = (0, 0, 0);
    }

    /// Counts a redriven child as running, or as pending if it starts anew.
    fn redriven(&mut self, by: u64, anew: bool) {
        self.pending_redrive = self.pending_redrive.saturating_sub(by);
        *(if anew { &mut self.pending } else { &mut self.running }) += by;
    }

    fn ended(&mut self, outcome: &Outcome, by: u64) {
        self.running = self.running.saturating_sub(by);
        *match outcome {
            Outcome::Succeeded(_) => &mut self.succeeded,
            Outcome::Failed(_) => &mut self.failed,
            Outcome::TimedOut(_) => &mut self.timed_out,
            Outcome::Aborted(_) => &mut self.aborted,
        } += by;
    }
}

impl MapRun {
    pub(crate) fn new(arn: Arc<str>, execution: Arc<str>, limits: MapRunUpdate, now: Timestamp) -> Self {
        Self {
            arn,
            execution,
            status: MapRunStatus::Running,
            start_date: now,
            stop_date: None,
            redrive_count: 0,
            redrive_date: None,
            max_concurrency: limits.max_concurrency.unwrap_or_default(),
            tolerated_failure_count: limits.tolerated_failure_count,
            tolerated_failure_percentage: limits.tolerated_failure_percentage,
            item_counts: Counts::default(),
            execution_counts: Counts::default(),
        }
    }

    /// The maximum number of concurrent children.
    pub(crate) fn concurrency(&self) -> usize {
        if self.max_concurrency == 0 {
            MAX_CHILD_CONCURRENCY
        } else {
            self.max_concurrency.min(MAX_CHILD_CONCURRENCY)
        }
    }

    /// Sets the totals, once the items are known.
    pub(crate) fn set_totals(&mut self, items: usize, children: usize) {
        self.item_counts = Counts::pending(items as u64);
        self.execution_counts = Counts::pending(children as u64);
    }

    pub(super) fn child_started(&mut self, items: u64) {
        self.item_counts.started(items);
        self.execution_counts.started(1);
    }

    pub(super) fn child_ended(&mut self, outcome: &Outcome, items: u64) {
        self.item_counts.ended(outcome, items);
        self.execution_counts.ended(outcome, 1);
    }

    pub(super) fn redrive(&mut self, now: Timestamp) {
        self.status = MapRunStatus::Running;
        self.stop_date = None;
        self.redrive_count += 1;
        self.redrive_date = Some(now);
        self.item_counts.redrive();
        self.execution_counts.redrive();
    }

    pub(super) fn child_redriven(&mut self, items: u64, anew: bool) {
        self.item_counts.redriven(items, anew);
        self.execution_counts.redriven(1, anew);
    }

    pub(crate) fn results_written(&mut self) {
        let ended = |counts: &Counts| counts.succeeded + counts.failed + counts.timed_out + counts.aborted;
        self.item_counts.results_written = ended(&self.item_counts);
        self.execution_counts.results_written = ended(&self.execution_counts);
    }

    pub(crate) fn end(&mut self, status: MapRunStatus, now: Timestamp) {
        self.status = status;
        self.stop_date = Some(now);
    }

    /// The failure of the Map run, if the failed items exceed its tolerance.
    pub(super) fn tolerance_exceeded(&self) -> Option<Failure> {
        let failed = self.item_counts.failed + self.item_counts.timed_out;
        tolerance_exceeded(
            self.tolerated_failure_count,
            self.tolerated_failure_percentage,
            failed,
            self.item_counts.total,
        )
    }
}

/// The failure of a Map run with this many failed items, if they exceed the tolerance.
#[expect(clippy::cast_precision_loss, reason = "there are never 2^52 items")]
pub(crate) fn tolerance_exceeded(
    count: Option<usize>,
    percentage: Option<f64>,
    failed: u64,
    all: u64,
) -> Option<Failure> {
    let share = failed as f64 * 100.0 / all as f64;
    let tolerance_exceeded = match (count, percentage) {
        (None, None) => failed > 0,
        (count, percentage) => {
            count.is_some_and(|count| failed > count as u64)
                || percentage.is_some_and(|percentage| share > percentage)
        }
    };
    let cause = "The specified tolerated failure threshold was exceeded";
    tolerance_exceeded.then(|| Failure::new(reserved::EXCEED_TOLERATED_FAILURE_THRESHOLD, cause))
}

impl Execution {
    /// The Map runs of the execution, in the order of their start.
    pub fn map_runs(&self) -> &[MapRun] {
        &self.map_runs
    }

    /// Changes the limits of a running Map run, as `UpdateMapRun` does; `false`: no running one has this ARN.
    pub fn update_map_run(&mut self, arn: &str, update: MapRunUpdate, now: Timestamp) -> bool {
        let running = |run: &MapRun| &*run.arn == arn && run.status == MapRunStatus::Running;
        let Some(index) = self.map_runs.iter().position(running) else {
            return false;
        };
        let run = &mut self.map_runs[index];
        run.max_concurrency = update.max_concurrency.unwrap_or(run.max_concurrency);
        run.tolerated_failure_count = update.tolerated_failure_count.or(run.tolerated_failure_count);
        run.tolerated_failure_percentage =
            update.tolerated_failure_percentage.or(run.tolerated_failure_percentage);
        let (room, tolerance_exceeded) = (run.concurrency(), run.tolerance_exceeded());
        let parent = self.strands.values_mut().find_map(|strand| match &mut strand.waiting {
            Waiting::Children(children) if children.map_run == Some(MapRunId(index)) => {
                children.concurrency = room;
                Some(strand.id)
            }
            _ => None,
        });
        match (parent, tolerance_exceeded) {
            (Some(parent), Some(failure)) => self.fail_children(parent, failure, now),
            (Some(parent), None) => self.start_children(parent, now),
            (None, _) => {}
        }
        true
    }

    pub(super) fn add_map_run(&mut self, run: MapRun) -> MapRunId {
        self.map_runs.push(run);
        MapRunId(self.map_runs.len() - 1)
    }

    pub(crate) fn map_run(&mut self, id: MapRunId) -> Option<&mut MapRun> {
        self.map_runs.get_mut(id.0)
    }
}
