//! The meter of an evaluation: the bytes made so far, and the bytes left.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonata_core::evaluator::EvaluatorError;
use jsonata_core::value::{JValue, with_stack};

use crate::bounds::{Bound, Limits};
use crate::regexes::Regexes;

/// The size of any item in an array: the value itself, in a vector that may have grown beyond its need.
pub(crate) const ITEM_BYTES: u64 = 40;
/// The size of a text without its bytes.
const TEXT_BYTES: u64 = 16;
/// The size of an array without its items.
const ARRAY_BYTES: u64 = 48;
/// The size of an object without its members.
const OBJECT_BYTES: u64 = 128;
/// The size of a member without its name and value: the entry, its place in the index, and the header of the
/// name.
pub(crate) const MEMBER_BYTES: u64 = 64;

/// The meter of one evaluation.
pub(crate) struct Meter {
    limit: u64,
    left: Cell<u64>,
    deadline: Instant,
    exceeded: Cell<Option<Bound>>,
    /// The arguments of calls whose last argument is not evaluated yet.
    pub(crate) arguments: RefCell<Vec<JValue>>,
    pub(crate) regexes: Arc<Regexes>,
}

impl Meter {
    pub(crate) fn new(limits: &Limits, regexes: &Arc<Regexes>) -> Self {
        let deadline = Instant::now() + Duration::from_millis(limits.time_ms);
        Self {
            limit: limits.bytes,
            left: Cell::new(limits.bytes),
            deadline,
            exceeded: Cell::new(None),
            arguments: RefCell::default(),
            regexes: Arc::clone(regexes),
        }
    }

    /// Charges bytes before they are made.
    pub(crate) fn charge(&self, bytes: u64) -> Result<(), EvaluatorError> {
        match self.left.get().checked_sub(bytes) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(self.exceed(Bound::Bytes(self.limit))),
        }
    }

    /// Charges a value with all its parts. A part that is used twice counts twice.
    pub(crate) fn charge_value(&self, value: &JValue) -> Result<(), EvaluatorError> {
        self.charge(self.weigh(value)?)
    }

    /// The size of a value with all its parts, if it is within the bytes left.
    pub(crate) fn weigh(&self, value: &JValue) -> Result<u64, EvaluatorError> {
        let room = self.left.get();
        let mut left = room;
        if subtract(value, &mut left) { Ok(room - left) } else { Err(self.exceed(Bound::Bytes(self.limit))) }
    }

    /// Ends the evaluation. The meter keeps the bound, since the library's error cannot contain it.
    pub(crate) fn exceed(&self, bound: Bound) -> EvaluatorError {
        self.exceeded.set(Some(bound));
        EvaluatorError::EvaluationError("U9000: the evaluation reached a bound".to_owned())
    }

    pub(crate) fn exceeded(&self) -> Option<Bound> {
        self.exceeded.get()
    }

    /// The bytes left.
    pub(crate) fn left(&self) -> u64 {
        self.left.get()
    }

    /// Checks the time in loops where the library does not.
    pub(crate) fn check_time(&self) -> Result<(), EvaluatorError> {
        if Instant::now() > self.deadline { Err(self.exceed(Bound::Time)) } else { Ok(()) }
    }
}

/// The size of a value with all its parts.
pub fn weight(value: &JValue) -> u64 {
    let mut left = u64::MAX;
    subtract(value, &mut left);
    u64::MAX - left
}

/// Subtracts the size of a value from `left`; false: the value is larger.
fn subtract(value: &JValue, left: &mut u64) -> bool {
    let mut take = |bytes: u64| match left.checked_sub(bytes) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    };
    match value {
        JValue::String(text) => take(ITEM_BYTES + TEXT_BYTES + text.len() as u64),
        JValue::Array(items) => {
            take(ITEM_BYTES + ARRAY_BYTES) && with_stack(|| items.iter().all(|item| subtract(item, left)))
        }
        JValue::Object(members) => {
            take(ITEM_BYTES + OBJECT_BYTES)
                && with_stack(|| {
                    members.iter().all(|(name, value)| {
                        let head = MEMBER_BYTES + name.len() as u64;
                        left.checked_sub(head).is_some_and(|rest| {
                            *left = rest;
                            subtract(value, left)
                        })
                    })
                })
        }
        _ => take(ITEM_BYTES),
    }
}

/// The maximum length of a value as JSON text, if it is at most `room`. `indented` adds one line per item.
pub(crate) fn text_bytes(value: &JValue, indented: bool, room: u64) -> Option<u64> {
    let mut left = room;
    subtract_text(value, indented, 0, &mut left).then(|| room - left)
}

fn subtract_text(value: &JValue, indented: bool, depth: u64, left: &mut u64) -> bool {
    let line = if indented { 4 + 2 * depth } else { 2 };
    let own = line
        + match value {
            JValue::String(text) => escaped(text),
            JValue::Number(_) => 26,
            _ => 8,
        };
    let Some(rest) = left.checked_sub(own) else {
        return false;
    };
    *left = rest;
    match value {
        JValue::Array(items) => {
            with_stack(|| items.iter().all(|item| subtract_text(item, indented, depth + 1, left)))
        }
        JValue::Object(members) => with_stack(|| {
            members.iter().all(|(name, value)| {
                left.checked_sub(escaped(name) + 4).is_some_and(|rest| {
                    *left = rest;
                    subtract_text(value, indented, depth + 1, left)
                })
            })
        }),
        _ => true,
    }
}

/// The bytes of a text between quotes. A control character takes six.
fn escaped(text: &str) -> u64 {
    let more: usize = text
        .bytes()
        .map(|byte| match byte {
            b'"' | b'\\' => 1,
            0..0x20 => 5,
            _ => 0,
        })
        .sum();
    (text.len() + more) as u64
}
