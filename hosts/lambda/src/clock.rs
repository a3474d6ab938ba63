//! The clock and the dice: the only place in this host that asks for either.

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
