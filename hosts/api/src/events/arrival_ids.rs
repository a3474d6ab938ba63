//! The ids of ingest requests. Later ids are greater, so their order is the order of acceptance.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use kernel::BatchId;

/// Generates them; one instance for each process.
#[derive(Debug, Default)]
pub(crate) struct ArrivalIds(Mutex<Option<BatchId>>);

impl ArrivalIds {
    /// An id for a request that arrives at `now`. It is greater than all ids before, also within one millisecond and after
    /// the clock was set back.
    pub(crate) fn next(&self, now: Timestamp, random: u128) -> BatchId {
        let fresh = BatchId::new(now, random);
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = match *last {
            Some(last) if fresh <= last => last.next(),
            _ => fresh,
        };
        *last = Some(id);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(asked: &[(i64, u128)]) {
        let ids = ArrivalIds::default();
        let made: Vec<BatchId> = asked
            .iter()
            .map(|&(ms, random)| ids.next(Timestamp::from_millisecond(ms).unwrap(), random))
            .collect();
        assert!(made.is_sorted_by(|one, other| one < other), "{made:?}");
        assert_eq!(made[0], BatchId::new(Timestamp::from_millisecond(asked[0].0).unwrap(), asked[0].1));
    }

    #[test]
    fn later_ids_are_greater() {
        check(&[(1, 5), (1, 4), (1, 4), (1, 9), (2, 0), (1, 8), (3, 1)]);
        let last_of_a_millisecond = (1 << 80) - 1;
        check(&[(1, last_of_a_millisecond), (1, 0), (2, 0), (2, 0)]);
    }
}
