use super::*;
use crate::{model::Queued, worker::task::Payload};
use kernel::provenance::Source;

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn row(name: &str) -> QueueRow {
    let user = name.starts_with(|first: char| first.is_lowercase()).then(|| name[..1].to_owned());
    let queued = Queued {
        message_id: name.to_owned(),
        received_at: at(0),
        user,
        channel: None,
        tries: 0,
        replays: 0,
        blocking_since: None,
        filter_pending: false,
        destination_made: None,
        failed_at: None,
        throttled_since: None,
    };
    QueueRow {
        sort: String::new(),
        due: at(0),
        sequence: name[1..].to_owned(),
        version: 1,
        has_record: false,
        queued,
    }
}

fn task(name: &str) -> Box<DeliveryTask> {
    let payload = Payload { original: "{}".into(), canonical: "{}".into(), via: Source::Events };
    Box::new(DeliveryTask { row: row(name), payload, response: None, attempts: Vec::new() })
}

/// Runs a script. An event is a letter and its number in time; a lowercase letter is a user. `a1` enters the
/// queue, `?` dequeues, `=a1` settles, `!a1:20` fails and is due again at second 20 and blocks until second
/// 30, `@9` sets the time.
#[track_caller]
fn check(is_ordered: bool, play: &str, expected: &str) {
    let mut queue = OrderedQueue::new(is_ordered, SignedDuration::from_secs(30), []);
    let mut now = at(0);
    let mut seen = Vec::new();
    for step in play.split_whitespace() {
        match (&step[..1], &step[1..]) {
            ("@", seconds) => now = at(seconds.parse().unwrap()),
            ("=", name) => queue.finish(&name[..1], &name[1..], true, None),
            ("!", blockers) => {
                let (name, due) = blockers.split_once(':').unwrap();
                let blockers = Blocker { due: at(due.parse().unwrap()), blocks_until: at(30) };
                queue.finish(&name[..1], &name[1..], true, Some(blockers));
            }
            ("?", _) => seen.push(match queue.dequeue(now) {
                None => "-".to_owned(),
                Some(Dequeued::Send(task)) => task.row.queued.message_id,
                Some(Dequeued::Blocked(task, until)) => {
                    format!("{}:{}", task.row.queued.message_id, until.as_second())
                }
            }),
            _ => queue.push(task(step)),
        }
    }
    let waiting = queue.len();
    let left = queue.clear();
    assert_eq!(left.len(), waiting, "{play}");
    seen.push(format!("+{waiting}"));
    assert_eq!(seen.join(" "), expected, "{play}");
}

#[test]
fn without_ordering_it_is_first_in_first_out() {
    check(false, "? a1 a2 b3 ? ? ? ?", "- a1 a2 b3 - +0");
    check(false, "a1 a2 ? !a1:20 ?", "a1 a2 +0");
    check(false, "a1 a2 a3 ?", "a1 +2");
}

#[test]
fn one_call_of_each_user_is_in_flight() {
    check(true, "a1 a2 b3 N4 N5 ? ? ? ? ?", "a1 b3 N4 N5 - +1");
    check(true, "a1 a2 ? ? =a1 ? ?", "a1 - a2 - +0");
    check(true, "a1 ? a2 ? =a1 ?", "a1 - a2 +0");
    // The order of reading makes no difference.
    check(true, "a3 a2 a1 ? =a1 ? =a2 ?", "a1 a2 a3 +0");
    // Users alternate.
    check(true, "a1 a2 a3 b4 b5 ? ? =a1 =b4 ? ? ?", "a1 b4 a2 b5 - +1");
}

