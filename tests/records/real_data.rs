//! Ten real batches, in order, into one store. They are not part of the repository: they are looked for in
//! the folder `shared` beside it. The counts come from `real_data_counts.py`, which knows nothing of crmflow.

use std::fs;

use serde_json::json;

use crate::{
    harness::{
        http::Client,
        program::{Place, Server, skip},
    },
    records::failures::root,
};

/// Where the batches are, from the root of the repository.
const FOLDER: &str = "../shared/data/crm";

/// Of each batch: saved, unchanged, withdrawn, ignored, duplicate, invalid, failed.
const OUTCOMES: [[u64; 7]; 10] = [
    [18, 0, 0, 24, 34, 24, 0],
    [13, 0, 0, 25, 42, 20, 0],
    [12, 0, 0, 25, 28, 35, 0],
    [15, 0, 0, 29, 30, 26, 0],
    [7, 0, 1, 31, 42, 19, 0],
    [16, 0, 0, 26, 32, 26, 0],
    [12, 0, 0, 29, 33, 26, 0],
    [15, 0, 0, 30, 33, 22, 0],
    [10, 0, 1, 27, 31, 31, 0],
    [11, 0, 1, 28, 36, 24, 0],
];
const STORED: usize = 128;
const OPTED_IN: usize = 125;

#[test]
fn ten_real_batches() {
    let folder = root().join(FOLDER);
    if !folder.exists() {
        return skip("real-data", &format!("there is no {FOLDER} beside this repository"));
    }
    let place = Place::new();
    let server = Server::start(&place);
    let api = Client::new(&server.base);
    for (n, [saved, unchanged, withdrawn, ignored, duplicate, invalid, failed]) in
        OUTCOMES.into_iter().enumerate()
    {
        let body = fs::read(folder.join(format!("batch_{n:04}.json"))).unwrap();
        let batch = api.ended(&api.send("application/json", &body));
        let outcomes = json!({
            "saved": saved, "unchanged": unchanged, "withdrawn": withdrawn, "ignored": ignored,
            "duplicate": duplicate, "invalid": invalid, "failed": failed,
        });
        assert_eq!((&batch["received"], &batch["outcomes"]), (&json!(100), &outcomes), "batch {n}");
    }
    assert_eq!(api.all("/contacts?optIn=all", "contacts").len(), STORED);
    assert_eq!(api.all("/contacts", "contacts").len(), OPTED_IN);
}
