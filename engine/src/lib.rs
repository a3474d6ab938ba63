//! The Amazon States Language: reads a definition, checks it and runs it.
//!
//! | file | content |
//! |---|---|
//! | `load/` | text to [`StateMachine`], or every problem of the definition at once |
//! | `state/` | the kinds of states, one file each |
//! | `query/` | JSONPath, intrinsic functions, JSONata, and the templates that contain them |
//! | `run/` | [`Execution`]: the state of a run, and its steps |
//! | `services/` | AWS's services: their calls and the shapes of their answers |
//! | `mock.rs` | mocked answers, in the format of Step Functions Local |
//! | `outline.rs` | a machine as a graph, for checks and drawings |
//! | `history/` | events with AWS's names |
//! | `test_state/` | [`test_state`]: a test of one state alone |
//! | `drive.rs` | [`drive`]: runs an execution on a host's tasks and clock |
//! | `simulate.rs` | [`simulate`]: runs an execution on a closure, in virtual time |
//! | `ids.rs` | the numbers that name flows, states, strands and tasks |
//!
//! The crate reads no clock, starts no thread and does no I/O: its caller passes in time, answers and
//! randomness. Only the time limit of a JSONata expression reads a monotonic clock, in crate `expressions`.

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

/// Runs the README's example as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
