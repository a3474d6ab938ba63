//! PutOptIns: a contact who opted in is stored once; a word that is stored already stays as it is
//! (S2-014, S2-017).

use super::{Decided, Step};
use crate::{
    accepted::Accepted,
    batch::Batch,
    changes::{self, Word},
    contacts::{self, OptIn},
    error::Error,
    ledger::{Part, StagedPart},
    objects::Objects,
    store::{Condition, Item, Store, Table, Written},
};

/// How many contacts go to the store at once: bounds memory, and what one transaction holds up.
pub(super) const BLOCK: usize = 10_000;
/// The same in bytes, for contacts that hold more than an address.
const MAX_BLOCK_BYTES: usize = 2 * 1024 * 1024;

/// Stores the contacts who opted in.
pub async fn put_opt_ins(step: Step, store: &impl Store, objects: &Objects) -> Result<Decided, Error> {
    let Step { batch, records } = step;
    let mut part = Part::default();
    let (mut words, mut bytes) = (Vec::new(), 0);
    let mut lines = records.lines(objects).await?;
    while let Some(line) = lines.next().await? {
        let accepted = Accepted::parse(line)?;
        bytes += line.len();
        words.push((accepted.key.to_string(), OptIn::saved(&batch, accepted.index, accepted.contact()?)));
        if words.len() == BLOCK || bytes >= MAX_BLOCK_BYTES {
            put(store, &batch, std::mem::take(&mut words), &mut part).await?;
            bytes = 0;
        }
    }
    put(store, &batch, words, &mut part).await?;
    Ok(Decided { part: StagedPart::new(&batch, "put-opt-ins", part, objects).await? })
}

/// Puts new contacts; the few that are known already are then changed one by one's own rules.
async fn put(
    store: &impl Store,
    batch: &Batch,
    words: Vec<(String, OptIn)>,
    part: &mut Part,
) -> Result<(), Error> {
    let mut puts = Vec::with_capacity(words.len());
    for (key, word) in words {
        puts.push((contacts::item(&batch.tenant, &key, 1, &word)?, word));
    }
    // Neighbours in the store are written one after the other.
    puts.sort_unstable_by(|(a, _), (b, _)| (&a.partition, &a.sort).cmp(&(&b.partition, &b.sort)));
    let (items, words): (Vec<_>, Vec<_>) = puts.into_iter().unzip();
    let keys: Vec<String> = items.iter().map(|item: &Item| item.sort.clone()).collect();
    let puts = items.into_iter().map(|item| (item, Condition::Absent)).collect();
    let mut known = Vec::new();
    for ((word, key), written) in words.into_iter().zip(keys).zip(store.put_all(Table::OptIns, puts).await?) {
        match written {
            Written::Done => part.add(word.outcome, word.index),
            Written::Conflict(Some(item)) => {
                known.push(changes::met(word.index, key, Word::OptIn(Box::new(word)), &item)?);
            }
            Written::Conflict(None) => {
                return Err(Error::StorageUnavailable(
                    "a contact was erased while it was being stored".into(),
                ));
            }
        }
    }
    for (index, outcome) in changes::apply(store, batch, known).await? {
        part.add(outcome, index);
    }
    Ok(())
}
