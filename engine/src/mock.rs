//! Mocked answers of tasks, in the format of Step Functions Local's mock configuration file.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;

use serde::Deserialize;

use crate::failure::{Failure, reserved};
use crate::value::Value;

/// A mock configuration file: test cases of machines, and their responses.
#[derive(Clone, Debug, Default)]
pub struct MockFile {
    /// The name of a response, by machine, test case and state.
    machines: BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>,
    responses: BTreeMap<String, Responses>,
}

/// One test case: the responses of each mocked state, and the number of its calls so far.
#[derive(Clone, Debug)]
pub struct MockCase {
    states: HashMap<String, (Responses, u32)>,
}

/// The reason why a mock configuration file is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MockProblem(String);

/// The responses of a state, by the number of the call.
type Responses = Vec<(RangeInclusive<u32>, Response)>;

/// The response to one call.
type Response = Result<Value, Failure>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct File {
    #[serde(default)]
    state_machines: BTreeMap<String, Machine>,
    #[serde(default)]
    mocked_responses: BTreeMap<String, BTreeMap<String, Answer>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Machine {
    test_cases: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Answer {
    #[serde(default, deserialize_with = "present")]
    r#return: Option<Value>,
    throw: Option<Throw>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Throw {
    error: String,
    cause: Option<String>,
}

/// A member whose value may be `null`, which differs from a missing member.
fn present<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(input).map(Some)
}

impl MockFile {
    /// Parses a file.
    ///
    /// # Errors
    /// The file is not in the format, or a test case names a missing response.
    pub fn parse(text: &str) -> Result<Self, MockProblem> {
        let file: File = serde_json::from_str(text).map_err(|error| MockProblem(error.to_string()))?;
        let responses = file.mocked_responses.into_iter();
        let responses = responses.map(|(name, answers)| Ok((name.clone(), read(&name, answers)?)));
        let responses = responses.collect::<Result<BTreeMap<_, _>, MockProblem>>()?;
        let machines: BTreeMap<_, _> =
            file.state_machines.into_iter().map(|(name, machine)| (name, machine.test_cases)).collect();
        let used = machines.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values);
        if let Some(missing) = used.into_iter().find(|name| !responses.contains_key(*name)) {
            return Err(MockProblem(format!("there is no mocked response {missing}")));
        }
        Ok(Self { machines, responses })
    }

    /// The machines with test cases.
    pub fn machines(&self) -> impl Iterator<Item = &str> {
        self.machines.keys().map(String::as_str)
    }

    /// The test cases of a machine.
    pub fn test_cases(&self, machine: &str) -> impl Iterator<Item = &str> {
        self.machines.get(machine).into_iter().flat_map(BTreeMap::keys).map(String::as_str)
    }

    /// A test case before its first call.
    pub fn case(&self, machine: &str, test_case: &str) -> Option<MockCase> {
        let states = self.machines.get(machine)?.get(test_case)?.iter();
        let states = states.map(|(state, response)| {
            let responses = self.responses.get(response).cloned().unwrap_or_default();
            (state.clone(), (responses, 0))
        });
        Some(MockCase { states: states.collect() })
    }
}

impl MockCase {
    /// Whether a state is mocked. Its task then never runs.
    pub fn has(&self, state: &str) -> bool {
        self.states.contains_key(state)
    }

    /// The mocked states.
    pub fn states(&self) -> impl Iterator<Item = &str> {
        self.states.keys().map(String::as_str)
    }

    /// The response to the next call of a state; `None`: the state is not mocked. A call without a response
    /// fails the run.
    pub fn answer(&mut self, state: &str) -> Option<Result<Value, Failure>> {
        let (responses, calls) = self.states.get_mut(state)?;
        let call = *calls;
        *calls += 1;
        let found = responses.iter().find(|(range, _)| range.contains(&call));
        Some(found.map_or_else(
            || {
                let cause = format!("There is no mocked response for call {call} of the state '{state}'");
                Err(Failure::new(reserved::RUNTIME, cause))
            },
            |(_, response)| response.clone(),
        ))
    }
}

fn read(name: &str, answers: BTreeMap<String, Answer>) -> Result<Responses, MockProblem> {
    let mut responses: Responses = Vec::new();
    for (calls, answer) in answers {
        let problem = |what: &str| MockProblem(format!("{name}/{calls}: {what}"));
        let range =
            range(&calls).ok_or_else(|| problem("a call is a number from 0, or a range of them like 1-2"))?;
        if responses.iter().any(|(other, _)| other.start() <= range.end() && range.start() <= other.end()) {
            return Err(problem("the call has an answer already"));
        }
        let response = match (answer.r#return, answer.throw) {
            (Some(value), None) => Ok(value),
            (None, Some(Throw { error, cause })) => Err(Failure { error: Some(error), cause }),
            _ => return Err(problem("an answer has either 'Return' or 'Throw'")),
        };
        responses.push((range, response));
    }
    Ok(responses)
}

fn range(calls: &str) -> Option<RangeInclusive<u32>> {
    let (first, last) = calls.split_once('-').unwrap_or((calls, calls));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last).then_some(first..=last)
}
