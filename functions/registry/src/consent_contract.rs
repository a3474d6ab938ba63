//! The contract of contacts, on every store (feature `contract`): the latest consent statement is the current one. Clocks
//! and the order in which batches run do not change that. No statement is lost, and a step that runs twice has the result
//! of one run.

#![expect(clippy::panic, reason = "a broken promise ends the test that asks for it")]

use std::fmt::Debug;

use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;

use contacts::stored::{self, OptIn};
use kernel::{
    batch::{Batch, BatchId, Kind, Name, Rules},
    ledger::Part,
    objects::Objects,
    order,
    outcome::Outcome::{self, Ignored, Saved, Suppressed, Unchanged, Withdrawn},
    raw_record::RawRecord,
    records::Records,
    start::{Execution, Start},
    step::Step,
    store::{Condition, Item, Store, Table},
};

/// Checks stores that are empty.
///
/// # Panics
///
/// If a contact has another state than it should have.
pub async fn consent_contract(store: impl Store, objects: Objects) {
    let flow =
        |tenant: &str| Flow { store: store.clone(), objects: objects.clone(), tenant: done(tenant.parse()) };
    clocks_do_not_decide(flow("clock")).await;
    statements_without_a_number_are_oldest(flow("numbers")).await;
    a_late_statement_is_in_the_history_once(flow("late")).await;
    a_repeated_opt_out_is_current(flow("again")).await;
    a_replay_is_as_old_as_its_batch(flow("replay")).await;
    omitted_fields_stay(flow("stays")).await;
    null_clears(flow("null")).await;
    two_batches_at_once_lose_nothing(flow("two")).await;
    a_withdrawal_holds(flow("holds")).await;
    a_withdrawal_holds_in_any_order(flow("order")).await;
    a_record_replaces_what_is_known(flow("replace")).await;
}

const ANN: &str = "ann@consent.example";

/// The members of a record next to the address.
const YES: &str = r#""name":"Ann","optIn":true"#;
const NO: &str = r#""name":"","optIn":false"#;

struct Flow<S> {
    store: S,
    objects: Objects,
    tenant: Name,
}

/// Noon of a day.
fn noon(day: i64) -> Timestamp {
    done(done(Timestamp::from_second(1_800_000_000)).checked_add(SignedDuration::from_hours(24 * day)))
}

#[track_caller]
fn done<T, E: Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("it failed: {error:?}"))
}

impl<S: Store> Flow<S> {
    /// A batch that arrives at this time of the clock.
    async fn arrives(&self, at: Timestamp) -> Batch {
        self.batch(at, done(order::next(&self.store, &self.tenant, at).await), 0)
    }

    /// The same; the batch may opt contacts in again.
    async fn resubscribes(&self, at: Timestamp) -> Batch {
        Batch { rules: Rules { resubscribe: true, ..Rules::default() }, ..self.arrives(at).await }
    }

    fn batch(&self, at: Timestamp, order: u64, replay: u64) -> Batch {
        Batch {
            batch_id: BatchId::new(at, u128::from(order) << 16 | u128::from(replay)),
            tenant: self.tenant.clone(),
            provider: done("test".parse()),
            kind: Kind::Contact,
            received_at: at,
            order,
            replay,
            chunk: None,
            rules: Rules::default(),
        }
    }

    /// Runs a batch of one record on Ann, each step twice, and fails unless this is its outcome.
    async fn check(&self, batch: &Batch, statement: &str, outcome: Outcome, is_late: bool) {
        for _ in 0..2 {
            let part = self.run(batch, statement).await;
            assert_eq!(part.outcome(0), Some(outcome), "{statement}");
            assert_eq!(part.late, if is_late { vec![0] } else { vec![] }, "{statement}");
        }
    }

