//! Chunks on their way through the machines, by the numbers of the template and the definitions, in virtual time.

use std::{path::Path, time::Duration};

use batches::{remove_duplicates, validate_schema};
use contacts::{put_opt_ins, withdraw_opt_ins};
use jiff::Timestamp;
use kernel::{
    Error, Objects,
    ledger::{Part, StagedPart},
    step::{Decided, Step},
    store::Table,
};
use lambda::{Config, Deadline, DynamoStore};
use object_store::memory::InMemory;
use rand::RngExt;
use saphyr::{LoadableYamlNode, YamlOwned};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::table::Tables;

/// Maximum time of an EXPRESS execution.
const EXPRESS: Duration = Duration::from_secs(300);
/// The time of the other steps of a chunk together.
const OTHER_STEPS: Duration = Duration::from_secs(8);

fn text(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").join(path)).unwrap()
}

fn machine(name: &str) -> Value {
    serde_json::from_str(&text(&format!("statemachines/{name}.asl.json"))).unwrap()
}

/// The settings of the template and the machines.
pub(crate) struct Flow {
    records: Value,
    batch: Value,
    template: YamlOwned,
}

impl Flow {
    pub(crate) fn read() -> Self {
        let mut documents = YamlOwned::load_from_str(&text("template.yaml")).unwrap();
        Self { records: machine("records"), batch: machine("batch"), template: documents.remove(0) }
    }

    fn number(&self, path: &[&str]) -> Option<u64> {
        let mut node = &self.template;
        for name in path {
            node = node.as_mapping_get(name)?;
        }
        node.as_integer().and_then(|number| u64::try_from(number).ok())
    }

    /// Maximum number of concurrent chunks.
    pub(crate) fn chunks_at_once(&self) -> usize {
        let given = self.number(&["Parameters", "MaxConcurrentChunks", "Default"]).unwrap();
        usize::try_from(given).unwrap()
    }

    fn function_timeout(&self, state: &str) -> Duration {
        let own = self.number(&["Resources", &format!("{state}Function"), "Properties", "Timeout"]);
        Duration::from_secs(own.or_else(|| self.number(&["Globals", "Function", "Timeout"])).unwrap())
    }

    /// A state: its function, and its attempts.
    async fn state<T>(&self, name: &str, call: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
        let retriers = self.records["States"][name]["Retry"].as_array().unwrap();
        let mut tried = vec![0; retriers.len()];
        loop {
            let now = now();
            let ends = Deadline::new(now + self.function_timeout(name));
            let error = match ends.bound(now, call()).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let is_for = |retrier: &Value| {
                retrier["ErrorEquals"].as_array().unwrap().iter().any(|it| it == error.name())
            };
            let Some(at) = retriers.iter().position(is_for) else { return Err(error) };
            let Some(most) = wait(&retriers[at], tried[at]) else { return Err(error) };
            tried[at] += 1;
            sleep(most.mul_f64(rand::rng().random())).await;
        }
    }

    /// The execution of a chunk: `None` if its records ended in quarantine.
    pub(crate) async fn chunk(&self, chunk: &Chunk, store: &DynamoStore) -> Option<Part> {
        let states = &self.batch["States"]["RunChunks"]["ItemProcessor"]["States"];
        let pause = Duration::from_secs(states["WaitForCalls"]["Seconds"].as_u64().unwrap());
        // The limit that MayTryAgain compares, in milliseconds.
        let condition = states["MayTryAgain"]["Choices"][0]["Condition"].as_str().unwrap();
        let bound = condition.trim_end_matches(" %}").rsplit(' ').next().unwrap().parse().unwrap();
        let began = Instant::now();
        loop {
            match timeout(EXPRESS, Box::pin(self.execution(chunk, store))).await {
                Ok(ended) => return ended.ok(),
                Err(_) => sleep(pause).await,
            }
            if began.elapsed() >= Duration::from_millis(bound) {
                return None;
            }
        }
    }

    async fn execution(&self, chunk: &Chunk, store: &DynamoStore) -> Result<Part, Error> {
        let Chunk { objects, opted_in, opted_out } = chunk;
        sleep(OTHER_STEPS).await;
        let mut whole = Part::default();
        for (name, step) in [("PutOptIns", opted_in), ("WithdrawOptIns", opted_out)] {
            let decided = self
                .state(name, async || match name {
                    "PutOptIns" => Box::pin(put_opt_ins(step.clone(), store, objects)).await,
                    _ => Box::pin(withdraw_opt_ins(step.clone(), store, objects)).await,
                })
                .await?;
            let Decided { part } = decided;
            whole.merge(part.open(objects).await?);
        }
        Ok(whole)
    }
}

/// The maximum wait of a retrier before the next attempt; `None`: no attempts are left.
fn wait(retrier: &Value, tried: i32) -> Option<Duration> {
    let number = |name: &str, otherwise: f64| retrier[name].as_f64().unwrap_or(otherwise);
    if f64::from(tried) >= number("MaxAttempts", 3.0) {
        return None;
    }
    let grown = number("IntervalSeconds", 1.0) * number("BackoffRate", 2.0).powi(tried);
    Some(Duration::from_secs_f64(grown.min(number("MaxDelaySeconds", f64::MAX))))
}

/// A chunk after its first steps.
pub(crate) struct Chunk {
    objects: Objects,
    opted_in: Step,
    opted_out: Step,
}

impl Chunk {
    /// `count` contacts with this name.
    pub(crate) async fn new(number: usize, count: usize, name: &str, opt_in: bool) -> Self {
        let memory = || std::sync::Arc::new(InMemory::new());
        let objects = Objects::new(memory(), memory());
        let contact = |of: usize| json!({ "name": name, "email": format!("c{number}-{of}@throttling.example"), "optIn": opt_in });
        let input: Vec<Value> = (0..count).map(contact).collect();
        let execution = json!({ "name": format!("{name}-{number}"), "startedAt": now().to_string() });
        let start = serde_json::from_value(json!({ "input": input, "execution": execution })).unwrap();
        let validated = serde_json::to_value(validate_schema(start, &objects).await.unwrap()).unwrap();
        let step = |of: &Value| {
            serde_json::from_value::<Step>(json!({ "batch": validated["batch"], "records": of })).unwrap()
        };
        let unique = remove_duplicates(step(&validated["valid"]), &objects).await.unwrap();
        let unique = serde_json::to_value(unique).unwrap();
        let (opted_in, opted_out) = (step(&unique["optedIn"]), step(&unique["optedOut"]));
        Self { objects, opted_in, opted_out }
    }

    /// Calls PutOptIns once with this chunk and a time limit.
    pub(crate) async fn put_once(&self, store: &DynamoStore, time: Duration) -> Result<StagedPart, Error> {
        let now = now();
        let step = put_opt_ins(self.opted_in.clone(), store, &self.objects);
        Deadline::new(now + time).bound(now, step).await.map(|decided| decided.part)
    }
}

/// The store of one function's environment.
pub(crate) fn store(tables: &Tables) -> DynamoStore {
    let config = Config::read(|name| {
        Some(match name {
            "AWS_ENDPOINT_URL" => "http://dynamodb.test".to_owned(),
            "AWS_REGION" => "eu-west-1".to_owned(),
            name => name.to_owned(),
        })
    });
    DynamoStore::with_client(tables.clone(), &config, &Table::ALL).unwrap()
}

fn now() -> Timestamp {
    lambda::clock::now()
}