#[test]
fn a_failing_event_blocks_only_its_user() {
    check(true, "a1 a2 a3 b4 ? !a1:20 ? ? ? ?", "a1 b4 a2:20 a3:20 - +0");
    // A retry that is due comes before the others.
    check(true, "a1 a2 ? !a1:20 ? @20 a1 a2 ? =a1 ?", "a1 a2:20 a1 a2 +0");
    // A blocker that is due, but not loaded yet, still blocks.
    check(true, "a1 ? !a1:20 @21 a2 ?", "a1 a2:22 +0");
    // A blocked event is itself a blocker.
    check(true, "a1 a2 ? !a1:5 ? @5 a1 a3 ? =a1 ? @6 a2 a3 ? =a2 ?", "a1 a2:5 a1 a3:6 a2 a3 +0");
    // Earlier events do not wait for later ones.
    check(true, "a5 ? !a5:20 a4 ?", "a5 a4 +0");
}

#[test]
fn an_event_blocks_for_a_bounded_time() {
    check(true, "a1 a2 ? !a1:500 ? @29 a2 ? @30 a2 ?", "a1 a2:30 a2:30 a2 +0");
    check(true, "a1 ? !a1:500 @30 a2 ? !a2:100 a3 ?", "a1 a2 a3 +0");
}

/// Due times have milliseconds: a blocked event must not be due in the current one.
#[test]
fn a_block_ends_in_its_millisecond() {
    let blocks_until = at(30) + SignedDuration::from_micros(456);
    let mut queue = OrderedQueue::new(true, SignedDuration::from_secs(30), []);
    queue.finish("a", "1", false, Some(Blocker { due: at(500), blocks_until }));
    queue.push(task("a2"));
    let now = at(30) + SignedDuration::from_micros(100);
    assert!(matches!(queue.dequeue(now), Some(Dequeued::Send(_))));
}

/// Adds rows, and loads what the queue selects.
#[track_caller]
fn read(queue: &mut OrderedQueue, names: &[&str], expected: &str) {
    let ToLoad { rows, not_loaded } = queue.select(names.iter().map(|name| row(name)).collect());
    let mut to_load: Vec<String> = rows.iter().map(|row| row.queued.message_id.clone()).collect();
    to_load.extend(not_loaded.iter().map(|(sequence, _)| format!("a{sequence}")));
    to_load.sort();
    for name in &to_load {
        queue.push(task(name));
    }
    let (waiting, ready, not_loaded) = (queue.len(), queue.ready(), queue.not_loaded());
    assert_eq!(format!("{} | {waiting} {ready} {not_loaded}", to_load.join(" ")), expected, "{names:?}");
}

#[track_caller]
fn send(queue: &mut OrderedQueue, expected: &str) {
    let Some(Dequeued::Send(task)) = queue.dequeue(at(0)) else { panic!("{expected} is not sent") };
    assert_eq!(task.row.queued.message_id, expected);
}

#[test]
fn a_few_events_of_each_user_are_loaded() {
    let queue = &mut OrderedQueue::new(true, SignedDuration::from_secs(30), []);
    read(queue, &["a1", "a2", "a3", "a4", "a5", "a6", "b7", "N8"], "N8 a1 a2 a3 a4 b7 | 6 6 2");
    send(queue, "N8");
    send(queue, "a1");
    send(queue, "b7");
    read(queue, &["a9"], "a5 | 4 0 2");
    queue.finish("a", "1", true, None);
    send(queue, "a2");
    queue.finish("a", "2", true, None);
    send(queue, "a3");
    assert!(!queue.needs_refill());
    queue.finish("a", "3", true, None);
    send(queue, "a4");
    assert!(queue.needs_refill());
    read(queue, &["b9"], "a6 a9 b9 | 4 0 0");
    // A late row with an earlier sequence comes first.
    queue.finish("a", "4", true, None);
    read(queue, &["a0"], "a0 | 5 4 0");
    send(queue, "a0");
    assert_eq!((queue.ready(), queue.clear().len()), (0, 4));
    let all = OrderedQueue::new(false, SignedDuration::from_secs(30), []).select(vec![row("a1"), row("a2")]);
    assert_eq!((all.rows.len(), all.not_loaded.len()), (2, 0));
}
