//! Messages in and out of a queue, also when the process dies between.

use std::{collections::HashMap, path::Path, time::Duration};

use jiff::SignedDuration;
use tempfile::TempDir;

use super::settings::{QueueSettings as Of, Redrive};
use super::{dead::History, *};

#[expect(clippy::disallowed_methods, reason = "this is the clock of these tests")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn open(folder: &Path) -> LocalQueue {
    open_at(folder, now())
}

fn open_at(folder: &Path, at: Timestamp) -> LocalQueue {
    LocalQueue::open_at(SqliteStore::open(&folder.join("crmflow.db")).unwrap(), at, now).unwrap()
}

fn events() -> Of {
    Of {
        name: "EventsQueue".into(),
        visibility_timeout: Duration::from_secs(3),
        redrive: Some(Redrive { dead_letters: "Dead".into(), max_receives: 5 }),
    }
}

fn dead() -> Of {
    Of { name: "Dead".into(), redrive: None, ..events() }
}

async fn send(queue: &LocalQueue, bodies: &[&str]) -> Result<(), QueueError> {
    let message = |body: &&str| queue::Message { body: (*body).to_owned(), delay: Duration::ZERO };
    queue.send(QueueName::Events, bodies.iter().map(message).collect()).await
}

/// Receives, and gives the bodies too.
async fn receive(
    queue: &LocalQueue,
    of: &Of,
    most: usize,
    now: Timestamp,
) -> Option<(InFlight, Vec<String>)> {
    match queue.receive(of, most, 1, now).await.unwrap() {
        Next::Batches(mut batches) => {
            let batch = batches.pop().unwrap();
            assert!(batches.is_empty(), "{batches:?}");
            let bodies = batch.messages.iter().map(|message| message.body.clone()).collect();
            Some((batch, bodies))
        }
        Next::Nothing(_) => None,
    }
}

async fn finish(queue: &LocalQueue, batch: &InFlight, failed: &[&str], now: Timestamp) -> Option<Duration> {
    let failed = batch.messages.iter().filter(|message| failed.contains(&message.body.as_str()));
    let failed: HashMap<String, String> =
        failed.map(|message| (message.id.clone(), "storage was away".to_owned())).collect();
    queue.finish(&events(), batch, &failed, now).await.unwrap()
}

fn start() -> (TempDir, Timestamp) {
    (tempfile::tempdir().unwrap(), "2026-01-01T00:00:00Z".parse().unwrap())
}

fn after(now: Timestamp, seconds: i64) -> Timestamp {
    now + SignedDuration::from_secs(seconds)
}

#[tokio::test]
async fn messages_come_in_order_and_once() {
    let (folder, now) = start();
    let queue = open(folder.path());
    send(&queue, &["a", "b"]).await.unwrap();
    send(&queue, &["c"]).await.unwrap();
    let (first, bodies) = receive(&queue, &events(), 2, now).await.unwrap();
    assert_eq!(bodies, ["a", "b"]);
    let (second, bodies) = receive(&queue, &events(), 2, now).await.unwrap();
    assert_eq!(bodies, ["c"]);
    assert!(receive(&queue, &events(), 2, now).await.is_none());
    let full = depth(&queue.store.readers, "EventsQueue", now).unwrap();
    assert_eq!((full.messages, full.in_flight), (3, 3));
    finish(&queue, &first, &[], now).await;
    finish(&queue, &second, &[], now).await;
    assert_eq!(depth(&queue.store.readers, "EventsQueue", now).unwrap(), Depth::default());
    // Ids are not given again.
    send(&queue, &["d"]).await.unwrap();
    let (third, _) = receive(&queue, &events(), 2, now).await.unwrap();
    assert!(first.messages.iter().all(|message| message.id != third.messages[0].id));
}

#[tokio::test]
async fn failed_messages_come_before_later_ones() {
    let (folder, now) = start();
    let queue = open(folder.path());
    send(&queue, &["a", "b"]).await.unwrap();
    let (batch, _) = receive(&queue, &events(), 10, now).await.unwrap();
    assert_eq!(finish(&queue, &batch, &["a"], now).await, Some(Duration::from_secs(1)));
    send(&queue, &["c"]).await.unwrap();
    let again = after(now, 1);
    match queue.receive(&events(), 0, 0, now).await.unwrap() {
        Next::Nothing(later) => assert_eq!(later, Some(again)),
        batch @ Next::Batches(_) => panic!("{batch:?}"),
    }
    let (batch, bodies) = receive(&queue, &events(), 10, again).await.unwrap();
    assert_eq!(bodies, ["a", "c"]);
    assert_eq!(batch.messages.iter().map(|message| message.receives).collect::<Vec<_>>(), [2, 1]);
}

