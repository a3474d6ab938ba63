//! PutOptIns: stores a contact who opted in once; a statement that is stored already stays unchanged (S2-014, S2-017).

use crate::{
    block_size::{BlockSize, MAX_BLOCK_BYTES},
    changes::{self, Consent, ConsentUpdate},
    contact_line::ContactLine,
    stored::{self, OptIn},
};
use kernel::step::{Decided, Step};
use kernel::{
    batch::Batch,
    error::Error,
    ledger::{Part, StagedPart},
    objects::Objects,
    store::{Condition, Store, Table, Written},
};

/// Stores the contacts who opted in.
pub async fn put_opt_ins(step: Step, store: &impl Store, objects: &Objects) -> Result<Decided, Error> {
    let Step { batch, records } = step;
    let mut part = Part::default();
    let (mut statements, mut bytes) = (Vec::new(), 0);
    let mut size = BlockSize::new(store);
    let mut lines = records.lines(objects).await?;
    while let Some(line) = lines.next().await? {
        let accepted = ContactLine::parse(line)?;
        let mut contact = accepted.contact()?;
        let cleared: Vec<String> = contact.cleared.drain(..).map(Into::into).collect();
        let statement = OptIn::saved(&batch, accepted.index, contact);
        bytes += line.len();
        statements.push(Statement { key: accepted.key.into_owned(), statement, cleared });
        if statements.len() >= size.next() || bytes >= MAX_BLOCK_BYTES {
            let contacts = statements.len();
            let stored = put(store, &batch, statements, &mut part).await?;
            size.record(contacts, bytes + stored);
            statements = Vec::with_capacity(size.next());
            bytes = 0;
        }
    }
    put(store, &batch, statements, &mut part).await?;
    Ok(Decided { part: StagedPart::new(&batch, "put-opt-ins", part, objects).await? })
}

/// A record's consent statement.
struct Statement {
    key: String,
    statement: OptIn,
    /// The names of the null fields. A new contact stores nothing for them.
    cleared: Vec<String>,
}

/// Puts new contacts. The few that are known already are then updated, by the rules of [`changes`]. Returns how many
/// bytes the store has of those.
async fn put(
    store: &impl Store,
    batch: &Batch,
    statements: Vec<Statement>,
    part: &mut Part,
) -> Result<usize, Error> {
    let mut puts = Vec::with_capacity(statements.len());
    for (place, said) in statements.iter().enumerate() {
        puts.push((stored::item(&batch.tenant, &said.key, 1, &said.statement)?, place));
    }
    // Sorted, neighbours in the store are written one after the other. A statement is large, so it is not moved.
    puts.sort_unstable_by(|(a, _), (b, _)| (&a.partition, &a.sort).cmp(&(&b.partition, &b.sort)));
    let (puts, places): (Vec<_>, Vec<_>) =
        puts.into_iter().map(|(item, place)| ((item, Condition::Absent), place)).unzip();
    let mut statements: Vec<_> = statements.into_iter().map(Some).collect();
    let (mut known, mut bytes) = (Vec::new(), 0);
    for (place, written) in places.into_iter().zip(store.put_all(Table::OptIns, puts).await?) {
        let Some(Statement { key, statement, cleared }) = statements[place].take() else { continue };
        match written {
            Written::Done => part.add(statement.outcome, statement.index),
            Written::Conflict(Some(item)) => {
                let index = statement.index;
                bytes += item.body.len();
                known.push(ConsentUpdate::from_conflict(
                    index,
                    key,
                    Consent::OptIn(Box::new(statement), cleared),
                    &item,
                )?);
            }
            Written::Conflict(None) => {
                return Err(Error::StorageUnavailable(
                    "a contact was erased while it was being stored".into(),
                ));
            }
        }
    }
    changes::apply(store, batch, known, part).await?;
    Ok(bytes)
}
