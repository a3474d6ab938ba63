//! Messages in; the executions that run, and the messages that are not done, out.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use object_store::memory::InMemory;
use serde_json::{Value, json};

use super::*;
use kernel::queue::MessageAttributes;

/// A message: a name, its tenant, its receive count, and the sizes of its events in bytes.
type Sent = (&'static str, &'static str, u32, Vec<usize>);

fn message(&(name, tenant, receives, ref sizes): &Sent) -> SqsMessage {
    let event = |(index, size): (usize, &usize)| json!({ "messageId": format!("{name}{index}"), "record": { "text": "x".repeat(*size) } });
    let body = json!({
        "id": format!("01JD00000000000000000000{}", name.repeat(2)),
        "tenant": tenant,
        "via": "track",
        "receivedAt": "2026-01-01T00:00:00Z",
        "events": sizes.iter().enumerate().map(event).collect::<Vec<_>>(),
    });
    let attributes = MessageAttributes { receives: Some(receives.to_string()) };
    SqsMessage { message_id: name.to_owned(), body: body.to_string(), attributes }
}

/// An execution that ran: its batch, its input, and the ids of its events.
struct Ran {
    batch: Batch,
    input: String,
    events: Vec<String>,
}

/// The ids of the events of an execution.
async fn events(input: &str, objects: &Objects) -> Vec<String> {
    assert!(input.len() <= 256 * 1024, "Step Functions takes no larger input: {}", input.len());
    let input: Value = serde_json::from_str(input).unwrap();
    let records: Records = serde_json::from_value(input["records"].clone()).unwrap();
    let mut lines: Vec<Value> = Vec::new();
    let mut read = records.lines(objects).await.unwrap();
    while let Some(line) = read.next().await.unwrap() {
        lines.push(serde_json::from_slice(line).unwrap());
    }
    assert_eq!(input["records"]["count"], lines.len());
    assert_eq!(input["batch"]["kind"], "event");
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(line["index"], index, "places are counted within the input");
    }
    lines.iter().map(|line| line["arrival"]["messageId"].as_str().unwrap().to_owned()).collect()
}

/// Runs the events of `messages`. An execution with an event named in `bad` fails, or cannot start.
fn consume(messages: Vec<SqsMessage>, bad: &BTreeMap<&str, Result<bool, &str>>) -> (Vec<Ran>, Vec<String>) {
    let ran = RefCell::new(Vec::new());
    let memory = Arc::new(InMemory::new());
    let objects = Objects::new(memory.clone(), memory);
    let run = async |FlowInput { batch, input }: FlowInput| {
        let events = events(&input, &objects).await;
        let found = bad.iter().find(|(event, _)| events.iter().any(|found| found == *event));
        ran.borrow_mut().push(Ran { batch, input, events });
        found.map_or(Ok(FlowResult::Completed), |(_, result)| {
            let ran = result.map(|is_through| {
                if is_through { FlowResult::Completed } else { FlowResult::Failed("a step failed".into()) }
            });
            ran.map_err(|why| match why {
                "gone" => Error::StorageUnavailable(why.into()),
                why => Error::StorageRefused(why.into()),
            })
        })
    };
    let response = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(consume_events(
        SqsEvent { records: messages },
        &objects,
        run,
    ));
    let failed = response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
    (ran.into_inner(), failed)
}

#[track_caller]
fn check(sent: &[Sent], bad: &[(&str, Result<bool, &str>)], executions: &[&[&str]], failed: &[&str]) {
    let (ran, found) = consume(sent.iter().map(message).collect(), &bad.iter().copied().collect());
    let ran: Vec<Vec<String>> = ran.into_iter().map(|ran| ran.events).collect();
    assert_eq!(ran, executions, "executions");
    assert_eq!(found, failed, "not done");
}

const HALF: usize = 100 * 1024;

#[test]
fn events_fill_batches_in_order_of_arrival() {
    check(&[], &[], &[], &[]);
    check(&[("B", "t", 1, vec![1, 1]), ("A", "t", 1, vec![1])], &[], &[&["A0", "B0", "B1"]], &[]);
    check(
        &[("A", "t", 1, vec![HALF, 1, HALF, 1]), ("B", "t", 1, vec![1])],
        &[],
        &[&["A0", "A1"], &["A2", "A3", "B0"]],
        &[],
    );
    check(
        &[("A", "t", 1, vec![1]), ("B", "u", 1, vec![1]), ("C", "t", 1, vec![1])],
        &[],
        &[&["A0", "C0"], &["B0"]],
        &[],
    );
    check(&[("A", "t", 1, vec![])], &[], &[], &[]);
}

#[test]
fn events_of_any_size_are_passed_on() {
    let sent = [("A", "t", 1, vec![1, 3 * HALF, 1]), ("B", "t", 1, vec![5 * HALF])];
    check(&sent, &[], &[&["A0"], &["A1"], &["A2"], &["B0"]], &[]);
}

