//! The steps of events that need no tables: twice is once, every event passes exactly one way, and none loses a character.

use std::collections::BTreeMap;

use ::events::{
    event::{EventLine, StoredEvent},
    response,
};
use jiff::Timestamp;
use kernel::{
    Batch, Kind, Name,
    provenance::{Provenance, Source},
    raw_record::RawRecord,
    records::Records,
    start::{Execution, Start},
    step::Step,
    storable::is_storable,
};
use proptest::prelude::*;
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};

use crate::{Folder, batch, block_on, events, for_each_line};

fn output_of(output: &impl serde::Serialize) -> String {
    serde_json::to_string(output).unwrap()
}

/// The input of an execution: the events of one request, some of them with one id.
fn start(records: &[(String, u8)]) -> Start {
    let mut lines = Vec::new();
    for (index, (record, id)) in (0..).zip(records) {
        let record = RawValue::from_string(record.clone()).unwrap();
        let provenance =
            Provenance { index, message_id: format!("m{id}"), ..events::provenance(Source::Events) };
        RawRecord { provenance: Some(provenance), ..RawRecord::json(index.into(), 0, &record) }
            .write(&mut lines)
            .unwrap();
        lines.push(b'\n');
    }
    let batch = Batch { kind: Kind::Event, ..batch() };
    let records = Records::inline(&lines).unwrap();
    let execution = Execution { name: batch.batch_id.to_string(), started_at: Timestamp::UNIX_EPOCH };
    Start { input: to_raw_value(&json!({ "batch": batch, "records": records })).unwrap(), execution }
}

/// The record as the flow passes it: on one line.
fn on_one_line(record: &str) -> Option<String> {
    let line = record.replace(['\n', '\r'], " ");
    serde_json::from_str::<&RawValue>(&line).ok().map(|record| record.get().to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn twice_is_once_and_no_event_is_lost(records in prop::collection::vec((events::events(), 0..4_u8), 1..30)) {
        let folder = Folder::new();
        let objects = &folder.objects;
        let records: Vec<(String, u8)> =
            records.into_iter().filter_map(|(record, id)| Some((on_one_line(&record)?, id))).collect();
        let start = start(&records);
        let once = block_on(batches::validate_schema(start.clone(), objects)).unwrap();
        prop_assert_eq!(output_of(&once), output_of(&block_on(batches::validate_schema(start, objects)).unwrap()));
        prop_assert_eq!(once.valid.count + once.invalid.count, records.len() as u64);

        let step = Step { batch: once.batch.clone(), records: once.valid.clone() };
        let unique = block_on(batches::remove_duplicates(step.clone(), objects)).unwrap();
        prop_assert_eq!(output_of(&unique), output_of(&block_on(batches::remove_duplicates(step, objects)).unwrap()));
        let duplicates = block_on(unique.part.clone().open(objects)).unwrap().counts().total();
        prop_assert_eq!(unique.events.count + duplicates, once.valid.count);
        prop_assert_eq!(unique.opted_in.count + unique.opted_out.count, 0);

        let mut contents = BTreeMap::new();
        let each = |line: &[u8]| {
            let accepted = EventLine::parse(line)?;
            let (record, id) = &records[usize::try_from(accepted.index).unwrap()];
            assert_eq!(accepted.payload.get(), record);
            let stored = StoredEvent::valid(&accepted)?;
            assert_eq!(StoredEvent::read(&stored.item(&Name::default_tenant(), 1)?)?, stored);
            assert_eq!((stored.message_id, stored.payload.as_ref()), (format!("m{id}"), Some(record)));
            assert!(contents.insert((*id, stored.hash), ()).is_none(), "of one id and content there is one");
            let body = response::body(accepted.payload)?;
            assert_eq!(is_storable(record), body.get() == record);
            Ok(())
        };
        for_each_line(&unique.events, objects, each);
    }
}
