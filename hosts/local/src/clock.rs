//! The clock and the dice: the only place in this host that asks for either.

use jiff::Timestamp;

/// The time.
#[expect(clippy::disallowed_methods, reason = "this is the host's clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// A random number, for ids and jitter.
pub(crate) fn random() -> u128 {
    ulid::Ulid::generate().random()
}

/// What the randomness of a run starts from.
#[expect(clippy::cast_possible_truncation, reason = "a seed needs no more than 64 bits")]
pub(crate) fn seed() -> u64 {
    random() as u64
}

/// A new UUID (version 4).
pub(crate) fn uuid() -> String {
    // One draw has 80 random bits.
    uuid_of(random() ^ (random() << 64))
}

/// The UUID (version 4) of some bits that are as good as random.
pub(crate) fn uuid_of(bits: u128) -> String {
    let (version, variant) = (0x4000 | (bits >> 64) & 0xFFF, 0x8000 | (bits >> 48) & 0x3FFF);
    format!(
        "{:08x}-{:04x}-{version:04x}-{variant:04x}-{:012x}",
        (bits >> 96) & 0xFFFF_FFFF,
        (bits >> 80) & 0xFFFF,
        bits & 0xFFFF_FFFF_FFFF,
    )
}