#[tokio::test]
async fn a_failing_message_comes_alone_and_is_dead_at_last() {
    let (folder, mut now) = start();
    let queue = open(folder.path());
    send(&queue, &["a", "b", "c"]).await.unwrap();
    let mut pauses = Vec::new();
    for receives in 1..=4 {
        let (batch, bodies) = receive(&queue, &events(), 10, now).await.unwrap();
        assert_eq!(bodies, ["a", "b", "c"], "{receives}");
        pauses.push(finish(&queue, &batch, &["a", "b", "c"], now).await);
        let paused = depth(&queue.store.readers, "EventsQueue", now).unwrap();
        assert_eq!((paused.delayed, paused.in_flight), (3, 0));
        now = after(now, 3);
    }
    // Order is given up where it would hold up the others.
    assert_eq!(pauses, [Some(Duration::from_secs(1)), Some(Duration::from_secs(2)), None, None]);
    for (body, failed) in [("a", true), ("b", false), ("c", true)] {
        let (batch, bodies) = receive(&queue, &events(), 10, now).await.unwrap();
        assert_eq!(bodies, [body]);
        finish(&queue, &batch, &[body][usize::from(!failed)..], now).await;
    }
    assert!(receive(&queue, &events(), 10, after(now, 100)).await.is_none());
    let lost = oldest(&queue.store.readers, "Dead", 10).unwrap();
    assert_eq!(
        lost.iter().map(|lost| (lost.body.as_str(), lost.history.receives)).collect::<Vec<_>>(),
        [("a", 5), ("c", 5)]
    );
    let told = lost[0].history.describe().unwrap();
    assert_eq!(told, "its function failed 5 times, the last time because storage was away");
    assert_eq!(queue.move_all("Dead", "EventsQueue").await.unwrap(), 2);
    let (batch, bodies) = receive(&queue, &events(), 10, now).await.unwrap();
    assert_eq!((bodies, batch.messages[0].receives), (vec!["a".to_owned(), "c".into()], 1));
    assert!(receive(&queue, &dead(), 10, now).await.is_none());
}

/// Opens the folder as the next process does, and receives once something may be; the bodies, and when that was.
async fn open_and_receive(folder: &Path, now: &mut Timestamp) -> (LocalQueue, InFlight, Vec<String>) {
    let queue = open_at(folder, *now);
    loop {
        match queue.receive(&events(), 10, 1, *now).await.unwrap() {
            Next::Batches(mut batches) => {
                let batch = batches.pop().unwrap();
                let bodies = batch.messages.iter().map(|message| message.body.clone()).collect();
                return (queue, batch, bodies);
            }
            Next::Nothing(later) => *now = later.expect("it is held back, or dead"),
        }
    }
}

fn history(queue: &LocalQueue, of: &str) -> Vec<(String, History)> {
    let waiting = oldest(&queue.store.readers, of, 10).unwrap();
    waiting.into_iter().map(|message| (message.body, message.history)).collect()
}

/// Whoever kills a process means no message by it: what was in flight is received again at once, in its place.
#[tokio::test]
async fn a_crash_is_no_receive_of_messages_in_flight() {
    let (folder, mut now) = start();
    send(&open(folder.path()), &["a", "b"]).await.unwrap();
    let began = now;
    for crashes in 0..=8 {
        let (_, batch, bodies) = open_and_receive(folder.path(), &mut now).await;
        assert_eq!((bodies[0].as_str(), bodies.len()), ("a", if crashes < 4 { 2 } else { 1 }), "{crashes}");
        assert_eq!((batch.messages[0].receives, now), (1, began));
    }
    // Then it stands in nobody's way.
    let (queue, batch, bodies) = open_and_receive(folder.path(), &mut now).await;
    assert_eq!((bodies, now), (vec!["b".to_owned()], began));
    finish(&queue, &batch, &[], now).await;
    assert!(receive(&queue, &events(), 10, now).await.is_none());
    assert_eq!(receive(&queue, &events(), 10, after(now, 1)).await.unwrap().1, ["a"]);
}

