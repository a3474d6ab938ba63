//! Record sets from a seed, with their right counts.
//!
//! The seed and the index alone decide the role of a record. So the generator needs only one bit of memory for each
//! record, and computes the right outcome of each without the measured code.

mod record;

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

pub use record::Flaw;

/// Number of plain records at the start, so that every duplicate has an earlier record.
const PLAIN: u64 = 16;

/// The records to generate.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The seed; the same seed produces the same bytes.
    pub seed: u64,
    /// Number of records.
    pub records: u64,
    /// Whether records have thirty fields instead of four.
    pub wide: bool,
}

/// The role of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The first valid one with its address.
    First,
    /// A later valid one, with the address of the record with this index in another spelling.
    Duplicate {
        /// The index of the first record with this address.
        of: u64,
    },
    /// Refused. The record may have the address of an earlier or later valid record, and must not win it.
    Invalid {
        /// The reason.
        flaw: Flaw,
        /// The index of the valid record with the same address, if there is one.
        address_of: u64,
    },
}

/// The right counts of a record set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All records.
    pub received: u64,
    /// Opted in, and the first with the address.
    pub saved: u64,
    /// Not opted in, or in conflict, and the first with the address.
    pub ignored: u64,
    /// Valid, but not the first with the address.
    pub duplicate: u64,
    /// Refused.
    pub invalid: u64,
    /// Addresses whose records disagree on opt-in.
    pub conflicts: u64,
}

/// The content of a set of contacts, regardless of order: their number, and the sum of their hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// Number of contacts.
    pub count: u64,
    sum: u64,
}

impl Digest {
    /// Adds a contact. The hash has the address trimmed and in lower case; generated addresses are ASCII.
    pub fn add(&mut self, name: &str, address: &str) {
        let contact = format!("{}\n{name}", address.trim().to_ascii_lowercase());
        self.count += 1;
        self.sum = self.sum.wrapping_add(xxhash_rust::xxh3::xxh3_64(contact.as_bytes()));
    }
}

/// The right result of a record set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oracle {
    /// Counts by outcome.
    pub counts: Counts,
    /// The contacts to store.
    pub opted_in: Digest,
    /// The size of the set.
    pub bytes: u64,
}

impl Plan {
    /// The role of the record with this index.
    pub fn role(&self, index: u64) -> Role {
        // Of 10,000: 300 are invalid, 1,000 duplicates.
        match self.draw(index, 0) % 10_000 {
            _ if index < PLAIN => Role::First,
            0..300 => {
                let flaw = Flaw::ALL[(self.draw(index, 1) % Flaw::ALL.len() as u64) as usize];
                let own = self.draw(index, 2).is_multiple_of(2);
                Role::Invalid { flaw, address_of: if own { index } else { self.first(index, self.records) } }
            }
            300..1_300 => Role::Duplicate { of: self.first(index, index) },
            _ => Role::First,
        }
    }

    /// The opt-in of a record that has one: 60 % are true; one duplicate in ten contradicts the first record.
    pub fn opt_in(&self, index: u64) -> bool {
        let own = |index| self.draw(index, 3) % 100 < 60;
        match self.role(index) {
            Role::Duplicate { of } => own(of) != self.draw(index, 4).is_multiple_of(10),
            Role::First | Role::Invalid { .. } => own(index),
        }
    }

    /// Writes every record on a line. Returns the right result.
    pub fn write(&self, to: &mut impl Write) -> io::Result<Oracle> {
        let mut bytes = 0;
        let oracle = self.walk(|_, line| {
            bytes += line.len() as u64;
            to.write_all(line)
        })?;
        Ok(Oracle { bytes, ..oracle })
    }

    /// Calls `each` with the index and the line of every record, with its line feed. Returns the right result.
    pub fn walk(&self, mut each: impl FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<Oracle> {
        let mut counts = Counts { received: self.records, ..Counts::default() };
        let mut contradicted = vec![false; self.records as usize];
        let mut line = Vec::new();
        for index in 0..self.records {
            let role = self.role(index);
            match role {
                Role::First => {}
                Role::Invalid { .. } => counts.invalid += 1,
                Role::Duplicate { of } => {
                    counts.duplicate += 1;
                    contradicted[of as usize] |= self.opt_in(of) != self.opt_in(index);
                }
            }
            line.clear();
            self.record(index, role, &mut line)?;
            each(index, &line)?;
        }
        let mut opted_in = Digest::default();
        for index in (0..self.records).filter(|index| self.role(*index) == Role::First) {
            let in_conflict = contradicted[index as usize];
            counts.conflicts += u64::from(in_conflict);
            if self.opt_in(index) && !in_conflict {
                counts.saved += 1;
                opted_in.add(&self.name(index), &self.address(index));
            } else {
                counts.ignored += 1;
            }
        }
        Ok(Oracle { counts, opted_in, bytes: 0 })
    }

    /// The index of a record below `end` that is the first with its address, drawn for `index`.
    fn first(&self, index: u64, end: u64) -> u64 {
        let draws = (0..).map(|round| self.draw(index, 64 + round) % end.max(1));
        draws.take(64).find(|other| self.is_first(*other)).unwrap_or(0)
    }

    fn is_first(&self, index: u64) -> bool {
        index < PLAIN || self.draw(index, 0) % 10_000 >= 1_300
    }

    /// A pseudo-random number from the seed, the record and the purpose: SplitMix64's mixing.
    fn draw(&self, index: u64, purpose: u64) -> u64 {
        let mut z = self
            .seed
            .wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15))
            .wrapping_add(purpose.wrapping_mul(0xD1B5_4A32_D192_ED03));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
