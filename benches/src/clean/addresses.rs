//! The winning record of each address. The result does not depend on the order in which threads read the records.

use std::{
    collections::{HashMap, hash_map},
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{Mutex, PoisonError},
};

use contacts::email::EmailKey;

use crate::generate::Counts;

/// With so many shards, two threads seldom lock the same one, and a shard that grows is small.
const SHARDS: usize = 256;

/// Number of records that a thread adds to a shard at once.
const MAX_BUFFERED_RECORDS: usize = 256;

/// The 128-bit hash of a key replaces the key: among 10^9 addresses, a collision has a probability of 10^-21.
#[derive(PartialEq, Eq)]
struct Hashed {
    low: u64,
    high: u64,
}

impl Hash for Hashed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low);
    }
}

type Shard = HashMap<Hashed, Entry, BuildHasherDefault<Low>>;

/// The records of an address, in one word.
#[derive(Clone, Copy)]
struct Entry {
    /// The first line of the address. The lowest bits: whether that line opts in, and whether any other line
    /// disagrees.
    word: u64,
}

impl Entry {
    fn new(line: u64, opt_in: bool) -> Self {
        Self { word: line << 2 | u64::from(opt_in) << 1 }
    }

    fn line(self) -> u64 {
        self.word >> 2
    }

    fn opt_in(self) -> bool {
        self.word & 2 != 0
    }

    fn in_conflict(self) -> bool {
        self.word & 1 != 0
    }

    fn merge(&mut self, other: Self) {
        let in_conflict = self.in_conflict() || self.opt_in() != other.opt_in();
        let first = if other.line() < self.line() { other } else { *self };
        self.word = first.word | u64::from(in_conflict);
    }
}

/// The addresses of all records until now.
pub(super) struct Addresses {
    shards: Vec<Mutex<(Shard, u64)>>,
}

impl Default for Addresses {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Addresses {
    fn add_all(&self, shard: usize, buffered: &mut Vec<(Hashed, Entry)>) {
        let (shard, duplicates) = &mut *self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        for (hashed, entry) in buffered.drain(..) {
            match shard.entry(hashed) {
                hash_map::Entry::Vacant(free) => {
                    free.insert(entry);
                }
                hash_map::Entry::Occupied(mut taken) => {
                    *duplicates += 1;
                    taken.get_mut().merge(entry);
                }
            }
        }
    }
}

/// The buffered records of one thread, before it adds them to the shards.
///
/// The thread adds the records of a shard at once: one shard fits into a core's cache, and all of them do not.
pub(super) struct AddressBuffer<'a> {
    addresses: &'a Addresses,
    buffered: Vec<Vec<(Hashed, Entry)>>,
}

impl<'a> AddressBuffer<'a> {
    pub(super) fn new(addresses: &'a Addresses) -> Self {
        Self { addresses, buffered: (0..SHARDS).map(|_| Vec::with_capacity(MAX_BUFFERED_RECORDS)).collect() }
    }

    /// Adds the valid record of this line.
    pub(super) fn add(&mut self, key: &EmailKey, line: u64, opt_in: bool) {
        let hash = xxhash_rust::xxh3::xxh3_128(key.as_str().as_bytes());
        let hashed = Hashed { low: hash as u64, high: (hash >> 64) as u64 };
        let shard = hashed.high as usize % SHARDS;
        let buffered = &mut self.buffered[shard];
        buffered.push((hashed, Entry::new(line, opt_in)));
        if buffered.len() == MAX_BUFFERED_RECORDS {
            self.addresses.add_all(shard, buffered);
        }
    }
}

impl Drop for AddressBuffer<'_> {
    fn drop(&mut self) {
        for (shard, buffered) in self.buffered.iter_mut().enumerate() {
            self.addresses.add_all(shard, buffered);
        }
    }
}

/// The lines to write: one bit for each line.
pub(super) struct Winners(Vec<u64>);

impl Winners {
    /// Finds the winner of every address, and counts the outcomes.
    pub(super) fn of(addresses: Addresses, counts: &mut Counts) -> Self {
        let mut bits = vec![0_u64; counts.received as usize / 64 + 1];
        for shard in addresses.shards {
            let (shard, duplicates) = shard.into_inner().unwrap_or_else(PoisonError::into_inner);
            counts.duplicate += duplicates;
            for entry in shard.into_values() {
                counts.conflicts += u64::from(entry.in_conflict());
                if !entry.opt_in() || entry.in_conflict() {
                    counts.ignored += 1;
                    continue;
                }
                counts.saved += 1;
                let word = entry.line() as usize / 64;
                if word >= bits.len() {
                    bits.resize(word + 1, 0);
                }
                bits[word] |= 1 << (entry.line() % 64);
            }
        }
        Self(bits)
    }

    /// Whether a line is a winner.
    pub(super) fn has(&self, line: u64) -> bool {
        self.0.get(line as usize / 64).is_some_and(|word| word >> (line % 64) & 1 == 1)
    }
}

/// Uses the key itself as the hash, because keys are hashes already.
#[derive(Default)]
struct Low(u64);

impl Hasher for Low {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
