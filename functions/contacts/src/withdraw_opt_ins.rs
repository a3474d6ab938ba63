//! WithdrawOptIns: an unknown contact who is not opted in is ignored (S2-015); a known one is withdrawn, and stays
//! stored with the time.

use crate::{
    block_size::BlockSize,
    changes::{self, Consent, ConsentUpdate},
    contact_line::ContactLine,
    stored,
};
use kernel::step::{Decided, Step};
use kernel::{
    batch::Batch,
    error::Error,
    ledger::{Part, StagedPart},
    objects::Objects,
    outcome::Outcome,
    store::{Store, Table},
};

/// Withdraws the known contacts who no longer agree.
pub async fn withdraw_opt_ins(step: Step, store: &impl Store, objects: &Objects) -> Result<Decided, Error> {
    let Step { batch, records } = step;
    let mut part = Part::default();
    let mut keys = Vec::new();
    let mut lines = records.lines(objects).await?;
    while let Some(line) = lines.next().await? {
        let ContactLine { index, key, .. } = ContactLine::parse(line)?;
        keys.push((index, key.into_owned()));
    }
    let mut size = BlockSize::new(store);
    let mut keys = keys.into_iter();
    while keys.len() > 0 {
        let block: Vec<_> = keys.by_ref().take(size.next()).collect();
        let contacts = block.len();
        let bytes = withdraw(store, &batch, block, &mut part).await?;
        size.record(contacts, bytes);
    }
    Ok(Decided { part: StagedPart::new(&batch, "withdraw-opt-ins", part, objects).await? })
}

/// Returns how many bytes the store has of the contacts.
async fn withdraw(
    store: &impl Store,
    batch: &Batch,
    mut keys: Vec<(u64, String)>,
    part: &mut Part,
) -> Result<usize, Error> {
    // Sorted, neighbours in the store are read one after the other.
    keys.sort_by_cached_key(|(_, key)| stored::partition(&batch.tenant, key));
    let wanted = keys.iter().map(|(_, key)| (stored::partition(&batch.tenant, key), key.clone())).collect();
    let (mut known, mut bytes) = (Vec::new(), 0);
    for ((index, key), item) in keys.into_iter().zip(store.get_all(Table::OptIns, wanted).await?) {
        match item {
            None => part.add(Outcome::Ignored, index),
            Some(item) => {
                bytes += item.body.len();
                known.push(ConsentUpdate::from_conflict(index, key, Consent::OptOut, &item)?);
            }
        }
    }
    changes::apply(store, batch, known, part).await?;
    Ok(bytes)
}
