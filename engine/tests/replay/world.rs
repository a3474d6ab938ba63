//! A host whose clock jumps, whose tasks follow a plan, and whose process can crash between any two steps.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;
use states::{
    Effect, Entry, Execution, Failure, Input, Items, Outcome, Pattern, Start, StateMachine, TaskId,
    TaskRequest, Value,
};

/// No machine of these tests needs as many steps.
const MAX_STEPS: usize = 20_000;

/// The behaviour of the tasks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TaskPlan {
    /// Random by this seed: some tasks fail, some are slow, some never answer.
    Random(u64),
    /// As `Random` until the run is redriven, then as `Succeed`.
    RandomUntilRedrive(u64),
    /// Every task returns its arguments.
    Succeed,
    /// No task ever answers.
    NeverAnswer,
    /// The tasks of these states fail this many times. All other tasks succeed.
    Script(&'static [(&'static str, usize)]),
}

/// A run, its journal and its host.
pub(crate) struct Run {
    machine: Arc<StateMachine>,
    input: Value,
    pub(crate) execution: Execution,
    pub(crate) journal: Vec<String>,
    pub(crate) events: Vec<Json>,
    /// The first request of each task, by its state.
    pub(crate) asked: Vec<(String, Value)>,
    known: BTreeSet<TaskId>,
    answers: BTreeMap<(Timestamp, TaskId, u8), Input>,
    plan: TaskPlan,
    pub(crate) redrives: u32,
}

pub(crate) fn started_at() -> Timestamp {
    "2026-11-21T08:00:00Z".parse().unwrap()
}

fn start() -> Start {
    Start::named("machine", "run", 7)
}

impl Run {
    pub(crate) fn new(definition: &Json, input: &Json, plan: TaskPlan) -> Self {
        let machine = StateMachine::parse(&definition.to_string(), &|_| Ok(()));
        let machine = machine.unwrap_or_else(|problems| panic!("{problems}\n{definition:#}"));
        let input = Value::parse(&input.to_string()).unwrap();
        Self {
            execution: Execution::start(Arc::clone(&machine), start(), input.clone(), started_at()),
            machine,
            input,
            journal: Vec::new(),
            events: Vec::new(),
            asked: Vec::new(),
            known: BTreeSet::new(),
            answers: BTreeMap::new(),
            plan,
            redrives: 0,
        }
    }

    /// Runs to the end. The process crashes after the steps that `crash` selects. A failed run is redriven
    /// this many times.
    pub(crate) fn finish(&mut self, redrives: u32, crash: impl Fn(usize) -> bool) -> Outcome {
        for _ in 0..MAX_STEPS {
            if crash(self.journal.len()) {
                self.crash();
            }
            self.take_effects();
            let entry = match self.execution.outcome() {
                Some(outcome) if self.redrives == redrives || self.execution.redrivable().is_err() => {
                    return outcome.clone();
                }
                Some(_) => self.redrive(),
                None => self.wait(),
            };
            self.journal.push(serde_json::to_string(&entry).unwrap());
            self.execution.step(&entry);
        }
        panic!("the run does not end");
    }

    /// Replays the journal, which is all that survives. Tasks continue if the replayed run requests them.
    fn crash(&mut self) {
        let journal = self.journal.iter().map(|line| serde_json::from_str(line).unwrap());
        let mut events = Vec::new();
        let seen = |event| events.push(serde_json::to_value(&event).unwrap());
        let machine = Arc::clone(&self.machine);
        let mut again = Execution::replay(machine, start(), self.input.clone(), started_at(), journal, seen);
        let effects = again.take_effects();
        let wanted: BTreeSet<_> = effects.iter().filter_map(task).collect();
        self.answers.retain(|(_, id, _), _| wanted.contains(id));
        self.events = events;
        self.execution = again;
        for effect in effects {
            self.effect(effect);
        }
    }

    fn take_effects(&mut self) {
        for effect in self.execution.take_effects() {
            self.effect(effect);
        }
    }

    fn redrive(&mut self) -> Entry {
        self.redrives += 1;
        let at = self.execution.at() + SignedDuration::from_mins(1);
        Entry { at, inputs: vec![Input::Redrive] }
    }

    fn wait(&mut self) -> Entry {
        let answer = self.answers.first_key_value().map(|((due, ..), _)| *due);
        let next = [answer, self.execution.next_due()].into_iter().flatten().min();
        let at = next.expect("a run that waits for nothing").max(self.execution.at());
        let mut inputs = Vec::new();
        while let Some(first) = self.answers.first_entry()
            && first.key().0 <= at
        {
            inputs.push(first.remove());
        }
        Entry { at, inputs }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Event(event) => self.events.push(serde_json::to_value(&event).unwrap()),
            Effect::Cancel(id) => self.answers.retain(|(_, task, _), _| *task != id),
            Effect::StartTask(task) => self.start(&task),
            Effect::ReadItems(source) => {
                if self.known.insert(source.id) {
                    let items = Items::from(vec![Value::from(1), Value::from(2)]);
                    self.answer(source.id, 5, 1, Input::ItemsRead { reading: source.id, items: Ok(items) });
                }
            }
            Effect::WriteResults(files) => {
                if self.known.insert(files.id) {
                    self.answer(files.id, 5, 1, Input::ResultsWritten { writing: files.id, result: Ok(()) });
                }
            }
        }
    }

    fn start(&mut self, task: &TaskRequest) {
        if !self.known.insert(task.id) {
            return;
        }
        let before = self.asked.iter().filter(|(state, _)| **state == *task.state).count();
        self.asked.push((task.state.to_string(), task.arguments.clone()));
        let (luck, delay) = match self.plan {
            TaskPlan::RandomUntilRedrive(_) if self.redrives > 0 => (0, 1),
            TaskPlan::Succeed => (0, 1),
            TaskPlan::NeverAnswer => return,
            TaskPlan::Script(script) => {
                let fails = script.iter().any(|(state, times)| *state == &*task.state && before < *times);
                (if fails { 8 } else { 0 }, 1)
            }
            TaskPlan::Random(seed) | TaskPlan::RandomUntilRedrive(seed) => dice(seed, task.id),
        };
        if task.pattern == Pattern::Callback {
            let submitted = Input::TaskSubmitted { task: task.id, output: Value::from([]) };
            self.answer(task.id, 1, 0, submitted);
        }
        let result = match luck {
            0..6 => Ok(task.arguments.clone()),
            6 | 7 => Err(Failure::new("Busy", "try again")),
            8 => Err(Failure::named("Bad")),
            _ if task.timeout.is_none() && task.heartbeat.is_none() => Err(Failure::default()),
            // The task never answers.
            _ => return,
        };
        self.answer(task.id, 1 + delay, 1, Input::TaskDone { task: task.id, result });
    }

    fn answer(&mut self, id: TaskId, after: i64, place: u8, input: Input) {
        let due = self.execution.at() + SignedDuration::from_secs(after);
        self.answers.insert((due, id, place), input);
    }
}

/// A number from zero to nine that decides the task's result, and its delay.
fn dice(seed: u64, id: TaskId) -> (u64, i64) {
    let mut hasher = DefaultHasher::new();
    (seed, id).hash(&mut hasher);
    let bits = hasher.finish();
    (bits % 10, i64::try_from(bits >> 8 & 0xFFF).unwrap())
}

fn task(effect: &Effect) -> Option<TaskId> {
    match effect {
        Effect::StartTask(task) => Some(task.id),
        Effect::ReadItems(source) => Some(source.id),
        Effect::WriteResults(files) => Some(files.id),
        Effect::Event(_) | Effect::Cancel(_) => None,
    }
}
