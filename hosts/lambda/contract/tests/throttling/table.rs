//! A double of DynamoDB that accepts a number of units a second and throttles further calls. It has the part of the JSON
//! protocol that steps use.
//!
//! A client in this process calls it without HTTPS, so it runs in tokio's virtual time.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_sdk_dynamodb::config::{RuntimeComponents, http::HttpResponse};
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use aws_smithy_types::body::SdkBody;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

/// The time of an answer.
const LATENCY: Duration = Duration::from_millis(4);
/// Maximum bytes of a write unit.
const WRITE_UNIT: usize = 1024;

/// The tables. They share the write units of a second.
#[derive(Clone)]
pub(crate) struct Tables(Arc<Mutex<State>>);

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tables")
    }
}

struct State {
    /// The items by table, partition and sort key.
    items: BTreeMap<(String, String, String), Value>,
    writes: Bucket,
    reads: Bucket,
    throttled: u64,
    /// The error that answers every call, if there is one.
    fault: Option<(u16, &'static str)>,
}

/// Unused units; at most those of one second accumulate.
struct Bucket {
    rate: f64,
    left: f64,
    filled: Instant,
    used: f64,
}

impl Bucket {
    fn new(rate: f64) -> Self {
        Self { rate, left: 0.0, filled: Instant::now(), used: 0.0 }
    }

    fn take(&mut self, units: f64) -> bool {
        let now = Instant::now();
        let most = self.rate.max(units);
        self.left = (self.left + self.rate * (now - self.filled).as_secs_f64()).min(most);
        self.filled = now;
        let is_enough = self.left >= units;
        if is_enough {
            self.left -= units;
            self.used += units;
        }
        is_enough
    }
}

type Answer = (u16, Value);

impl Tables {
    /// Tables that accept this number of write units a second, and three times as many read units, as new tables do.
    pub(crate) fn new(writes: f64) -> Self {
        Self(Arc::new(Mutex::new(State {
            items: BTreeMap::new(),
            writes: Bucket::new(writes),
            reads: Bucket::new(3.0 * writes),
            throttled: 0,
            fault: None,
        })))
    }

    /// Changes the write units that the tables accept a second.
    pub(crate) fn set_rate(&self, writes: f64) {
        let mut state = self.0.lock().unwrap();
        state.writes.rate = writes;
        state.reads.rate = 3.0 * writes;
    }

    /// Answers every call with this error; `None`: the tables work again.
    pub(crate) fn set_fault(&self, fault: Option<(u16, &'static str)>) {
        self.0.lock().unwrap().fault = fault;
    }

    /// The used write units and the throttled calls since the last call of this function.
    pub(crate) fn used(&self) -> (f64, u64) {
        let mut state = self.0.lock().unwrap();
        (std::mem::take(&mut state.writes.used), std::mem::take(&mut state.throttled))
    }

    /// The items of a table.
    pub(crate) fn items(&self, table: &str) -> Vec<Value> {
        let state = self.0.lock().unwrap();
        state.items.iter().filter(|((of, ..), _)| of == table).map(|(_, item)| item.clone()).collect()
    }
}

impl HttpClient for Tables {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Tables {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let tables = self.clone();
        HttpConnectorFuture::new(async move {
            tokio::time::sleep(LATENCY).await;
            let target = request.headers().get("x-amz-target").unwrap_or_default();
            let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
            let given: Value = serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap();
            let (status, answer) = tables.0.lock().unwrap().answer(&operation, &given);
            let mut response =
                HttpResponse::new(status.try_into().unwrap(), SdkBody::from(answer.to_string()));
            response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
            Ok(response)
        })
    }
}

impl State {
    fn answer(&mut self, operation: &str, given: &Value) -> Answer {
        if let Some((status, code)) = self.fault {
            return failed(status, code);
        }
        match operation {
            "PutItem" => self.put(given),
            "GetItem" => self.get(given),
            "BatchGetItem" => self.batch_get(&given["RequestItems"]),
            "BatchWriteItem" => self.batch_write(&given["RequestItems"]),
            "Query" => self.query(given),
            other => panic!("{other} is not played"),
        }
    }

