//! The clock and random numbers: no other module of this host reads either.

use jiff::Timestamp;

/// The time.
#[expect(clippy::disallowed_methods, reason = "this is the host's clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A random number, for ids and jitter.
pub fn random() -> u128 {
    rand::random()
}

/// The seed of a run's randomness.
#[expect(clippy::cast_possible_truncation, reason = "a seed needs no more than 64 bits")]
pub fn seed() -> u64 {
    random() as u64
}

/// A new UUID (version 4).
pub fn uuid() -> String {
    kernel::provenance::uuid(random())
}
