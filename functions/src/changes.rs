//! Changes to contacts: what a record's word does to the word that is stored, however often it is tried.

use crate::{
    batch::Batch,
    contacts::{self, OptIn, Stored},
    error::Error,
    outcome::Outcome,
    store::{Condition, Item, Store, Table, Written},
};

/// How often a change that somebody else got in before is tried anew before the step gives up for now.
const ROUNDS: usize = 8;

/// What a record says of a contact who is known already.
#[derive(Clone, Debug)]
pub enum Word {
    /// This, and they agree.
    OptIn(Box<OptIn>),
    /// They no longer agree.
    OptOut,
}

/// A record's word on a contact that the store knows.
#[derive(Clone, Debug)]
pub struct Change {
    /// The record's place in the batch.
    pub index: u64,
    /// The contact's key.
    pub key: String,
    /// What it says.
    pub word: Word,
    /// What was stored when it was last looked at.
    pub stored: Stored,
}

/// Makes the changes; the outcome of each by record index.
///
/// Run again for the same batch it changes nothing and gives the same outcomes: a word that this very
/// record stored is recognised, also in the history. What a later batch said is never overwritten.
pub async fn apply(
    store: &impl Store,
    batch: &Batch,
    changes: Vec<Change>,
) -> Result<Vec<(u64, Outcome)>, Error> {
    let mut decided = Vec::with_capacity(changes.len());
    let mut open = changes;
    for _ in 0..ROUNDS {
        let mut writes = Vec::new();
        for change in open {
            match decide(store, batch, &change).await? {
                Decision::Done(outcome) => decided.push((change.index, outcome)),
                Decision::Write(new) => writes.push((change, new)),
            }
        }
        if writes.is_empty() {
            return Ok(decided);
        }
        open = write(store, batch, writes, &mut decided).await?;
    }
    if open.is_empty() {
        Ok(decided)
    } else {
        Err(Error::StorageUnavailable("contacts are being changed by others at the same time".into()))
    }
}

enum Decision {
    Done(Outcome),
    Write(OptIn),
}

async fn decide(store: &impl Store, batch: &Batch, change: &Change) -> Result<Decision, Error> {
    let Change { index, key, word, stored } = change;
    let current = &stored.word;
    if current.is_of(batch, *index) {
        return Ok(Decision::Done(current.outcome));
    }
    if current.is_later_than(batch) {
        let past = contacts::past(store, &batch.tenant, key).await?;
        let mine = past.iter().find(|stored| stored.word.is_of(batch, *index));
        return Ok(Decision::Done(mine.map_or(Outcome::Unchanged, |stored| stored.word.outcome)));
    }
    Ok(match word {
        Word::OptIn(new) if current.says_the_same(new) => Decision::Done(Outcome::Unchanged),
        Word::OptIn(new) => Decision::Write(OptIn::clone(new)),
        Word::OptOut if !current.opt_in => Decision::Done(Outcome::Unchanged),
        Word::OptOut => Decision::Write(current.withdrawn(batch, *index)),
    })
}

/// Writes the old words into the history, then the new ones over them; gives back what others changed
/// meanwhile, as it is stored now.
async fn write(
    store: &impl Store,
    batch: &Batch,
    writes: Vec<(Change, OptIn)>,
    decided: &mut Vec<(u64, Outcome)>,
) -> Result<Vec<Change>, Error> {
    let tenant = &batch.tenant;
    let mut past = Vec::with_capacity(writes.len());
    let mut current = Vec::with_capacity(writes.len());
    for (Change { key, stored, .. }, new) in &writes {
        past.push((contacts::past_item(tenant, key, stored)?, Condition::None));
        let version = stored.version + 1;
        current.push((contacts::item(tenant, key, version, new)?, Condition::Version(stored.version)));
    }
    store.put_all(Table::Consents, past).await?;
    let written = store.put_all(Table::OptIns, current).await?;
    let mut open = Vec::new();
    for ((change, new), written) in writes.into_iter().zip(written) {
        match written {
            Written::Done => decided.push((change.index, new.outcome)),
            Written::Conflict(Some(item)) => open.push(Change { stored: Stored::read(&item)?, ..change }),
            Written::Conflict(None) => {
                return Err(Error::StorageUnavailable(
                    "a contact was erased while it was being changed".into(),
                ));
            }
        }
    }
    Ok(open)
}

/// The changes that new words of opt-ins meet where the address turned out to be stored.
pub fn met(index: u64, key: String, word: Word, item: &Item) -> Result<Change, Error> {
    Ok(Change { index, key, word, stored: Stored::read(item)? })
}
