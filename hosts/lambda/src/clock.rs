//! The clock and the random numbers of this host: no other file reads either.

use jiff::Timestamp;

/// Now.
#[expect(clippy::disallowed_methods, reason = "this is the host's clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A random number, for ids.
pub fn random() -> u128 {
    rand::random()
}
