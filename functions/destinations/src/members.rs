//! The members of an object that a client sent: each is parsed, or has a fault with its JSON Pointer.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use kernel::fault::Fault;

/// The members, each unchanged.
pub type Members = BTreeMap<String, Box<RawValue>>;

/// The members of an object that are not parsed yet, and the faults so far.
#[derive(Debug)]
pub struct Fields {
    pub(crate) members: Members,
    /// The faults so far.
    pub faults: Vec<Fault>,
}

impl Fields {
    /// The members of an object.
    pub fn new(members: Members) -> Self {
        Self { members, faults: Vec::new() }
    }

    /// Adds a fault.
    pub fn fault(&mut self, pointer: String, rule: &'static str, message: impl Into<String>) {
        self.faults.push(Fault::new(pointer, rule, message.into()));
    }

    /// An optional member, which may be null. `wrong` is the message for a value that cannot be parsed.
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

    /// A required member.
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

    /// Adds a fault for each member that was not read; `wrong` is its message.
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
