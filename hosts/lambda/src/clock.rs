//! The one place that asks for the time.

use jiff::Timestamp;

/// Now.
#[expect(clippy::disallowed_methods, reason = "the one place that asks for the time")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