    async fn run(&self, batch: &Batch, statement: &str) -> Part {
        let record = done(RawValue::from_string(format!(r#"{{"email":"{ANN}",{statement}}}"#)));
        let mut line = Vec::new();
        done(RawRecord::json(0, 0, &record).write(&mut line));
        let records = done(Records::inline(&line));
        let input =
            done(serde_json::value::to_raw_value(&serde_json::json!({ "batch": batch, "records": records })));
        let execution = Execution { name: batch.batch_id.to_string(), started_at: batch.received_at };
        let valid = done(batches::validate_schema(Start { input, execution }, &self.objects).await);
        assert_eq!(valid.valid.count, 1, "{statement}");
        let step = |records| Step { batch: batch.clone(), records };
        let unique = done(batches::remove_duplicates(step(valid.valid), &self.objects).await);
        let put = done(contacts::put_opt_ins(step(unique.opted_in), &self.store, &self.objects).await);
        let withdrawn =
            done(contacts::withdraw_opt_ins(step(unique.opted_out), &self.store, &self.objects).await);
        let mut whole = done(put.part.open(&self.objects).await);
        whole.merge(done(withdrawn.part.open(&self.objects).await));
        whole.sort();
        whole
    }

    /// Ann's current statement, and all of her statements in order: the batch, yes or no, late or not.
    async fn statements(&self) -> (OptIn, Vec<(BatchId, bool, bool)>) {
        let found = done(stored::find(&self.store, &self.tenant, ANN).await);
        let history = found.unwrap_or_else(|| panic!("Ann is not known"));
        let all = history.past.iter().chain([&history.current]);
        let statements = all
            .map(|stored| (stored.statement.batch_id, stored.statement.opt_in, stored.statement.late))
            .collect();
        (history.current.statement, statements)
    }

    async fn check_fields(&self, name: &str, interests: Option<&[&str]>, extra: Option<&str>) {
        let (statement, _) = self.statements().await;
        let interests = interests.map(|all| all.iter().map(|&text| text.to_owned()).collect());
        assert_eq!(
            (&*statement.name, statement.interests, statement.extra.as_deref()),
            (name, interests, extra)
        );
    }
}

async fn clocks_do_not_decide<S: Store>(flow: Flow<S>) {
    let first = flow.arrives(noon(30)).await;
    flow.check(&first, YES, Saved, false).await;
    // The clock is right again.
    let second = flow.arrives(noon(0)).await;
    flow.check(&second, NO, Withdrawn, false).await;
    assert_eq!(flow.statements().await.1, [(first.batch_id, true, false), (second.batch_id, false, false)]);
    let third = flow.resubscribes(noon(0)).await;
    flow.check(&third, YES, Saved, false).await;
    let fourth = flow.arrives(noon(-1000)).await;
    flow.check(&fourth, NO, Withdrawn, false).await;
    assert_eq!(flow.statements().await.0.since, noon(-1000), "a person reads the time of the clock");
}

async fn statements_without_a_number_are_oldest<S: Store>(flow: Flow<S>) {
    let old = OptIn {
        name: "Ann".to_owned(),
        email: ANN.to_owned(),
        opt_in: true,
        interests: None,
        extra: None,
        since: noon(30),
        order: 0,
        replay: 0,
        batch_id: BatchId::new(noon(30), 1),
        index: 0,
        source: "file".to_owned(),
        outcome: Saved,
        resubscribed: false,
        late: false,
    };
    let item: Item = done(stored::item(&flow.tenant, ANN, 1, &old));
    assert!(!item.body.contains("order"), "as it was stored before there were numbers");
    done(flow.store.put(Table::OptIns, item, Condition::None).await);
    // Among statements without a number the time decides.
    flow.check(&flow.batch(noon(29), 0, 0), NO, Unchanged, true).await;
    let new = flow.arrives(noon(0)).await;
    flow.check(&new, NO, Withdrawn, false).await;
    flow.check(&flow.batch(noon(31), 0, 0), YES, Unchanged, true).await;
    assert!(!flow.statements().await.0.opt_in);
}

async fn a_late_statement_is_in_the_history_once<S: Store>(flow: Flow<S>) {
    let mut batches = Vec::new();
    for _ in 0..5 {
        batches.push(flow.resubscribes(noon(0)).await);
    }
    let changed = r#""name":"Ann Lee","optIn":true"#;
    flow.check(&batches[0], YES, Saved, false).await;
    flow.check(&batches[3], changed, Saved, false).await;
    flow.check(&batches[2], NO, Unchanged, true).await;
    flow.check(&batches[1], YES, Unchanged, true).await;
    let (statement, statements) = flow.statements().await;
    assert_eq!(
        (statement.batch_id, statement.opt_in, &*statement.name),
        (batches[3].batch_id, true, "Ann Lee")
    );
    let expected = [(0, true, false), (1, true, true), (2, false, true), (3, true, false)];
    let named = |all: &[(usize, bool, bool)]| -> Vec<_> {
        all.iter().map(|&(at, opt_in, late)| (batches[at].batch_id, opt_in, late)).collect()
    };
    assert_eq!(statements, named(&expected));
    flow.check(&batches[4], NO, Withdrawn, false).await;
    // Another attempt at a batch finds its own statement, even after later ones.
    flow.check(&batches[3], changed, Saved, false).await;
    flow.check(&batches[2], NO, Unchanged, true).await;
    assert_eq!(flow.statements().await.1, named(&[&expected[..], &[(4, false, false)]].concat()));
}

async fn a_repeated_opt_out_is_current<S: Store>(flow: Flow<S>) {
    flow.check(&flow.arrives(noon(0)).await, YES, Saved, false).await;
    let no = flow.arrives(noon(0)).await;
    flow.check(&no, NO, Withdrawn, false).await;
    let between = flow.arrives(noon(0)).await;
    flow.check(&flow.arrives(noon(0)).await, NO, Unchanged, false).await;
    flow.check(&between, YES, Unchanged, true).await;
    let (statement, statements) = flow.statements().await;
    assert_eq!((statement.opt_in, statement.batch_id, statements.len()), (false, no.batch_id, 3));
    flow.check(&flow.resubscribes(noon(0)).await, YES, Saved, false).await;
}

async fn a_replay_is_as_old_as_its_batch<S: Store>(flow: Flow<S>) {
    let source = flow.arrives(noon(0)).await;
    flow.check(&source, NO, Ignored, false).await;
    let later = flow.resubscribes(noon(0)).await;
    let first =
        flow.batch(noon(0), source.order, done(order::next(&flow.store, &flow.tenant, noon(0)).await));
    flow.check(&first, YES, Saved, false).await;
    // By its id, which contains the clock, this batch was made before the other.
    let replay = done(order::next(&flow.store, &flow.tenant, noon(-1)).await);
    let second = Batch { batch_id: BatchId::new(noon(-1), 1), replay, ..source.clone() };
    flow.check(&second, NO, Withdrawn, false).await;
    flow.check(&later, YES, Saved, false).await;
    let third =
        flow.batch(noon(0), source.order, done(order::next(&flow.store, &flow.tenant, noon(2)).await));
    flow.check(&third, NO, Unchanged, true).await;
}

async fn omitted_fields_stay<S: Store>(flow: Flow<S>) {
    let whole = r#""name":"Ann Meyer","optIn":true,"interests":["art"],"phone":"1","id":90071992547409931"#;
    let extra = Some(r#"{"id":90071992547409931,"phone":"1"}"#);
    flow.check(&flow.arrives(noon(0)).await, whole, Saved, false).await;
    for less in [
        r#""name":"","optIn":true"#,
        r#""name":" \u00a0","optIn":true"#,
        r#""optIn":true,"name":"Ann Meyer""#,
    ] {
        flow.check(&flow.arrives(noon(0)).await, less, Unchanged, false).await;
        flow.check_fields("Ann Meyer", Some(&["art"]), extra).await;
    }
    flow.check(
        &flow.arrives(noon(0)).await,
        r#""phone":"2","city":"Oslo","name":"Ann Lee","optIn":true"#,
        Saved,
        false,
    )
    .await;
    let merged = Some(r#"{"city":"Oslo","id":90071992547409931,"phone":"2"}"#);
    flow.check_fields("Ann Lee", Some(&["art"]), merged).await;
    // A withdrawal changes the consent, and nothing else.
    flow.check(&flow.arrives(noon(0)).await, r#""name":"A","optIn":false,"phone":null"#, Withdrawn, false)
        .await;
    flow.check_fields("Ann Lee", Some(&["art"]), merged).await;
    flow.check(
        &flow.resubscribes(noon(0)).await,
        r#""name":"","optIn":true,"interests":["music"]"#,
        Saved,
        false,
    )
    .await;
    flow.check_fields("Ann Lee", Some(&["music"]), merged).await;
    assert_eq!(flow.statements().await.1.len(), 4);
}

async fn null_clears<S: Store>(flow: Flow<S>) {
    let none = r#""name":"Ann","optIn":true,"interests":null,"phone":null"#;
    flow.check(&flow.arrives(noon(0)).await, none, Saved, false).await;
    flow.check_fields("Ann", None, None).await;
    let whole = r#""name":"Ann","optIn":true,"interests":["art"],"phone":"1","a":{"b":null}"#;
    flow.check(&flow.arrives(noon(0)).await, whole, Saved, false).await;
    flow.check(&flow.arrives(noon(0)).await, r#""name":"Ann","optIn":true,"phone":null"#, Saved, false).await;
    flow.check_fields("Ann", Some(&["art"]), Some(r#"{"a":{"b":null}}"#)).await;
    flow.check(&flow.arrives(noon(0)).await, r#""name":"Ann","optIn":true,"phone":null"#, Unchanged, false)
        .await;
    flow.check(&flow.arrives(noon(0)).await, none, Saved, false).await;
    flow.check(&flow.arrives(noon(0)).await, r#""name":"Ann","optIn":true,"a":null"#, Saved, false).await;
    flow.check_fields("Ann", None, None).await;
    assert_eq!(flow.statements().await.1.len(), 5);
}

async fn two_batches_at_once_lose_nothing<S: Store>(flow: Flow<S>) {
    let mut orders: Vec<u64> = Vec::new();
    for round in 0..8 {
        let (yes, no) = (flow.resubscribes(noon(-round)).await, flow.arrives(noon(-2 * round)).await);
        orders.extend([yes.order, no.order]);
        let both = futures::future::join(flow.run(&no, NO), flow.run(&yes, YES)).await;
        let (statement, statements) = flow.statements().await;
        let was_known = round > 0 || both.0.outcome(0) != Some(Ignored);
        assert_eq!(statement.opt_in, !was_known, "the later of two is current: {statements:?}");
        let is_kept = statements.iter().any(|(id, ..)| *id == yes.batch_id);
        assert!(
            is_kept || (both.1.outcome(0) == Some(Unchanged) && both.1.late.is_empty()),
            "{statements:?}"
        );
    }
    assert!(orders.is_sorted_by(|a, b| a < b), "{orders:?}");
}

async fn a_withdrawal_holds<S: Store>(flow: Flow<S>) {
    let at = |day: i64| format!(r#""name":"Ann Lee","optIn":true,"optInAt":"{}""#, noon(day));
    flow.check(&flow.arrives(noon(0)).await, YES, Saved, false).await;
    flow.check(&flow.arrives(noon(10)).await, NO, Withdrawn, false).await;
    let changed = r#""name":"Ann Lee","optIn":true"#;
    for statement in
        [YES, changed, &at(9), &at(10), &at(22), r#""name":"Ann","optIn":true,"optInAt":"11/12/2026""#]
    {
        flow.check(&flow.arrives(noon(20)).await, statement, Suppressed, false).await;
    }
    assert_eq!(flow.statements().await.1.len(), 2);
    flow.check_fields("Ann", None, None).await;
    flow.check(&flow.arrives(noon(20)).await, &at(11), Saved, false).await;
    assert!(flow.statements().await.0.opt_in);
    // The consent time is that of this opt-in: it shows nothing after the next withdrawal.
    flow.check(&flow.arrives(noon(21)).await, NO, Withdrawn, false).await;
    flow.check(&flow.arrives(noon(30)).await, &at(11), Suppressed, false).await;
    flow.check(&flow.resubscribes(noon(30)).await, YES, Saved, false).await;
    flow.check(&flow.arrives(noon(31)).await, NO, Withdrawn, false).await;
    flow.check(&flow.arrives(noon(32)).await, YES, Suppressed, false).await;
}

async fn a_withdrawal_holds_in_any_order<S: Store>(flow: Flow<S>) {
    let changed = r#""name":"Ann Lee","optIn":true"#;
    flow.check(&flow.arrives(noon(0)).await, YES, Saved, false).await;
    let (no, later) = (flow.arrives(noon(1)).await, flow.arrives(noon(2)).await);
    flow.check(&later, changed, Saved, false).await;
    flow.check(&no, NO, Withdrawn, false).await;
    assert!(!flow.statements().await.0.opt_in);
    flow.check(&later, changed, Suppressed, false).await;
    assert_eq!(flow.statements().await.1.len(), 3);
}

async fn a_record_replaces_what_is_known<S: Store>(flow: Flow<S>) {
    let whole = r#""name":"Ann Meyer","optIn":true,"interests":["art"],"phone":"1""#;
    flow.check(&flow.arrives(noon(0)).await, whole, Saved, false).await;
    let rules = Rules { replace: true, ..Rules::default() };
    let batch = Batch { rules, ..flow.arrives(noon(1)).await };
    flow.check(&batch, r#""name":"","optIn":true,"city":"Oslo""#, Saved, false).await;
    flow.check_fields("", None, Some(r#"{"city":"Oslo"}"#)).await;
}
