//! Maps over objects: every way to find and to write them, read through a machine.

use std::sync::Arc;

use ::parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use ::parquet::file::{properties::WriterProperties, writer::SerializedFileWriter};
use ::parquet::schema::parser::parse_message_type;
use object_store::memory::InMemory;
use states::{Effect, Execution, Outcome, Start, StateMachine, Value};

use super::*;

/// A Map with this reader over these objects, whose items come with where they are from.
async fn items(reader: serde_json::Value, objects: &[(&str, Vec<u8>)]) -> Outcome {
    let held = shelf();
    for (key, bytes) in objects {
        held.put(key, bytes.clone()).await.expect("memory has room");
    }
    let selector = "{% [$states.context.Map.Item.Value, $states.context.Map.Item.Source] %}";
    run(serde_json::json!({ "ItemReader": reader, "ItemSelector": selector }), &held).await
}

fn shelf() -> Objects {
    let store = Arc::new(InMemory::new());
    Objects::new(store.clone(), store)
}

/// Runs a Map with these fields; there are the buckets b and c.
async fn run(mut map: serde_json::Value, objects: &Objects) -> Outcome {
    map["ItemProcessor"] = serde_json::json!({ "ProcessorConfig": { "Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS" }, "StartAt": "B", "States": { "B": { "Type": "Pass", "End": true } } });
    map["Type"] = "Map".into();
    map["End"] = true.into();
    let definition =
        serde_json::json!({ "QueryLanguage": "JSONata", "StartAt": "A", "States": { "A": map } });
    let machine = StateMachine::parse(&definition.to_string(), &|_| Ok(())).expect("it is sound");
    let now = jiff::Timestamp::UNIX_EPOCH;
    let mut run = Execution::start(machine, Start::named("m", "r", 1), Value::Null, now);
    let buckets = Buckets { objects, has: &|name| matches!(name, "b" | "c") };
    while let Some(effect) = run.next_effect(now) {
        match effect {
            Effect::ReadItems(source) => run.items_read(source.id, buckets.read(source).await),
            Effect::WriteResults(results) => run.results_written(results.id, buckets.write(results).await),
            _ => {}
        }
    }
    run.outcome().expect("it has ended").clone()
}

#[track_caller]
fn check(config: &str, arguments: &str, objects: &[(&str, Vec<u8>)], expected: &str) {
    let action = if arguments.contains("Prefix") { "listObjectsV2" } else { "getObject" };
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("it is JSON");
    let reader = serde_json::json!({ "Resource": format!("arn:aws:states:::s3:{action}"), "ReaderConfig": parse(config), "Arguments": parse(arguments) });
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("there is a runtime");
    let text = match runtime.block_on(items(reader, objects)) {
        Outcome::Succeeded(output) => output.to_string(),
        Outcome::Failed(failure) => failure.to_string(),
        other => format!("{other:?}"),
    };
    assert_eq!(text, expected);
}

const ONE: &str = r#"{ "Bucket": "b", "Key": "k" }"#;