#[test]
fn a_message_is_done_when_all_its_events_are() {
    let split: [Sent; 3] =
        [("A", "t", 1, vec![HALF]), ("B", "t", 1, vec![1, HALF]), ("C", "t", 1, vec![HALF])];
    let ran: [&[&str]; 3] = [&["A0", "B0"], &["B1"], &["C0"]];
    check(&split, &[], &ran, &[]);
    check(&split, &[("C0", Ok(false))], &ran, &["C"]);
    // Batches after the failed one wait with it.
    check(&split, &[("B1", Ok(false))], &ran[..2], &["B", "C"]);
    check(&split, &[("A0", Ok(false))], &ran[..1], &["A", "B", "C"]);
    check(&split, &[("A0", Err("gone"))], &ran[..1], &["A", "B", "C"]);
    // Batches of another tenant do not.
    check(
        &[("A", "t", 1, vec![1]), ("B", "u", 1, vec![1])],
        &[("A0", Ok(false))],
        &[&["A0"], &["B0"]],
        &["A"],
    );
}

#[test]
fn repeated_failures_are_isolated() {
    let sent = |receives| {
        [("A", "t", receives, vec![1]), ("B", "t", receives, vec![1, 1]), ("C", "t", receives, vec![1])]
    };
    let together: [&[&str]; 1] = [&["A0", "B0", "B1", "C0"]];
    check(&sent(2), &[("B0", Ok(false))], &together, &["A", "B", "C"]);
    check(&sent(4), &[("B0", Ok(false))], &together, &["A", "B", "C"]);
    let alone: [&[&str]; 3] = [&["A0"], &["B0", "B1"], &["C0"]];
    check(&sent(5), &[("B1", Ok(false))], &alone, &["B"]);
    // A batch that is refused alone is itself at fault.
    check(&sent(5), &[("B1", Err("refused"))], &alone, &["B"]);
    check(&sent(2), &[("B1", Err("refused"))], &together, &["A", "B", "C"]);
    // If no execution can start at all, no further one is tried.
    check(&sent(5), &[("B1", Err("gone"))], &alone[..2], &["B", "C"]);
}

#[test]
fn a_message_without_events_blocks_no_other() {
    let mut messages: Vec<_> = [("A", "t", 1, vec![1]), ("B", "t", 1, vec![1])].iter().map(message).collect();
    for (at, body) in
        [(1, "{}"), (2, "not JSON"), (0, r#"{"id":"01JD000000000000000000000A","tenant":"T!"}"#)]
    {
        messages.insert(
            at,
            SqsMessage {
                message_id: at.to_string(),
                body: body.into(),
                attributes: MessageAttributes::default(),
            },
        );
    }
    let (ran, failed) = consume(messages, &BTreeMap::new());
    assert_eq!(ran[0].events, ["A0", "B0"]);
    assert_eq!(failed, ["0", "1", "2"]);
}

/// A record stays unchanged, except for line feeds between its tokens.
#[test]
fn a_line_has_the_provenance_of_its_event() {
    let body = r#"{"id":"01JD000000000000000000000A","tenant":"t","via":"segment","receivedAt":"2026-01-01T00:00:00Z",
        "sentAt":"2025-12-31T23:59:59Z","retry":2,"events":[{"messageId":"m","record":{"a":
        1.10, "a":"\n"}}]}"#;
    let message =
        SqsMessage { message_id: "1".into(), body: body.into(), attributes: MessageAttributes::default() };
    let (ran, _) = consume(vec![message.clone()], &BTreeMap::new());
    let input: Value = serde_json::from_str(&ran[0].input).unwrap();
    let lines = input["records"]["lines"].as_str().unwrap();
    let line = RawRecord::parse(lines.trim_end().as_bytes()).unwrap();
    assert_eq!(line.record.unwrap().get(), "{\"a\":         1.10, \"a\":\"\\n\"}");
    assert_eq!((line.retry, line.line), (2, 0));
    let provenance = line.provenance.unwrap();
    assert_eq!(provenance.sequence(), "01JD000000000000000000000A-00000");
    assert_eq!(provenance.sent_at, Some("2025-12-31T23:59:59Z".parse().unwrap()));
    assert_eq!(ran[0].batch.batch_id.made_at(), provenance.id.made_at());
    // The same events again make the same batch; others make another.
    let (again, _) = consume(vec![message.clone()], &BTreeMap::new());
    assert_eq!((ran[0].batch.batch_id, &ran[0].input), (again[0].batch.batch_id, &again[0].input));
    let more =
        SqsMessage { body: message.body.replace("}}]", "}},{\"messageId\":\"n\",\"record\":1}]"), ..message };
    let (more, _) = consume(vec![more], &BTreeMap::new());
    assert_ne!(more[0].batch.batch_id, ran[0].batch.batch_id);
}
