//! Small sizes give right counts. No times, no Python.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;

use benches::{
    b1, b4, clean,
    generate::{Digest, Plan},
    peers::Said,
    place::Place,
};

#[track_caller]
fn check(plan: Plan, threads: usize) {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(folder.path()).unwrap();
    let (input, oracle) = place.records(&plan).unwrap();
    let left = place.empty("b1").unwrap();
    let counts =
        clean::clean(&input, &left.join("opt-ins.ndjson"), &left.join("errors.ndjson"), threads).unwrap();
    let said = Said { version: String::new(), seconds: 0.0, counts };
    b1::strictly("clean", said, &left, &oracle).unwrap();
}

#[test]
fn clean_is_exact() {
    for (records, wide, threads) in [(20_000, false, 2), (5_000, true, 2), (20_000, false, 5), (1, false, 1)]
    {
        check(Plan { seed: 7, records, wide }, threads);
    }
}

#[test]
fn verdicts_agree_and_faults_are_the_ones_put_in() {
    for wide in [false, true] {
        assert_eq!(b4::agree(&Plan { seed: 11, records: 5_000, wide }).unwrap(), 10_000);
    }
}

#[test]
fn the_oracle_adds_up_and_a_seed_gives_the_same_bytes() {
    let plan = Plan { seed: 3, records: 20_000, wide: false };
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let oracle = plan.write(&mut first).unwrap();
    assert_eq!(plan.write(&mut second).unwrap(), oracle);
    assert_eq!(first, second);
    let counts = oracle.counts;
    assert_eq!(counts.saved + counts.ignored + counts.duplicate + counts.invalid, counts.received);
    // 3 % invalid, 10 % duplicates, 60 % of the rest opted in but for the conflicts.
    assert!((500..700).contains(&counts.invalid), "{counts:?}");
    assert!((1_900..2_100).contains(&counts.duplicate), "{counts:?}");
    assert!((10_000..10_700).contains(&counts.saved), "{counts:?}");
    assert!(counts.conflicts > 100, "{counts:?}");
    assert_ne!(oracle.opted_in, Digest::default());
}

#[test]
fn a_wrong_result_is_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(folder.path()).unwrap();
    let (input, oracle) = place.records(&Plan { seed: 7, records: 2_000, wide: false }).unwrap();
    let left = place.empty("b1").unwrap();
    let (opt_ins, errors) = (left.join("opt-ins.ndjson"), left.join("errors.ndjson"));
    let counts = clean::clean(&input, &opt_ins, &errors, 2).unwrap();
    let said = || Said { version: String::new(), seconds: 0.0, counts };
    let text = fs::read_to_string(&opt_ins).unwrap();
    fs::write(&opt_ins, text.replacen("person.", "somebody.", 1)).unwrap();
    assert!(b1::strictly("clean", said(), &left, &oracle).is_err());
    let mut miscounted = said();
    miscounted.counts.conflicts += 1;
    assert!(b1::strictly("clean", miscounted, &left, &oracle).is_err());
}
