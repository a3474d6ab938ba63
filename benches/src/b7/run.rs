//! One run of crmflow: in memory with the engine alone, or durable with `crmflow serve`.

use std::{path::Path, thread, time::Instant};

use serde_json::{Value as Json, json};
use states::{Details, Effect, Execution, Start, StateMachine, Value};

use super::{Ran, Workload, endpoint::Server};
use crate::error::Error;

/// Connections that start executions at once.
const CLIENTS: u64 = 64;

/// Runs executions on the engine alone.
pub fn in_memory(workload: Workload, executions: u64) -> Result<Ran, Error> {
    let failed = |why: String| Error::wrong("the engine", why);
    let machine = StateMachine::parse(&workload.definition().to_string(), &|_| Ok(()))
        .map_err(|problems| failed(problems.to_string()))?;
    let input = Value::parse(&workload.input(0).to_string()).map_err(|error| failed(error.to_string()))?;
    let now = jiff::Timestamp::UNIX_EPOCH;
    let (began, mut transitions) = (Instant::now(), 0);
    for number in 0..executions {
        let start = Start::named("machine", "run", number);
        let mut execution = Execution::start(machine.clone(), start, input.clone(), now);
        while let Some(effect) = execution.next_effect(now) {
            let entered =
                matches!(&effect, Effect::Event(event) if matches!(event.details, Details::Entered { .. }));
            transitions += u64::from(entered);
        }
        if execution.outcome().is_none() {
            return Err(failed("an execution did not end".into()));
        }
    }
    Ok(ran(began, transitions, Vec::new()))
}

/// Runs executions on a new server. Each execution is on the disk before the server answers its start.
pub fn durable(workload: Workload, executions: u64, program: &Path, data: &Path) -> Result<Ran, Error> {
    let server = Server::start(program, data)?;
    let machine = match workload {
        Workload::Flow => server.find("RecordsStateMachine")?,
        _ => server.create(workload.name(), &workload.definition())?,
    };
    let began = Instant::now();
    let millis = if workload.is_timed() {
        one_by_one(&server, &machine, workload, executions)?
    } else {
        start_all(&server, &machine, workload, executions)?;
        Vec::new()
    };
    let ran = ran(began, executions * workload.transitions(), millis);
    server.check(&machine, executions, workload)?;
    server.stop()?;
    Ok(ran)
}

/// Starts the executions on many connections. Waits until the last has ended, unless they wait for an hour.
fn start_all(server: &Server, machine: &str, workload: Workload, executions: u64) -> Result<(), Error> {
    let clients = CLIENTS.min(executions);
    let client = |client: u64| {
        let mut connection = server.connect()?;
        for number in (client..executions).step_by(usize::try_from(clients).unwrap_or(1)) {
            connection.call("StartExecution", &start(machine, workload, number))?;
        }
        Ok::<_, Error>(())
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|number| scope.spawn(move || client(number))).collect();
        clients.into_iter().try_for_each(|client| {
            client.join().unwrap_or_else(|_| Err(Error::wrong("a client", "it panicked")))
        })
    })?;
    if workload == Workload::Waiting { Ok(()) } else { server.wait_for_all(machine) }
}

/// Starts each execution after the end of the previous one, and polls for its end. Returns the milliseconds of each.
fn one_by_one(
    server: &Server,
    machine: &str,
    workload: Workload,
    executions: u64,
) -> Result<Vec<f64>, Error> {
    let mut connection = server.connect()?;
    let mut millis = Vec::new();
    for number in 0..executions {
        let began = Instant::now();
        let started = connection.call("StartExecution", &start(machine, workload, number))?;
        let which = json!({ "executionArn": started["executionArn"] });
        while connection.call("DescribeExecution", &which)?["status"] == "RUNNING" {}
        millis.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(millis)
}

fn start(machine: &str, workload: Workload, number: u64) -> Json {
    json!({
        "stateMachineArn": machine,
        "name": format!("run-{number}"),
        "input": workload.input(number).to_string(),
    })
}

fn ran(began: Instant, transitions: u64, millis: Vec<f64>) -> Ran {
    let seconds = began.elapsed().as_secs_f64();
    Ran { version: env!("CARGO_PKG_VERSION").to_owned(), seconds, transitions, millis }
}
