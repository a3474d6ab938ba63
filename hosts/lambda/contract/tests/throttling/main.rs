//! Throttling is back-pressure: steps store throttled records later, and no record ends in quarantine.
//!
//! A new table accepts 4,000 writes a second. The tests have a part of the contacts and the same part of the rate, in
//! virtual time: each state, timeout and wait is as long as on AWS.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod flow;
mod table;

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt, stream};
use kernel::outcome::Outcome;
use lambda::DynamoStore;

use crate::{
    flow::{Chunk, Flow, store},
    table::Tables,
};

const OPT_INS: &str = "OPT_INS_TABLE";
const CONSENTS: &str = "CONSENTS_TABLE";

/// A million contacts are 50 chunks of 20,000.
const CHUNKS: usize = 50;
const IN_CHUNK: usize = 20_000;
/// Writes a second that a new table accepts.
const NEW_TABLE: f64 = 4_000.0;

/// Runs chunks through the flow, with a bound of concurrent ones. Returns the number of records with this outcome, and of
/// failed chunks.
async fn import(chunks: Vec<Chunk>, at_once: usize, tables: &Tables, outcome: Outcome) -> (usize, usize) {
    let flow = &Flow::read();
    // The environments of functions. Each has its own concurrency limits.
    let stores: Vec<DynamoStore> = (0..at_once).map(|_| store(tables)).collect();
    let stores = &tokio::sync::Mutex::new(stores);
    let run = async |chunk: Chunk| {
        let store = stores.lock().await.pop().unwrap();
        let ended = flow.chunk(&chunk, &store).await;
        stores.lock().await.push(store);
        ended
    };
    let ended: Vec<_> = stream::iter(chunks).map(run).buffer_unordered(at_once).collect().await;
    let failed = ended.iter().filter(|part| part.is_none()).count();
    let parts = ended.into_iter().flatten();
    (parts.map(|part| part.rows.get(&outcome).map_or(0, Vec::len)).sum(), failed)
}

async fn chunks(count: usize, records: usize, name: &str, opt_in: bool) -> Vec<Chunk> {
    stream::iter(0..count).then(|number| Chunk::new(number, records, name, opt_in)).collect().await
}

/// The `part`-th part of a million contacts, with `at_once` concurrent chunks.
async fn check_import(part: usize, at_once: usize) {
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let tables = Tables::new(NEW_TABLE / part as f64);
    let records = IN_CHUNK / part;
    let chunks = chunks(CHUNKS, records, "New", true).await;
    let (saved, failed) = import(chunks, at_once, &tables, Outcome::Saved).await;
    assert_eq!((saved, failed), (CHUNKS * records, 0));
    let stored = tables.items(OPT_INS);
    let addresses: BTreeSet<String> = stored.iter().map(|item| item["email"]["S"].to_string()).collect();
    assert_eq!((stored.len(), addresses.len()), (saved, saved));
    let (used, throttled) = tables.used();
    assert!(throttled > 0, "nothing was throttled");
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let needed = saved as f64;
    assert!(used < 1.1 * needed, "{used} writes for {saved} contacts");
}

#[tokio::test(start_paused = true)]
async fn a_million_new_contacts_end_stored_on_new_tables() {
    check_import(400, Flow::read().chunks_at_once()).await;
}

/// Each change writes the old consent statement and the new one.
#[tokio::test(start_paused = true)]
async fn throttled_changes_and_withdrawals_end_stored() {
    const RECORDS: usize = 400;
    let tables = Tables::new(1e6);
    import(chunks(2, RECORDS, "Old", true).await, 2, &tables, Outcome::Saved).await;
    tables.set_rate(40.0);
    let changes = chunks(2, RECORDS, "New", true).await;
    assert_eq!(import(changes, 2, &tables, Outcome::Saved).await, (2 * RECORDS, 0));
    let withdrawals = chunks(2, RECORDS, "New", false).await;
    assert_eq!(import(withdrawals, 2, &tables, Outcome::Withdrawn).await, (2 * RECORDS, 0));
    let current = tables.items(OPT_INS);
    assert!(current.iter().all(|item| item["name"]["S"] == "New" && item["optIn"]["BOOL"] == false));
    // The earlier statements, each once.
    assert_eq!((current.len(), tables.items(CONSENTS).len()), (2 * RECORDS, 4 * RECORDS));
}

/// A function that has no time left fails by the name of that error, and the next call continues.
#[tokio::test(start_paused = true)]
async fn a_step_that_is_run_again_goes_on_where_it_stopped() {
    const RECORDS: usize = 2_000;
    let tables = Tables::new(20.0);
    let chunk = Chunk::new(0, RECORDS, "New", true).await;
    let mut stored = 0;
    for call in 1.. {
        // Each call has a new environment, without the limits of the last.
        let ended = chunk.put_once(&store(&tables), Duration::from_secs(55)).await;
        let now_stored = tables.items(OPT_INS).len();
        match ended {
            Ok(_) => break,
            Err(error) => assert_eq!(error.name(), "OutOfTime"),
        }
        assert!(now_stored >= stored + 300, "call {call} stored {} contacts", now_stored - stored);
        stored = now_stored;
    }
    assert_eq!(tables.items(OPT_INS).len(), RECORDS);
    let (used, _) = tables.used();
    assert!(used < 1.3 * 2_000.0, "{used} writes for {RECORDS} contacts");
}

/// The SDK stops after a hundred throttled calls. A step waits longer.
#[tokio::test(start_paused = true)]
async fn faults_that_pass_are_waited_for() {
    for fault in [
        (400, "ThrottlingException"),
        (400, "ProvisionedThroughputExceededException"),
        (400, "RequestLimitExceeded"),
        (500, "InternalServerError"),
        (503, "ServiceUnavailable"),
    ] {
        let tables = Tables::new(1e6);
        let chunk = Chunk::new(0, 200, "New", true).await;
        tables.set_fault(Some(fault));
        let store = store(&tables);
        let mend = async {
            tokio::time::sleep(Duration::from_secs(15)).await;
            tables.set_fault(None);
        };
        let (ended, ()) = tokio::join!(chunk.put_once(&store, Duration::from_secs(55)), mend);
        ended.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(tables.items(OPT_INS).len(), 200, "{fault:?}");
    }
}

/// A step fails at once when DynamoDB refuses a call.
#[tokio::test(start_paused = true)]
async fn what_is_refused_is_not_tried_again() {
    let tables = Tables::new(1e6);
    let chunk = Chunk::new(0, 200, "New", true).await;
    tables.set_fault(Some((400, "AccessDeniedException")));
    let ended = chunk.put_once(&store(&tables), Duration::from_secs(55)).await;
    assert_eq!(ended.err().map(|error| error.name()), Some("StorageRefused"));
}