/// A process that is started and killed many times in a short while meets a message a few times.
#[tokio::test]
async fn many_kills_in_a_row_make_no_dead_letter() {
    let (folder, mut now) = start();
    send(&open(folder.path()), &["a"]).await.unwrap();
    for _ in 0..600 {
        let queue = open_at(folder.path(), now);
        // In flight, or held back; and killed.
        receive(&queue, &events(), 10, now).await;
        now += SignedDuration::from_millis(200);
    }
    let (queue, batch, bodies) = open_and_receive(folder.path(), &mut now).await;
    assert_eq!(bodies, ["a"]);
    finish(&queue, &batch, &["a"], now).await;
    let told = history(&queue, "EventsQueue")[0].1.clone();
    assert_eq!((told.receives, told.crashes), (1, 0), "the process has outlived it");
}

/// What kills the process each time is dead in the end, alone, and says so.
#[tokio::test]
async fn only_the_message_that_kills_becomes_a_dead_letter() {
    let (folder, mut now) = start();
    send(&open(folder.path()), &["poison"]).await.unwrap();
    let began = now;
    for charged_crashes in 0..60 {
        let queue = open_at(folder.path(), now);
        // Others come and go with it, and are in flight when it kills.
        send(&queue, &[&format!("new {charged_crashes}")]).await.unwrap();
        let mut killed = false;
        while !killed {
            match queue.receive(&events(), 1, 10, now).await.unwrap() {
                Next::Batches(batches) => {
                    killed = batches.iter().any(|batch| batch.messages[0].body == "poison");
                    for batch in batches.iter().filter(|_| !killed) {
                        finish(&queue, batch, &[], now).await;
                    }
                }
                Next::Nothing(Some(later)) => now = later,
                Next::Nothing(None) => break,
            }
        }
        if !killed {
            break;
        }
    }
    let queue = open_at(folder.path(), now);
    let dead = history(&queue, "Dead");
    assert_eq!((dead.len(), dead[0].0.as_str()), (1, "poison"), "{dead:?}");
    let told = format!("the process ended {} times while it was worked on", dead[0].1.crashes);
    assert_eq!((dead[0].1.describe(), dead[0].1.crashes < 30), (Some(told), true));
    assert!(now > after(began, 3_600), "{now}");
    assert_eq!(queue.move_all("Dead", "EventsQueue").await, Ok(1));
    assert_eq!(history(&queue, "EventsQueue").last().unwrap().1, History::default());
}

/// Where several are there each time, nobody can tell which one it was.
#[tokio::test]
async fn crashes_are_not_charged_to_two_suspects() {
    let (folder, mut now) = start();
    send(&open(folder.path()), &["a", "b"]).await.unwrap();
    for _ in 0..40 {
        let queue = open_at(folder.path(), now);
        now = after(now, 1_800);
        let Next::Batches(batches) = queue.receive(&events(), 1, 2, now).await.unwrap() else {
            panic!("none")
        };
        assert_eq!(batches.len(), 2);
    }
    assert_eq!(history(&open_at(folder.path(), now), "Dead"), []);
}

#[tokio::test]
async fn a_clean_end_leaves_nothing_in_flight() {
    let (folder, mut now) = start();
    send(&open(folder.path()), &["a"]).await.unwrap();
    for _ in 0..40 {
        let (queue, ..) = open_and_receive(folder.path(), &mut now).await;
        queue.store.writer.close();
    }
    assert_eq!(history(&open_at(folder.path(), now), "EventsQueue"), [("a".to_owned(), History::default())]);
}

/// A file of before, whose messages had deaths counted whoever else was there.
#[tokio::test]
async fn crashes_charged_to_all_make_no_dead_letter() {
    let (folder, now) = start();
    send(&open(folder.path()), &["a"]).await.unwrap();
    let file = rusqlite::Connection::open(folder.path().join("crmflow.db")).unwrap();
    let before = "ALTER TABLE queue_messages DROP COLUMN crashes; ALTER TABLE queue_messages DROP COLUMN reason; \
                  UPDATE queue_messages SET deaths = 20";
    file.execute_batch(before).unwrap();
    drop(file);
    let queue = open_at(folder.path(), now);
    assert_eq!(receive(&queue, &events(), 10, now).await.unwrap().1, ["a"]);
}

fn few(messages: u64) -> Size {
    Size { messages, bytes: 100 }
}

