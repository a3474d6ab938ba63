//! Changes to contacts: a record's consent statement against the stored one. The result is the same however often it is
//! tried.

use crate::stored::{self, OptIn, Stored};
use kernel::{
    batch::Batch,
    error::Error,
    ledger::Part,
    outcome::Outcome,
    store::{Condition, Item, Store, Table, Written},
};

/// Maximum number of attempts at a change that lost against concurrent ones; then the step fails, to be retried later.
const MAX_ATTEMPTS: usize = 8;

/// A record's consent statement on a known contact.
#[derive(Clone, Debug)]
pub enum Consent {
    /// The contact opts in; the named fields are cleared.
    OptIn(Box<OptIn>, Vec<String>),
    /// The contact opts out.
    OptOut,
}

/// A record's consent statement on a contact that the store knows.
#[derive(Clone, Debug)]
pub struct ConsentUpdate {
    /// The record's index in the batch.
    pub index: u64,
    /// The contact's key.
    pub key: String,
    /// The consent statement.
    pub statement: Consent,
    /// The stored statement, as of its last read.
    pub stored: Stored,
}

impl ConsentUpdate {
    /// The update of a contact whose put failed because `item` is already stored.
    pub fn from_conflict(index: u64, key: String, statement: Consent, item: &Item) -> Result<Self, Error> {
        Ok(Self { index, key, statement, stored: Stored::read(item)? })
    }
}

/// Stores the updates, and adds the outcome of each record to `part`.
///
/// A second run for the same batch changes nothing and adds the same outcomes: it recognises a statement that this very
/// record stored, also in the history. It never overwrites the statement of a later batch; the earlier statement is
/// added to the history.
pub async fn apply(
    store: &impl Store,
    batch: &Batch,
    changes: Vec<ConsentUpdate>,
    part: &mut Part,
) -> Result<(), Error> {
    let mut pending = changes;
    for _ in 0..MAX_ATTEMPTS {
        let (mut writes, mut late) = (Vec::new(), Vec::new());
        for change in pending {
            match decide(store, batch, &change).await? {
                Decision::Done(outcome) => part.add(outcome, change.index),
                Decision::Write(new, outcome) => writes.push(Write { change, new, outcome }),
                Decision::Late(None) => part.add_late(change.index),
                Decision::Late(Some(statement)) => {
                    part.add_late(change.index);
                    late.push((stored::late_item(&batch.tenant, &change.key, &statement)?, Condition::None));
                }
            }
        }
        store.put_all(Table::Consents, late).await?;
        if writes.is_empty() {
            return Ok(());
        }
        pending = write(store, batch, writes, part).await?;
    }
    if pending.is_empty() {
        Ok(())
    } else {
        Err(Error::StorageUnavailable("contacts are being changed by others at the same time".into()))
    }
}

/// A statement that replaces the current one.
struct Write {
    change: ConsentUpdate,
    new: OptIn,
    /// The record's outcome after the write. If it is `unchanged`, the record repeated the current statement.
    outcome: Outcome,
}

enum Decision {
    Done(Outcome),
    Write(OptIn, Outcome),
    /// The current statement is later. This one is added to the history, unless it is there.
    Late(Option<OptIn>),
}

async fn decide(store: &impl Store, batch: &Batch, change: &ConsentUpdate) -> Result<Decision, Error> {
    let ConsentUpdate { index, key, statement, stored } = change;
    let current = &stored.statement;
    if current.is_of(batch, *index) {
        return Ok(Decision::Done(current.outcome));
    }
    if current.is_later_than(batch) {
        let past = stored::past(store, &batch.tenant, key).await?;
        let own = past.iter().find(|stored| stored.statement.is_of(batch, *index));
        return Ok(match (own, statement) {
            (Some(own), _) if !own.statement.late => Decision::Done(own.statement.outcome),
            (Some(_), _) => Decision::Late(None),
            // In the order of the batches, the withdrawal had come first, and the opt-in had been suppressed.
            (None, Consent::OptOut) if holds(batch, current, &past) => {
                Decision::Write(current.withdrawn(batch, *index), Outcome::Withdrawn)
            }
            (None, Consent::OptIn(new, _)) => Decision::Late(Some(OptIn::clone(new).as_late())),
            (None, Consent::OptOut) => Decision::Late(Some(current.withdrawn(batch, *index).as_late())),
        });
    }
    Ok(match statement {
        Consent::OptIn(new, _) if !current.opt_in && !new.is_consent_after(current.made_by()) => {
            Decision::Done(Outcome::Suppressed)
        }
        Consent::OptIn(new, cleared) => {
            let new = OptIn::clone(new);
            let new = if batch.rules.replace { new } else { new.over(current, cleared)? };
            if current.says_the_same(&new) {
                Decision::Done(Outcome::Unchanged)
            } else {
                Decision::Write(new, Outcome::Saved)
            }
        }
        Consent::OptOut if current.opt_in => {
            Decision::Write(current.withdrawn(batch, *index), Outcome::Withdrawn)
        }
        // An older opt-in that is processed afterwards must find the later one of the two opt-outs.
        Consent::OptOut if current.order < batch.order => {
            Decision::Write(current.said_again(batch), Outcome::Unchanged)
        }
        Consent::OptOut => Decision::Done(Outcome::Unchanged),
    })
}

/// Whether a withdrawal that a later opt-in overtook ends that opt-in: it shows no consent after the withdrawal, and the
/// contact was known before.
fn holds(withdrawal: &Batch, current: &OptIn, past: &[Stored]) -> bool {
    current.opt_in
        && !current.is_consent_after(stored::latest(withdrawal.received_at, withdrawal.order))
        && past.iter().any(|stored| !stored.statement.is_later_than(withdrawal))
}

/// Writes the old statements into the history, then the new ones over them. Returns the updates that lost against a
/// concurrent change, with the statement that is stored now.
async fn write(
    store: &impl Store,
    batch: &Batch,
    writes: Vec<Write>,
    part: &mut Part,
) -> Result<Vec<ConsentUpdate>, Error> {
    let tenant = &batch.tenant;
    let mut past = Vec::with_capacity(writes.len());
    let mut current = Vec::with_capacity(writes.len());
    for Write { change: ConsentUpdate { key, stored, .. }, new, outcome } in &writes {
        if *outcome != Outcome::Unchanged {
            past.push((stored::past_item(tenant, key, stored)?, Condition::None));
        }
        let version = stored.version + 1;
        current.push((stored::item(tenant, key, version, new)?, Condition::Version(stored.version)));
    }
    store.put_all(Table::Consents, past).await?;
    let written = store.put_all(Table::OptIns, current).await?;
    let mut pending = Vec::new();
    for (Write { change, outcome, .. }, written) in writes.into_iter().zip(written) {
        match written {
            Written::Done => part.add(outcome, change.index),
            Written::Conflict(Some(item)) => {
                pending.push(ConsentUpdate { stored: Stored::read(&item)?, ..change })
            }
            Written::Conflict(None) => {
                return Err(Error::StorageUnavailable(
                    "a contact was erased while it was being changed".into(),
                ));
            }
        }
    }
    Ok(pending)
}