    fn throttled(&mut self) -> Answer {
        self.throttled += 1;
        failed(400, "ThrottlingException")
    }

    /// A failed condition costs as much as the write.
    fn put(&mut self, given: &Value) -> Answer {
        let item = &given["Item"];
        if !self.writes.take(units(item)) {
            return self.throttled();
        }
        let key = key(text(&given["TableName"]), item);
        let stored = self.items.get(&key);
        let holds = match given["ConditionExpression"].as_str() {
            None => true,
            Some("attribute_not_exists(#p)") => stored.is_none(),
            Some("#v = :v") => {
                stored.is_some_and(|it| it["version"] == given["ExpressionAttributeValues"][":v"])
            }
            Some(other) => panic!("{other} is not played"),
        };
        if holds {
            self.items.insert(key, item.clone());
            return (200, json!({}));
        }
        let (status, mut answer) = failed(400, "ConditionalCheckFailedException");
        if let Some(stored) = stored {
            answer["Item"] = stored.clone();
        }
        (status, answer)
    }

    fn get(&mut self, given: &Value) -> Answer {
        if !self.reads.take(1.0) {
            return self.throttled();
        }
        let found = self.items.get(&key(text(&given["TableName"]), &given["Key"]));
        (200, found.map_or(json!({}), |item| json!({ "Item": item })))
    }

    fn batch_get(&mut self, given: &Value) -> Answer {
        let (mut found, mut left) = (Map::new(), Map::new());
        let mut done = 0;
        for (table, asked) in given.as_object().unwrap() {
            let (mut items, mut open) = (Vec::new(), Vec::new());
            for wanted in asked["Keys"].as_array().unwrap() {
                if self.reads.take(1.0) {
                    done += 1;
                    items.extend(self.items.get(&key(table, wanted)).cloned());
                } else {
                    open.push(wanted.clone());
                }
            }
            found.insert(table.clone(), items.into());
            if !open.is_empty() {
                left.insert(table.clone(), json!({ "Keys": open, "ConsistentRead": true }));
            }
        }
        if done == 0 {
            return self.throttled();
        }
        (200, json!({ "Responses": found, "UnprocessedKeys": left }))
    }

    fn batch_write(&mut self, given: &Value) -> Answer {
        let mut left = Map::new();
        let mut done = 0;
        for (table, writes) in given.as_object().unwrap() {
            let mut open = Vec::new();
            for write in writes.as_array().unwrap() {
                let item = &write["PutRequest"]["Item"];
                if self.writes.take(units(item)) {
                    done += 1;
                    self.items.insert(key(table, item), item.clone());
                } else {
                    open.push(write.clone());
                }
            }
            if !open.is_empty() {
                left.insert(table.clone(), open.into());
            }
        }
        if done == 0 {
            return self.throttled();
        }
        (200, json!({ "UnprocessedItems": left }))
    }

    fn query(&mut self, given: &Value) -> Answer {
        if !self.reads.take(1.0) {
            return self.throttled();
        }
        let values = &given["ExpressionAttributeValues"];
        let (partition, prefix) = (text(&values[":p"]["S"]), values[":s"]["S"].as_str().unwrap_or_default());
        let table = text(&given["TableName"]);
        let is_in = |(of, within, sort): &(String, String, String)| {
            of == table && within == partition && sort.starts_with(prefix)
        };
        let found: Vec<&Value> =
            self.items.iter().filter(|(key, _)| is_in(key)).map(|(_, item)| item).collect();
        (200, json!({ "Items": found }))
    }
}

fn failed(status: u16, code: &str) -> Answer {
    (status, json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "no" }))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn key(table: &str, item: &Value) -> (String, String, String) {
    (table.to_owned(), text(&item["partition"]["S"]).to_owned(), text(&item["sort"]["S"]).to_owned())
}

#[expect(clippy::cast_precision_loss, reason = "small")]
fn units(item: &Value) -> f64 {
    item.to_string().len().div_ceil(WRITE_UNIT) as f64
}