#[tokio::test]
async fn a_full_queue_takes_no_more_until_some_is_done() {
    let (folder, now) = start();
    let queue = open(folder.path());
    queue.limit(QueueName::Events, few(3)).await.unwrap();
    send(&queue, &["a", "b"]).await.unwrap();
    assert_eq!(send(&queue, &["c", "d"]).await, Err(QueueError::Full));
    send(&queue, &["c"]).await.unwrap();
    assert_eq!(send(&queue, &["d"]).await, Err(QueueError::Full));
    let (batch, _) = receive(&queue, &events(), 2, now).await.unwrap();
    assert_eq!(send(&queue, &["d"]).await, Err(QueueError::Full), "what is worked on has its place still");
    finish(&queue, &batch, &["b"], now).await;
    send(&queue, &["d"]).await.unwrap();
    assert_eq!(send(&queue, &["e"]).await, Err(QueueError::Full));
    drop(queue);
    let queue = open(folder.path());
    queue.limit(QueueName::Events, few(4)).await.unwrap();
    send(&queue, &["e"]).await.unwrap();
    assert_eq!(send(&queue, &["f"]).await, Err(QueueError::Full));
    let full = depth(&queue.store.readers, "EventsQueue", now).unwrap();
    assert_eq!((full.messages, full.limit), (4, Some(4)));
}

/// However few they are: what they are is counted as well, also by whoever opens the folder.
#[tokio::test]
async fn a_queue_takes_so_many_bytes() {
    let (folder, now) = start();
    let (large, small) = ("x".repeat(60), "é".repeat(20));
    let queue = open(folder.path());
    queue.limit(QueueName::Events, few(1000)).await.unwrap();
    send(&queue, &[&large, &small]).await.unwrap();
    assert_eq!(send(&queue, &["a"]).await, Err(QueueError::Full));
    let (batch, _) = receive(&queue, &events(), 1, now).await.unwrap();
    finish(&queue, &batch, &[], now).await;
    send(&queue, &[&large]).await.unwrap();
    drop(queue);
    let queue = open(folder.path());
    queue.limit(QueueName::Events, few(1000)).await.unwrap();
    assert_eq!(send(&queue, &["a"]).await, Err(QueueError::Full));
    assert_eq!(queue.move_all("EventsQueue", "Dead").await, Ok(2));
    send(&queue, &[&large, &small]).await.unwrap();
}

/// Several are taken off in one commit, each to be settled by itself.
#[tokio::test]
async fn several_batches_are_received_in_one_commit() {
    let (folder, now) = start();
    let queue = open(folder.path());
    send(&queue, &["a", "b", "c", "d", "e"]).await.unwrap();
    let Next::Batches(batches) = queue.receive(&events(), 2, 2, now).await.unwrap() else { panic!("none") };
    let bodies: Vec<Vec<&str>> = batches
        .iter()
        .map(|batch| batch.messages.iter().map(|message| message.body.as_str()).collect())
        .collect();
    assert_eq!(bodies, [["a", "b"], ["c", "d"]]);
    finish(&queue, &batches[1], &[], now).await;
    let full = depth(&queue.store.readers, "EventsQueue", now).unwrap();
    assert_eq!((full.messages, full.in_flight), (3, 2));
    finish(&queue, &batches[0], &["a"], now).await;
    assert_eq!(receive(&queue, &events(), 5, now).await.unwrap().1, ["e"]);
    assert_eq!(receive(&queue, &events(), 5, after(now, 2)).await.unwrap().1, ["a"]);
}

#[tokio::test]
async fn a_delayed_message_comes_when_it_is_due() {
    let (folder, _) = start();
    let queue = open(folder.path());
    let message = queue::Message { body: "later".into(), delay: Duration::from_secs(60) };
    let began = now();
    queue.send(QueueName::Events, vec![message]).await.unwrap();
    let Next::Nothing(Some(due)) = queue.receive(&events(), 10, 1, began).await.unwrap() else {
        panic!("too early")
    };
    assert!(due >= after(began, 59) && due <= after(now(), 60));
    assert_eq!(receive(&queue, &events(), 10, due).await.unwrap().1, ["later"]);
}

/// Whoever waits is woken by what is sent, though the sender did not wait for its answer.
#[tokio::test]
async fn messages_of_a_sender_that_went_away_are_counted() {
    let (folder, _) = start();
    let queue = open(folder.path());
    queue.limit(QueueName::Events, few(1)).await.unwrap();
    {
        let mut sending = Box::pin(send(&queue, &["a"]));
        assert!(futures::poll!(&mut sending).is_pending());
    }
    queue.changed("EventsQueue").await;
    assert_eq!(receive(&queue, &events(), 1, now()).await.unwrap().1, ["a"]);
    assert_eq!(send(&queue, &["b"]).await, Err(QueueError::Full));
}
