//! `crmflow serve` as a server, and a connection to its Step Functions endpoint.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use super::Workload;
use crate::error::Error;

/// A server with its own data folder.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    address: String,
}

/// A keep-alive connection.
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
    address: String,
}

impl Server {
    /// Starts the server on free ports.
    pub(super) fn start(program: &Path, data: &Path) -> Result<Self, Error> {
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--sfn-listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::at(program))?;
        let said = child.stdout.take().map(BufReader::new);
        let address = said.into_iter().flat_map(BufRead::lines).map_while(Result::ok).find_map(|line| {
            let address = line.split("Step Functions").nth(1)?.split("http://").nth(1)?;
            Some(address.trim_end_matches(|c: char| !c.is_ascii_digit()).to_owned())
        });
        let address = address.ok_or_else(|| {
            Error::wrong("crmflow serve", "it did not print the address on which it listens")
        })?;
        Ok(Self { child, address })
    }

    pub(super) fn connect(&self) -> Result<Connection, Error> {
        let stream = TcpStream::connect(&self.address).map_err(Error::of("the endpoint"))?;
        stream.set_nodelay(true).map_err(Error::of("the endpoint"))?;
        Ok(Connection { stream: BufReader::new(stream), address: self.address.clone() })
    }

    /// Creates a machine. Returns its ARN.
    pub(super) fn create(&self, name: &str, definition: &Value) -> Result<String, Error> {
        let machine = json!({
            "name": name,
            "definition": definition.to_string(),
            "roleArn": "arn:aws:iam::000000000000:role/none",
        });
        let made = self.connect()?.call("CreateStateMachine", &machine)?;
        made["stateMachineArn"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| Error::wrong("crmflow", "a new machine has no ARN"))
    }

    /// The ARN of the template's machine with this name.
    pub(super) fn find(&self, name: &str) -> Result<String, Error> {
        let listed = self.connect()?.call("ListStateMachines", &json!({}))?;
        let machines = listed["stateMachines"].as_array().into_iter().flatten();
        let mut arns = machines.filter_map(|machine| machine["stateMachineArn"].as_str());
        let found = arns.find(|arn| arn.rsplit(':').next() == Some(name));
        found.map(str::to_owned).ok_or_else(|| Error::wrong("crmflow", format!("there is no {name}")))
    }

    /// Waits until no execution of a machine is running.
    pub(super) fn wait_for_all(&self, machine: &str) -> Result<(), Error> {
        let mut connection = self.connect()?;
        let running = json!({ "stateMachineArn": machine, "statusFilter": "RUNNING", "maxResults": 1 });
        while connection.call("ListExecutions", &running)?["executions"] != json!([]) {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Checks that every execution succeeded, or waits, and that the history of the last one has every state.
    pub(super) fn check(&self, machine: &str, executions: u64, workload: Workload) -> Result<(), Error> {
        let mut connection = self.connect()?;
        let status = if workload == Workload::Waiting { "RUNNING" } else { "SUCCEEDED" };
        let mut found = 0;
        let mut next = Value::Null;
        loop {
            let mut page = json!({ "stateMachineArn": machine, "maxResults": 1000, "statusFilter": status });
            if !next.is_null() {
                page["nextToken"] = next;
            }
            let answer = connection.call("ListExecutions", &page)?;
            found += answer["executions"].as_array().map_or(0, Vec::len) as u64;
            next = answer["nextToken"].clone();
            if next.is_null() {
                break;
            }
        }
        let last = machine.replace(":stateMachine:", ":execution:") + &format!(":run-{}", executions - 1);
        let entered = connection.entered(&last)?;
        if (found, entered) == (executions, workload.transitions()) {
            return Ok(());
        }
        let why =
            format!("{found} of {executions} executions are {status}; the last entered {entered} states");
        Err(Error::wrong("crmflow", why))
    }

    /// Stops the server and waits for its end: only then the system counts its resources.
    pub(super) fn stop(mut self) -> Result<(), Error> {
        let id = self.child.id().to_string();
        Command::new("kill").arg(id).status().map_err(Error::of("kill"))?;
        self.child.wait().map_err(Error::of("crmflow serve")).map(drop)
    }
}

impl Connection {
    /// Calls an operation. Returns the answer, or the error of the endpoint.
    pub(super) fn call(&mut self, operation: &str, body: &Value) -> Result<Value, Error> {
        let gone = Error::of("the endpoint");
        let body = body.to_string();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-amz-json-1.0\r\n\
             X-Amz-Target: AWSStepFunctions.{operation}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        self.stream.get_mut().write_all((head + &body).as_bytes()).map_err(&gone)?;
        let (mut status, mut length, mut line) = (String::new(), 0, String::new());
        loop {
            line.clear();
            self.stream.read_line(&mut line).map_err(&gone)?;
            if status.is_empty() {
                line.trim_end().clone_into(&mut status);
            } else if line.trim_end().is_empty() {
                break;
            } else if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).map_err(&gone)?;
        if status.split(' ').nth(1) != Some("200") {
            return Err(Error::wrong(
                "crmflow",
                format!("{operation}: {}", String::from_utf8_lossy(&answer)),
            ));
        }
        serde_json::from_slice(&answer).map_err(|error| Error::wrong("crmflow", error.to_string()))
    }

    /// The number of states that an execution entered, by its history.
    fn entered(&mut self, execution: &str) -> Result<u64, Error> {
        let (mut entered, mut next) = (0, Value::Null);
        loop {
            let mut page = json!({ "executionArn": execution, "maxResults": 1000 });
            if !next.is_null() {
                page["nextToken"] = next;
            }
            let answer = self.call("GetExecutionHistory", &page)?;
            let events = answer["events"].as_array().into_iter().flatten();
            let names = events.filter_map(|event| event["type"].as_str());
            entered += names.filter(|name| name.ends_with("StateEntered")).count() as u64;
            next = answer["nextToken"].clone();
            if next.is_null() {
                return Ok(entered);
            }
        }
    }
}
