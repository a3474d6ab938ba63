//! What an evaluation has made so far, in bytes, and what it may still make.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonata_core::evaluator::EvaluatorError;
use jsonata_core::value::{JValue, with_stack};

use crate::bounds::{Bound, Limits};
use crate::regexes::Regexes;

/// What an item of an array takes, whatever it is: the value itself, in a vector that may have grown too far.
pub(crate) const ITEM_BYTES: u64 = 40;
/// What a text takes beside its bytes.
const TEXT_BYTES: u64 = 16;
/// What an array takes beside its items.
const ARRAY_BYTES: u64 = 48;
/// What an object takes beside its members.
const OBJECT_BYTES: u64 = 128;
/// What a member takes beside its name and its value: the entry, its place in the index, and the name's own head.
pub(crate) const MEMBER_BYTES: u64 = 64;

/// The account of one evaluation.
pub(crate) struct Meter {
    limit: u64,
    left: Cell<u64>,
    deadline: Instant,
    exceeded: Cell<Option<Bound>>,
    /// Arguments of calls whose last one is still to come.
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

    /// Books bytes that are about to be made.
    pub(crate) fn charge(&self, bytes: u64) -> Result<(), EvaluatorError> {
        match self.left.get().checked_sub(bytes) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(self.exceed(Bound::Bytes(self.limit))),
        }
    }

    /// Books a value with everything in it: a part that is used twice counts twice.
    pub(crate) fn charge_value(&self, value: &JValue) -> Result<(), EvaluatorError> {
        self.charge(self.weigh(value)?)
    }

    /// The bytes of a value with everything in it, if they are within what is left.
    pub(crate) fn weigh(&self, value: &JValue) -> Result<u64, EvaluatorError> {
        let room = self.left.get();
        let mut left = room;
        if subtract(value, &mut left) { Ok(room - left) } else { Err(self.exceed(Bound::Bytes(self.limit))) }
    }

    /// Ends the evaluation; the reason is kept beside the library's error.
    pub(crate) fn exceed(&self, bound: Bound) -> EvaluatorError {
        self.exceeded.set(Some(bound));
        EvaluatorError::EvaluationError("U9000: the evaluation reached a bound".to_owned())
    }

    pub(crate) fn exceeded(&self) -> Option<Bound> {
        self.exceeded.get()
    }

    /// What is left of the bytes.
    pub(crate) fn left(&self) -> u64 {
        self.left.get()
    }

    /// For loops in which the library looks at no clock.
    pub(crate) fn check_time(&self) -> Result<(), EvaluatorError> {
        if Instant::now() > self.deadline { Err(self.exceed(Bound::Time)) } else { Ok(()) }
    }
}

/// The bytes of a value with everything in it.
pub fn weight(value: &JValue) -> u64 {
    let mut left = u64::MAX;
    subtract(value, &mut left);
    u64::MAX - left
}

/// Takes the bytes of a value from `left`; false when they are more.
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

/// How long a value is as JSON text at most, if that is no more than `room`. `indented` adds a line an item.
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

/// The bytes of a text between quotes; a control character takes six.
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
