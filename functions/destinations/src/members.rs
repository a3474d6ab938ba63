//! The members of an object that a client sent: each is read, or it is said what is wrong with it, with its JSON Pointer.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use kernel::fault::Fault;

/// The members, each to the letter.
pub type Members = BTreeMap<String, Box<RawValue>>;

/// What is left to read of an object, and what is wrong with it so far.
#[derive(Debug)]
pub struct Fields {
    pub(crate) members: Members,
    /// What is wrong so far.
    pub faults: Vec<Fault>,
}

impl Fields {
    /// Those of an object.
    pub fn new(members: Members) -> Self {
        Self { members, faults: Vec::new() }
    }

    /// Notes what is wrong.
    pub fn fault(&mut self, pointer: String, rule: &'static str, message: impl Into<String>) {
        self.faults.push(Fault::new(pointer, rule, message.into()));
    }

    /// A member that may be left out, or be null. `wrong` says what is wrong with one that cannot be read.
    pub fn optional<T: DeserializeOwned, U>(
        &mut self,
        name: &'static str,
        wrong: &'static str,
        read: impl FnOnce(T) -> Option<U>,
    ) -> Option<U> {
        let member = self.members.remove(name).filter(|member| member.get() != "null")?;
        let found = serde_json::from_str(member.get()).ok().and_then(read);
        if found.is_none() {
            self.fault(format!("/{name}"), "type", wrong);
        }
        found
    }

    /// A member that must be there.
    pub fn required<T: DeserializeOwned, U>(
        &mut self,
        name: &'static str,
        wrong: &'static str,
        read: impl FnOnce(T) -> Option<U>,
    ) -> Option<U> {
        if self.members.get(name).is_none_or(|member| member.get() == "null") {
            self.members.remove(name);
            self.fault(format!("/{name}"), "required", "is missing");
            return None;
        }
        self.optional(name, wrong, read)
    }

    /// A number in a range.
    pub fn number(
        &mut self,
        name: &'static str,
        wrong: &'static str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Option<u32> {
        self.optional(name, wrong, |number: u32| range.contains(&number).then_some(number))
    }

    /// Notes of each member that was not read that it is none: `wrong` says of what.
    pub fn refuse_others(&mut self, wrong: &'static str) {
        for name in std::mem::take(&mut self.members).into_keys() {
            self.fault(format!("/{}", escaped(&name)), "unknown", wrong);
        }
    }
}

/// A name as a step of a JSON Pointer (RFC 6901).
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
