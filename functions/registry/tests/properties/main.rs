//! Properties that are true for every input.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod cutting;
mod event_steps;
mod events;
mod pieces;
mod steps;
mod tables;
mod verdict;

use std::{fmt::Write, sync::Arc};

use batches::intake::{Format, Intake, Settings, Staged};
use jiff::Timestamp;
use kernel::{Batch, BatchId, Error, Kind, Name, Objects, records::Records};
use object_store::local::LocalFileSystem;
use proptest::prelude::*;
use tempfile::TempDir;

/// Runs a future that waits for objects.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Calls `each` with every line of the records, in order.
fn for_each_line(records: &Records, objects: &Objects, mut each: impl FnMut(&[u8]) -> Result<(), Error>) {
    block_on(async {
        let mut lines = records.lines(objects).await.unwrap();
        while let Some(line) = lines.next().await.unwrap() {
            each(line).unwrap();
        }
    });
}

/// An empty folder of objects.
struct Folder {
    objects: Objects,
    _folder: TempDir,
}

impl Folder {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let store = || Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
        Self { objects: Objects::new(store(), store()), _folder: folder }
    }
}

fn batch() -> Batch {
    Batch {
        batch_id: BatchId::new(Timestamp::UNIX_EPOCH, 7),
        tenant: Name::default_tenant(),
        provider: "test".parse().unwrap(),
        kind: Kind::Contact,
        received_at: Timestamp::UNIX_EPOCH,
        order: 1,
        replay: 0,
        chunk: None,
        rules: kernel::Rules::default(),
    }
}

/// Pushes bytes, piece by piece.
fn take(settings: Settings, pieces: &[&[u8]], objects: &Objects) -> Result<Staged, Error> {
    let mut intake = Intake::new(batch(), settings);
    pieces.iter().try_for_each(|piece| intake.push(piece))?;
    block_on(intake.finish(objects))
}

fn formats() -> impl Strategy<Value = Option<Format>> {
    prop::sample::select(vec![None, Some(Format::Json), Some(Format::Ndjson), Some(Format::Csv)])
}

/// Addresses of few people, in many spellings, and some invalid ones.
fn addresses() -> impl Strategy<Value = String> {
    let person = (0..6_u8, 0..5_u8).prop_map(|(person, spelling)| match spelling {
        0 => format!("p{person}@bücher.example"),
        1 => format!("P{person}@BÜCHER.example"),
        2 => format!(" p{person}@xn--bcher-kva.example "),
        3 => format!("p{person}@bu\u{308}cher.EXAMPLE"),
        _ => format!("p{person}@plain.example"),
    });
    prop_oneof![9 => person, 1 => "\\PC{0,12}"]
}

/// The text of one record: mostly a valid one, and anything else at times.
fn records() -> impl Strategy<Value = String> {
    let whole = (addresses(), any::<bool>(), prop::option::of(0..100_u32)).prop_map(|(email, opt_in, n)| {
        let mut record = format!("{{\"name\":\"N\",\"email\":{},\"optIn\":{opt_in}", quoted(&email));
        if let Some(n) = n {
            write!(record, ",\"n\":{n}.50").unwrap();
        }
        record + "}"
    });
    let odd = prop::sample::select(vec![
        "{}",
        "null",
        "17",
        "[]",
        "\"a,]\\\"{\"",
        "{\"email\":",
        "nonsense",
        "{\"optIn\":NaN}",
    ]);
    prop_oneof![6 => whole, 1 => odd.prop_map(ToOwned::to_owned)]
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
