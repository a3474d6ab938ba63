//! Changes to contacts: what a record's word does to the word that is stored, however often it is tried.

use crate::stored::{self, OptIn, Stored};
use kernel::{
    batch::Batch,
    error::Error,
    ledger::Part,
    outcome::Outcome,
    store::{Condition, Item, Store, Table, Written},
};

/// How often a change that somebody else got in before is tried anew before the step gives up for now.
const ROUNDS: usize = 8;

/// What a record says of a contact who is known already.
#[derive(Clone, Debug)]
pub enum Word {
    /// This, and they agree; nothing is left of the fields that are named.
    OptIn(Box<OptIn>, Vec<String>),
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

/// Makes the changes, and says of each record what became of it.
///
/// Run again for the same batch it changes nothing and gives the same outcomes: a word that this very
/// record stored is recognised, also in the history. What a later batch said is never overwritten; the word that lost
/// to it goes into the history.
pub async fn apply(
    store: &impl Store,
    batch: &Batch,
    changes: Vec<Change>,
    part: &mut Part,
) -> Result<(), Error> {
    let mut open = changes;
    for _ in 0..ROUNDS {
        let (mut writes, mut late) = (Vec::new(), Vec::new());
        for change in open {
            match decide(store, batch, &change).await? {
                Decision::Done(outcome) => part.add(outcome, change.index),
                Decision::Write(new, outcome) => writes.push(Write { change, new, outcome }),
                Decision::Late(None) => part.add_late(change.index),
                Decision::Late(Some(word)) => {
                    part.add_late(change.index);
                    late.push((stored::late_item(&batch.tenant, &change.key, &word)?, Condition::None));
                }
            }
        }
        store.put_all(Table::Consents, late).await?;
        if writes.is_empty() {
            return Ok(());
        }
        open = write(store, batch, writes, part).await?;
    }
    if open.is_empty() {
        Ok(())
    } else {
        Err(Error::StorageUnavailable("contacts are being changed by others at the same time".into()))
    }
}

/// A word that is to be stored over the current one.
struct Write {
    change: Change,
    new: OptIn,
    /// What the record's outcome is then; where it is `unchanged` the current word was said again.
    outcome: Outcome,
}

enum Decision {
    Done(Outcome),
    Write(OptIn, Outcome),
    /// What stands was said later. The word goes into the history, unless it is there.
    Late(Option<OptIn>),
}

async fn decide(store: &impl Store, batch: &Batch, change: &Change) -> Result<Decision, Error> {
    let Change { index, key, word, stored } = change;
    let current = &stored.word;
    if current.is_of(batch, *index) {
        return Ok(Decision::Done(current.outcome));
    }
    if current.is_later_than(batch) {
        let past = stored::past(store, &batch.tenant, key).await?;
        let mine = past.iter().find(|stored| stored.word.is_of(batch, *index));
        return Ok(match (mine, word) {
            (Some(mine), _) if !mine.word.late => Decision::Done(mine.word.outcome),
            (Some(_), _) => Decision::Late(None),
            (None, Word::OptIn(new, _)) => Decision::Late(Some(OptIn::clone(new).as_late())),
            (None, Word::OptOut) => Decision::Late(Some(current.withdrawn(batch, *index).as_late())),
        });
    }
    Ok(match word {
        Word::OptIn(new, cleared) => {
            let new = OptIn::clone(new).over(current, cleared)?;
            if current.says_the_same(&new) {
                Decision::Done(Outcome::Unchanged)
            } else {
                Decision::Write(new, Outcome::Saved)
            }
        }
        Word::OptOut if current.opt_in => {
            Decision::Write(current.withdrawn(batch, *index), Outcome::Withdrawn)
        }
        // A yes that was said before, and whose turn comes after, must meet the later one of the two.
        Word::OptOut if current.order < batch.order => {
            Decision::Write(current.said_again(batch), Outcome::Unchanged)
        }
        Word::OptOut => Decision::Done(Outcome::Unchanged),
    })
}

/// Writes the old words into the history, then the new ones over them; gives back what others changed
/// meanwhile, as it is stored now.
async fn write(
    store: &impl Store,
    batch: &Batch,
    writes: Vec<Write>,
    part: &mut Part,
) -> Result<Vec<Change>, Error> {
    let tenant = &batch.tenant;
    let mut past = Vec::with_capacity(writes.len());
    let mut current = Vec::with_capacity(writes.len());
    for Write { change: Change { key, stored, .. }, new, outcome } in &writes {
        if *outcome != Outcome::Unchanged {
            past.push((stored::past_item(tenant, key, stored)?, Condition::None));
        }
        let version = stored.version + 1;
        current.push((stored::item(tenant, key, version, new)?, Condition::Version(stored.version)));
    }
    store.put_all(Table::Consents, past).await?;
    let written = store.put_all(Table::OptIns, current).await?;
    let mut open = Vec::new();
    for (Write { change, outcome, .. }, written) in writes.into_iter().zip(written) {
        match written {
            Written::Done => part.add(outcome, change.index),
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
