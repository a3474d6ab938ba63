//! A step that fails for good loses nothing: what it left undecided is in quarantine, whole, and goes its way
//! when it is sent again (design, contract 6).

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    harness::program::{Place, Server},
    records::{
        case::Case,
        cases::{self, Stage},
    },
};

/// A case that is played while a step fails, and what a replay makes of it once the step is mended.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Failure {
    /// The state whose step fails.
    breaks: String,
    pub(crate) case: Case,
    /// The outcomes of what is sent again; empty: there was nothing to send.
    replayed: BTreeMap<String, u64>,
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn failures() -> Vec<Failure> {
    cases::read(&root().join("tests/records/failures.json"), "1")
}

/// A copy of the template and its machines, the template's text changed by `edit`.
pub(crate) fn template(place: &Place, edit: impl FnOnce(String) -> String) -> PathBuf {
    fs::create_dir_all(place.path("statemachines")).unwrap();
    for machine in fs::read_dir(root().join("statemachines")).unwrap() {
        let machine = machine.unwrap();
        fs::copy(machine.path(), place.path("statemachines").join(machine.file_name())).unwrap();
    }
    let text = fs::read_to_string(root().join("template.yaml")).unwrap();
    place.file("template.yaml", edit(text))
}

/// Gives a state of the copied machines another function, which refuses what it is given.
pub(crate) fn break_step(place: &Place, state: &str) {
    let other = if state == "CutChunks" { "ValidateSchema" } else { "CutChunks" };
    let resource = |function: &str| format!("\"${{FunctionPrefix}}{function}\"");
    let mut broken = 0;
    for machine in fs::read_dir(place.path("statemachines")).unwrap() {
        let machine = machine.unwrap().path();
        let text = fs::read_to_string(&machine).unwrap();
        broken += text.matches(&resource(state)).count();
        fs::write(machine, text.replace(&resource(state), &resource(other))).unwrap();
    }
    assert!(broken > 0, "no machine has {state}");
}

#[track_caller]
fn check(failure: &Failure) {
    let place = Place::new();
    let template = template(&place, |text| text);
    break_step(&place, &failure.breaks);
    let server = Server::start_with(&place, [Path::new("--template"), &template]);
    cases::check(&Stage::local(&place, &server), &failure.case);
    drop(server);
    let replayed = place.run(["quarantine", "replay", "--error-type", "processing", "--json"]);
    if failure.replayed.is_empty() {
        assert!(replayed.stdout.contains("no record to replay"), "{replayed:?}");
        return;
    }
    let mut outcomes: BTreeMap<String, u64> =
        serde_json::from_value(replayed.json()["outcomes"].clone()).unwrap();
    outcomes.retain(|_, count| *count > 0);
    assert_eq!(outcomes, failure.replayed, "{}", failure.breaks);
}

#[test]
fn a_step_that_fails_for_good_loses_nothing() {
    for failure in failures() {
        check(&failure);
    }
}
