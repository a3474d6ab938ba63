//! The steps that need no tables: twice is once, and every record passes exactly one way.

use batches::{
    LogSchemaErrors,
    intake::{Format, Settings},
};
use jiff::Timestamp;
use kernel::{
    start::{Execution, Start},
    step::Step,
};
use proptest::prelude::*;
use serde_json::{json, value::to_raw_value};

use crate::{Folder, batch, block_on, records, tables::NoTables, take};

/// The output of a step, as a machine sees it.
fn output_of(output: &impl serde::Serialize) -> String {
    serde_json::to_string(output).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn twice_is_once_and_no_record_is_lost(records in prop::collection::vec(records(), 1..40)) {
        let folder = Folder::new();
        let objects = &folder.objects;
        let text = records.join("\n");
        let settings = Settings { format: Some(Format::Ndjson), inline: true, ..Settings::default() };
        let staged = take(settings, &[text.as_bytes()], objects).unwrap();
        let input = to_raw_value(&json!({ "batch": batch(), "records": staged.inline })).unwrap();
        let execution = Execution { name: batch().batch_id.to_string(), started_at: Timestamp::UNIX_EPOCH };
        let start = Start { input, execution };

        let once = block_on(batches::validate_schema(start.clone(), objects)).unwrap();
        let twice = block_on(batches::validate_schema(start, objects)).unwrap();
        prop_assert_eq!(output_of(&once), output_of(&twice));
        prop_assert_eq!(once.received, records.len() as u64);
        prop_assert_eq!(once.valid.count + once.invalid.count, once.received);

        let step = Step { batch: once.batch.clone(), records: once.valid.clone() };
        let unique = block_on(batches::remove_duplicates(step.clone(), objects)).unwrap();
        prop_assert_eq!(output_of(&unique), output_of(&block_on(batches::remove_duplicates(step, objects)).unwrap()));
        let duplicates = block_on(unique.part.clone().open(objects)).unwrap().counts().total();
        prop_assert_eq!(unique.opted_in.count + unique.opted_out.count + duplicates, once.valid.count);

        let step = LogSchemaErrors { batch: once.batch.clone(), records: once.invalid.clone() };
        let logged = block_on(batches::log_schema_errors(step.clone(), &NoTables, objects)).unwrap();
        prop_assert_eq!(output_of(&logged), output_of(&block_on(batches::log_schema_errors(step, &NoTables, objects)).unwrap()));
        let invalid = block_on(logged.part.open(objects)).unwrap().counts().total();
        prop_assert_eq!(invalid, once.invalid.count);
    }
}
