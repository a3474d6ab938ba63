use super::*;
use crate::{
    arrival::Via,
    deliver::{due::Row, load::Letter},
    delivery::Queued,
    store::Item,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn parcel(name: &str) -> Box<Parcel> {
    let user = name.starts_with(|first: char| first.is_lowercase()).then(|| name[..1].to_owned());
    let queued = Queued {
        message_id: name.to_owned(),
        received_at: at(0),
        user,
        channel: None,
        tries: 0,
        replays: 0,
        stuck_since: None,
    };
    let letter = Letter { payload: "{}".into(), canonical: "{}".into(), via: Via::Events };
    let response = Item { partition: String::new(), sort: String::new(), version: 1, body: String::new() };
    let sequence = name[1..].to_owned();
    let row = Row { sort: String::new(), due: at(0), sequence, version: 1, queued };
    Box::new(Parcel { row, letter, response, attempts: Vec::new() })
}

/// Plays a line. Events are a letter and a number, their place in time; a small letter is a user. `a1` comes into
/// line, `?` takes one out, `=a1` ends, `!a1:20` is stuck until second 20 and holds up others until 30, `@9` is the time.
#[track_caller]
fn check(is_ordered: bool, play: &str, expected: &str) {
    let mut line = Line::new(is_ordered, SignedDuration::from_secs(30), []);
    let mut now = at(0);
    let mut seen = Vec::new();
    for step in play.split_whitespace() {
        match (&step[..1], &step[1..]) {
            ("@", seconds) => now = at(seconds.parse().unwrap()),
            ("=", name) => line.settle(&name[..1], &name[1..], true, None),
            ("!", stuck) => {
                let (name, due) = stuck.split_once(':').unwrap();
                let stuck = Stuck { due: at(due.parse().unwrap()), free_at: at(30) };
                line.settle(&name[..1], &name[1..], true, Some(stuck));
            }
            ("?", _) => seen.push(match line.next(now) {
                None => "-".to_owned(),
                Some(Next::Send(parcel)) => parcel.row.queued.message_id,
                Some(Next::PutOff(parcel, until)) => {
                    format!("{}:{}", parcel.row.queued.message_id, until.as_second())
                }
            }),
            _ => line.push(parcel(step)),
        }
    }
    let waiting = line.len();
    let left = line.clear();
    assert_eq!(left.len(), waiting, "{play}");
    seen.push(format!("+{waiting}"));
    assert_eq!(seen.join(" "), expected, "{play}");
}

#[test]
fn without_order_it_is_a_queue() {
    check(false, "? a1 a2 b3 ? ? ? ?", "- a1 a2 b3 - +0");
    check(false, "a1 a2 ? !a1:20 ?", "a1 a2 +0");
    check(false, "a1 a2 a3 ?", "a1 +2");
}

#[test]
fn one_of_a_user_is_on_its_way() {
    check(true, "a1 a2 b3 N4 N5 ? ? ? ? ?", "a1 b3 N4 N5 - +1");
    check(true, "a1 a2 ? ? =a1 ? ?", "a1 - a2 - +0");
    check(true, "a1 ? a2 ? =a1 ?", "a1 - a2 +0");
    // Whatever came first, in whichever order they were read.
    check(true, "a3 a2 a1 ? =a1 ? =a2 ?", "a1 a2 a3 +0");
    // Nobody has it all: users take turns.
    check(true, "a1 a2 a3 b4 b5 ? ? =a1 =b4 ? ? ?", "a1 b4 a2 b5 - +1");
}

#[test]
fn a_stuck_event_holds_up_its_user_and_nobody_else() {
    check(true, "a1 a2 a3 b4 ? !a1:20 ? ? ? ?", "a1 b4 a2:20 a3:20 - +0");
    // When it is due again it goes first, and then the others.
    check(true, "a1 a2 ? !a1:20 ? @20 a1 a2 ? =a1 ?", "a1 a2:20 a1 a2 +0");
    // One that is due, but was not read yet, is waited for.
    check(true, "a1 ? !a1:20 @21 a2 ?", "a1 a2:22 +0");
    // So is one that waited behind it.
    check(true, "a1 a2 ? !a1:5 ? @5 a1 a3 ? =a1 ? @6 a2 a3 ? =a2 ?", "a1 a2:5 a1 a3:6 a2 a3 +0");
    // Earlier ones do not wait for later ones.
    check(true, "a5 ? !a5:20 a4 ?", "a5 a4 +0");
}

#[test]
fn it_holds_them_up_for_a_bounded_time() {
    check(true, "a1 a2 ? !a1:500 ? @29 a2 ? @30 a2 ?", "a1 a2:30 a2:30 a2 +0");
    check(true, "a1 ? !a1:500 @30 a2 ? !a2:100 a3 ?", "a1 a2 a3 +0");
}
