//! The Amazon States Language: read a definition, check it, run it.
//!
//! | file | what it holds |
//! |---|---|
//! | `load/` | text to [`StateMachine`]; every problem of a definition at once |
//! | `state/` | the kinds of states, one file each |
//! | `query/` | JSONPath, intrinsic functions, JSONata, and the templates that hold them |
//! | `run/` | [`Execution`]: a run's memory and how it goes on |
//! | `services/` | AWS's services: which calls there are, and what they answer |
//! | `mock.rs` | mocked answers, in Step Functions Local's format |
//! | `outline.rs` | a machine as a graph, for checks and drawings |
//! | `history/` | events with AWS's names |
//! | `test_state/` | [`test_state`]: one state, tested alone |
//! | `drive.rs` | [`drive`]: runs an execution on a host's tasks and clock |
//! | `simulate.rs` | [`simulate`]: runs one on a closure, in virtual time |
//!
//! Nothing in here asks a clock, starts a thread or does I/O: time, answers and randomness are passed in.

mod drive;
mod effect;
mod failure;
mod history;
mod ids;
mod load;
mod machine;
mod mock;
mod outline;
mod problem;
mod query;
mod rng;
mod run;
mod services;
mod simulate;
mod state;
mod test_state;
mod token;
mod value;

pub use jiff::Timestamp;

pub use drive::{NotRecorded, TaskRunner, drive, drive_with};
pub use effect::{
    Effect, ItemFormat, ItemSource, Items, ObjectSet, Outcome, Pattern, Progress, ResultFile, ResultFiles,
    TaskRequest,
};
pub use failure::{Failure, reserved};
pub use history::{Details, EventType, HistoryEvent, Integration};
pub use ids::TaskId;
pub use machine::{MachineType, StateMachine};
pub use mock::{MockCase, MockFile, MockProblem};
pub use outline::{Edge, PathLength, StateView, Via};
pub use problem::{Code, Problem, Problems, Severity};
pub use run::{Counts, Entry, Execution, Input, MapRun, MapRunStatus, MapRunUpdate, REVISION, Start};
pub use simulate::simulate;
pub use test_state::{
    FieldValidationMode, InspectionLevel, Mock, MockedError, StateConfiguration, StateTest, TestSite,
    TestStateAnswer, TestStateError, TestStateRequest, TestStatus, drive_test, test_state,
};
pub use token::TaskToken;
pub use value::{Array, Number, Object, Value};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