#[test]
fn items_are_read_from_one_object() {
    let check =
        |config: &str, bytes: &[u8], expected: &str| check(config, ONE, &[("k", bytes.to_vec())], expected);
    let json = r#"{ "InputType": "JSON", "ItemsPointer": "/a~1b/1", "MaxItems": 2 }"#;
    check(json, br#"{"a/b":[0,[1,2,3]]}"#, r#"[[1,"S3://b/k"],[2,"S3://b/k"]]"#);
    check(json, br#"{"a/b":[0]}"#, "States.ItemReaderFailed: k has nothing at /a~1b/1");
    check(r#"{ "InputType": "JSON" }"#, b"1", "States.ItemReaderFailed: k holds no array or object of items");
    check(
        r#"{ "InputType": "JSONL" }"#,
        &kernel::objects::gzip(b"{\"a\":1}\n\n2\n"),
        r#"[[{"a":1},"S3://b/k"],[2,"S3://b/k"]]"#,
    );
    check(
        r#"{ "InputType": "JSONL" }"#,
        &zstd::encode_all(&b"3\n"[..], 1).expect("it fits"),
        r#"[[3,"S3://b/k"]]"#,
    );
    check(r#"{ "InputType": "JSONL" }"#, b"1\nx", "States.ItemReaderFailed: k is not JSONL: value 2");
    check(
        r#"{ "InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW" }"#,
        b"a,b\n1,2\n",
        r#"[[{"a":"1","b":"2"},"S3://b/k"]]"#,
    );
    check(
        r#"{ "InputType": "PARQUET", "MaxItems": 2 }"#,
        &table(),
        r#"[[{"id":1,"name":"Ann","share":0.5},"S3://b/k"],[{"id":2,"name":"Bob","share":1.5},"S3://b/k"]]"#,
    );
    check(r#"{ "InputType": "PARQUET" }"#, b"x", "States.ItemReaderFailed: k is not Parquet");
}

#[test]
fn a_missing_object_fails_the_reader() {
    let json = r#"{ "InputType": "JSON" }"#;
    check(json, ONE, &[], "States.ItemReaderFailed: there is no object k");
    let elsewhere = r#"{ "Bucket": "x", "Key": "k" }"#;
    check(json, elsewhere, &[], "States.ItemReaderFailed: the bucket x does not exist");
    let old = r#"{ "Bucket": "b", "Key": "k", "VersionId": "1" }"#;
    check(json, old, &[], "States.ItemReaderFailed: this host reads without 'VersionId'");
}

#[test]
fn objects_are_found_by_prefix() {
    let objects =
        [("in/a.jsonl", b"1\n2\n".to_vec()), ("in/b.jsonl", b"3\n".to_vec()), ("other", b"4\n".to_vec())];
    let config = r#"{ "InputType": "JSONL", "Transformation": "LOAD_AND_FLATTEN" }"#;
    let all = r#"[[1,"S3://b/in/a.jsonl"],[2,"S3://b/in/a.jsonl"],[3,"S3://b/in/b.jsonl"]]"#;
    check(config, r#"{ "Bucket": "b", "Prefix": "in/" }"#, &objects, all);
    check(config, r#"{ "Bucket": "b", "Prefix": "in/b" }"#, &objects, r#"[[3,"S3://b/in/b.jsonl"]]"#);
}

#[test]
fn objects_are_found_by_manifest() {
    let data = ("d/1", b"x,y\n".to_vec());
    let athena = r#"{ "ManifestType": "ATHENA_DATA", "InputType": "CSV", "CSVHeaderLocation": "GIVEN", "CSVHeaders": ["p", "q"] }"#;
    check(
        athena,
        ONE,
        &[("k", b"s3://c/d/1\n".to_vec()), data.clone()],
        r#"[[{"p":"x","q":"y"},"S3://c/d/1"]]"#,
    );
    check(
        athena,
        ONE,
        &[("k", b"d/1\n".to_vec())],
        "States.ItemReaderFailed: k names what is not an object: d/1",
    );
    let manifest = |format: &str| {
        let manifest = serde_json::json!({ "destinationBucket": "arn:aws:s3:::c", "fileFormat": format, "fileSchema": "Bucket, Key", "files": [{ "key": "d/1" }] });
        ("k", manifest.to_string().into_bytes())
    };
    let inventory = r#"{ "InputType": "MANIFEST" }"#;
    check(inventory, ONE, &[manifest("CSV"), data.clone()], r#"[[{"Bucket":"x","Key":"y"},"S3://b/k"]]"#);
    check(
        inventory,
        ONE,
        &[manifest("ORC"), data],
        "States.ItemReaderFailed: k is of an inventory in ORC; CSV can be read",
    );
}

#[test]
fn results_are_written_as_objects() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("there is a runtime");
    runtime.block_on(async {
        let held = shelf();
        let write = |bucket: &str| {
            let config = serde_json::json!({ "OutputType": "JSONL", "Transformation": "FLATTEN" });
            let arguments = serde_json::json!({ "Bucket": bucket, "Prefix": "jobs" });
            let writer = serde_json::json!({ "Resource": "arn:aws:states:::s3:putObject", "Arguments": arguments, "WriterConfig": config });
            serde_json::json!({ "Items": [[1, 2], 3], "ResultWriter": writer, "Output": "{% $states.result.ResultWriterDetails.Key %}" })
        };
        let Outcome::Succeeded(key) = run(write("b"), &held).await else { panic!("it has written") };
        let key = key.as_str().expect("it is a text");
        assert!(key.starts_with("jobs/") && key.ends_with("/manifest.json"), "{key}");
        let manifest: serde_json::Value = serde_json::from_slice(&held.get(key).await.expect("it is there")).expect("it is JSON");
        let file = &manifest["ResultFiles"]["SUCCEEDED"][0];
        let bytes = held.get(file["Key"].as_str().expect("it has a key")).await.expect("it is there");
        assert_eq!((&*bytes, &file["Size"]), (&b"1\n2\n3\n"[..], &serde_json::json!(6)));
        let failure = Failure::new("States.ResultWriterFailed", "the bucket x does not exist");
        assert_eq!(run(write("x"), &held).await, Outcome::Failed(failure));
    });
}

/// A Parquet file of three rows.
fn table() -> Vec<u8> {
    let schema = "message t { REQUIRED INT64 id; REQUIRED BINARY name (UTF8); REQUIRED DOUBLE share; }";
    let schema = Arc::new(parse_message_type(schema).expect("it is a schema"));
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, schema, Arc::new(WriterProperties::default()))
        .expect("it is memory");
    let mut group = file.next_row_group().expect("there is room");
    let mut column = group.next_column().expect("it is open").expect("there is one");
    column.typed::<Int64Type>().write_batch(&[1, 2, 3], None, None).expect("they fit");
    column.close().expect("it is whole");
    let mut column = group.next_column().expect("it is open").expect("there is one");
    let names = ["Ann", "Bob", "Cid"].map(ByteArray::from);
    column.typed::<ByteArrayType>().write_batch(&names, None, None).expect("they fit");
    column.close().expect("it is whole");
    let mut column = group.next_column().expect("it is open").expect("there is one");
    column.typed::<DoubleType>().write_batch(&[0.5, 1.5, 2.5], None, None).expect("they fit");
    column.close().expect("it is whole");
    group.close().expect("it is whole");
    file.close().expect("it is whole");
    bytes
}
