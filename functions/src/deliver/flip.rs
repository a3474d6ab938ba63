//! The response of an event, which says of each destination whether it has the event (S0-026). All lanes that the event
//! lies in change the same item.

use std::{collections::HashSet, time::Duration};

use tokio::time::sleep;

use super::{
    load::Known,
    record::{Book, Ended, Fate},
};
use crate::{
    error::Error,
    response,
    store::{Condition, Item, Store, Written},
};

/// How often a response that others change at the same time is looked at again.
const ROUNDS: u32 = 40;
/// So many of those are at once.
const AT_ONCE: u32 = 4;
/// The longest pause before one of the others, in milliseconds.
const PAUSE: u128 = 64;

impl<S: Store> Book<S> {
    /// Sets the destination's status of each event that was delivered to true; gives the sequences of those that others
    /// changed each time.
    pub(super) async fn flip(&self, ended: &mut [Ended]) -> Result<HashSet<String>, Error> {
        let is_open = |ended: &Ended| ended.fate == Fate::Delivered && ended.response.is_some();
        let mut open: Vec<&mut Ended> = ended.iter_mut().filter(|ended| is_open(ended)).collect();
        for round in 0..ROUNDS {
            if open.is_empty() {
                return Ok(HashSet::new());
            }
            if round >= AT_ONCE {
                let most = (1 << (round - AT_ONCE).min(6)).min(PAUSE);
                let pause = (self.random)() % most + 1;
                sleep(Duration::from_millis(u64::try_from(pause).unwrap_or_default())).await;
            }
            let puts =
                open.iter_mut().filter_map(|ended| self.flipped(ended)).collect::<Result<Vec<_>, _>>()?;
            let written = self.store.put_all(response::TABLE, puts).await?;
            let mut again = Vec::new();
            for (ended, written) in open.into_iter().zip(written) {
                // One that is gone was erased.
                let Written::Conflict(Some(item)) = written else { continue };
                let known = Known::read(&item)?;
                let status = known.response.destinations.get(&self.wake.destination);
                if known.response.sequence == ended.row.sequence && status != Some(&true) {
                    ended.response = Some(known);
                    again.push(ended);
                }
            }
            open = again;
        }
        Ok(open.into_iter().map(|ended| ended.row.sequence.clone()).collect())
    }

    fn flipped(&self, ended: &mut Ended) -> Option<Result<(Item, Condition), Error>> {
        let Known { response, version } = ended.response.as_mut()?;
        response.destinations.insert(self.wake.destination.clone(), true);
        let item = response.item(&self.wake.tenant, *version + 1);
        Some(item.map(|item| (item, Condition::Version(*version))))
    }
}
