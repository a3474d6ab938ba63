//! WithdrawOptIns: who is not opted in and not known is ignored (S2-015); who is known is withdrawn, and
//! kept with the time.

use super::{Decided, Step};
use crate::{
    accepted::Accepted,
    batch::Batch,
    changes::{self, Word},
    contacts,
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
        let Accepted { index, key, .. } = Accepted::parse(line)?;
        keys.push((index, key.into_owned()));
    }
    while !keys.is_empty() {
        let rest = keys.split_off(keys.len().min(store.block()));
        withdraw(store, &batch, std::mem::replace(&mut keys, rest), &mut part).await?;
    }
    Ok(Decided { part: StagedPart::new(&batch, "withdraw-opt-ins", part, objects).await? })
}

async fn withdraw(
    store: &impl Store,
    batch: &Batch,
    mut keys: Vec<(u64, String)>,
    part: &mut Part,
) -> Result<(), Error> {
    // Neighbours in the store are looked up one after the other.
    keys.sort_by_cached_key(|(_, key)| contacts::partition(&batch.tenant, key));
    let wanted = keys.iter().map(|(_, key)| (contacts::partition(&batch.tenant, key), key.clone())).collect();
    let mut known = Vec::new();
    for ((index, key), item) in keys.into_iter().zip(store.get_all(Table::OptIns, wanted).await?) {
        match item {
            None => part.add(Outcome::Ignored, index),
            Some(item) => known.push(changes::met(index, key, Word::OptOut, &item)?),
        }
    }
    changes::apply(store, batch, known, part).await
}
