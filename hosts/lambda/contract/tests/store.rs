//! The contracts of the store and of events on DynamoDB, which runs in this process.

#![expect(clippy::expect_used, reason = "a test may fail")]

use std::sync::Arc;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use kernel::{
    Objects,
    queue::{Message, Queue, QueueError, QueueName},
    store::Table,
    store_contract::store_contract,
};
use lambda::{Config, DynamoStore, attributes};
use object_store::memory::InMemory;
use registry::{consent_contract::consent_contract, event_contract::event_contract};

#[tokio::test(flavor = "multi_thread")]
async fn dynamodb_keeps_the_contract() {
    store_contract(emulated().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamodb_keeps_the_contract_of_events() {
    let objects = || Arc::new(InMemory::new());
    event_contract(emulated().await, Objects::new(objects(), objects()), Unheard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamodb_keeps_the_contract_of_consent() {
    let objects = || Arc::new(InMemory::new());
    consent_contract(emulated().await, Objects::new(objects(), objects())).await;
}

/// A queue without a receiver: these tests do not check wake-ups.
#[derive(Clone)]
struct Unheard;

impl Queue for Unheard {
    async fn send(&self, _: QueueName, _: Vec<Message>) -> Result<(), QueueError> {
        Ok(())
    }
}

/// A store on an emulator that ends with the test.
async fn emulated() -> DynamoStore {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let database = dynoxide::Database::memory().expect("a database");
    tokio::spawn(dynoxide::server::serve_on(listener, database));
    let config = Config::read(|name| {
        Some(match name {
            "AWS_ENDPOINT_URL" => endpoint.clone(),
            "AWS_REGION" => "eu-west-1".to_owned(),
            name => format!("test-{name}"),
        })
    });
    let store = DynamoStore::new(&config, &Table::ALL).expect("a store");
    for table in Table::ALL {
        create(&store, config.table(table).get().expect("a name")).await;
    }
    store
}

async fn create(store: &DynamoStore, name: &str) {
    let mut table = store.client().create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    for (attribute, kind) in [(attributes::PARTITION, KeyType::Hash), (attributes::SORT, KeyType::Range)] {
        let key = KeySchemaElement::builder().attribute_name(attribute).key_type(kind);
        let text =
            AttributeDefinition::builder().attribute_name(attribute).attribute_type(ScalarAttributeType::S);
        table = table
            .key_schema(key.build().expect("a key"))
            .attribute_definitions(text.build().expect("a type"));
    }
    table.send().await.expect("a table");
}
