//! Who won each address, whatever the order in which threads meet its records.

use std::{
    collections::{HashMap, hash_map},
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{Mutex, PoisonError},
};

use contacts::email::EmailKey;

use crate::generate::Counts;

/// Enough that two threads seldom want the same one, and that one growing shard is small.
const SHARDS: usize = 256;

/// So many records of a shard are told together.
const TOGETHER: usize = 256;

/// The 128-bit hash of a key stands for the key: among 10^9 addresses two meet with a chance of 10^-21.
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

type Shard = HashMap<Hashed, Seen, BuildHasherDefault<Low>>;

/// What was seen of an address.
#[derive(Clone, Copy)]
struct Seen {
    /// The first line that has it; its lowest bits: whether that line opts in, and whether any other
    /// disagrees.
    word: u64,
}

impl Seen {
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

    fn meet(&mut self, other: Self) {
        let in_conflict = self.in_conflict() || self.opt_in() != other.opt_in();
        let first = if other.line() < self.line() { other } else { *self };
        self.word = first.word | u64::from(in_conflict);
    }
}

/// The addresses met so far.
pub(super) struct Addresses {
    shards: Vec<Mutex<(Shard, u64)>>,
}

impl Default for Addresses {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Addresses {
    fn take(&self, shard: usize, met: &mut Vec<(Hashed, Seen)>) {
        let (shard, duplicates) = &mut *self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        for (hashed, seen) in met.drain(..) {
            match shard.entry(hashed) {
                hash_map::Entry::Vacant(free) => {
                    free.insert(seen);
                }
                hash_map::Entry::Occupied(mut taken) => {
                    *duplicates += 1;
                    taken.get_mut().meet(seen);
                }
            }
        }
    }
}

/// What one thread has met, and not told the others yet.
///
/// It tells them a shard's records together: a shard fits in a core's cache, and all of them do not.
pub(super) struct Meeting<'a> {
    addresses: &'a Addresses,
    met: Vec<Vec<(Hashed, Seen)>>,
}

impl<'a> Meeting<'a> {
    pub(super) fn new(addresses: &'a Addresses) -> Self {
        Self { addresses, met: (0..SHARDS).map(|_| Vec::with_capacity(TOGETHER)).collect() }
    }

    /// A valid record with this key stands on this line.
    pub(super) fn meet(&mut self, key: &EmailKey, line: u64, opt_in: bool) {
        let hash = xxhash_rust::xxh3::xxh3_128(key.as_str().as_bytes());
        let hashed = Hashed { low: hash as u64, high: (hash >> 64) as u64 };
        let shard = hashed.high as usize % SHARDS;
        let met = &mut self.met[shard];
        met.push((hashed, Seen::new(line, opt_in)));
        if met.len() == TOGETHER {
            self.addresses.take(shard, met);
        }
    }
}

impl Drop for Meeting<'_> {
    fn drop(&mut self) {
        for (shard, met) in self.met.iter_mut().enumerate() {
            self.addresses.take(shard, met);
        }
    }
}

/// The lines to be written: one bit a line.
pub(super) struct Winners(Vec<u64>);

impl Winners {
    /// Settles every address, and counts.
    pub(super) fn of(addresses: Addresses, counts: &mut Counts) -> Self {
        let mut bits = vec![0_u64; counts.received as usize / 64 + 1];
        for shard in addresses.shards {
            let (shard, duplicates) = shard.into_inner().unwrap_or_else(PoisonError::into_inner);
            counts.duplicate += duplicates;
            for seen in shard.into_values() {
                counts.conflicts += u64::from(seen.in_conflict());
                if !seen.opt_in() || seen.in_conflict() {
                    counts.ignored += 1;
                    continue;
                }
                counts.saved += 1;
                let word = seen.line() as usize / 64;
                if word >= bits.len() {
                    bits.resize(word + 1, 0);
                }
                bits[word] |= 1 << (seen.line() % 64);
            }
        }
        Self(bits)
    }

    /// Whether a line is one of them.
    pub(super) fn has(&self, line: u64) -> bool {
        self.0.get(line as usize / 64).is_some_and(|word| word >> (line % 64) & 1 == 1)
    }
}

/// The keys are hashes already.
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
