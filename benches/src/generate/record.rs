//! The text of a record.

use std::io::{self, Write};

use super::{Plan, Role};

/// The reason for which a record is refused. Real files have these flaws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// `email` or `optIn` is missing.
    MissingField,
    /// `optIn` is a string, or `name` a number.
    WrongType,
    /// `interests` is an empty list.
    EmptyInterests,
    /// The address is invalid.
    BadAddress,
    /// The line ends in the middle.
    NotJson,
}

impl Flaw {
    /// All of them; equally many records have each.
    pub const ALL: [Self; 5] =
        [Self::MissingField, Self::WrongType, Self::EmptyInterests, Self::BadAddress, Self::NotJson];

    /// Whether the record has the second form of its flaw: two flaws have two forms.
    fn form(plan: &Plan, index: u64) -> bool {
        plan.draw(index, 5).is_multiple_of(2)
    }

    /// The rule and the pointer of the record's right fault.
    pub fn fault(self, plan: &Plan, index: u64) -> (&'static str, &'static str) {
        match (self, Self::form(plan, index)) {
            (Self::MissingField, true) => ("required", "/email"),
            (Self::MissingField, false) => ("required", "/optIn"),
            (Self::WrongType, true) => ("type", "/optIn"),
            (Self::WrongType, false) => ("type", "/name"),
            (Self::EmptyInterests, _) => ("minItems", "/interests"),
            (Self::BadAddress, _) => ("email", "/email"),
            (Self::NotJson, _) => ("json", ""),
        }
    }
}

const GIVEN: [&str; 16] = [
    "Ann", "Bo", "Chidi", "Dolores", "Emil", "Fatima", "Grace", "Hao", "Ines", "Jürgen", "Kofi", "Lucía",
    "Mei", "Noor", "Oskar", "Priya",
];
const FAMILY: [&str; 16] = [
    "Abara",
    "Bergström",
    "Castillo",
    "Dubois",
    "Evans",
    "Fischer",
    "Garcia",
    "Haddad",
    "Ivanova",
    "Jensen",
    "Kim",
    "Lopez",
    "Mbeki",
    "Novak",
    "O'Brien",
    "Petrov",
];
const INTERESTS: [&str; 8] =
    ["sports", "technology", "travel", "music", "cooking", "gardening", "photography", "books"];
const BAD_ADDRESSES: [&str; 4] = ["not an address", "ann.example.com", "ann@", "bo@example..com"];
const EXTRA: [&str; 26] = [
    "phone", "company", "title", "street", "city", "region", "zip", "country", "language", "zone", "source",
    "campaign", "plan", "tier", "owner", "stage", "visits", "orders", "spent", "score", "seen", "joined",
    "device", "browser", "note", "ref",
];

impl Plan {
    pub(super) fn name(&self, index: u64) -> String {
        let draw = self.draw(index, 6) as usize;
        format!("{} {}", GIVEN[draw % 16], FAMILY[draw / 16 % 16])
    }

    /// The address of a first record, in lower case. No other first record has it.
    pub(super) fn address(&self, index: u64) -> String {
        format!("person.{index}@m{}.example.com", self.draw(index, 7) % 50)
    }

    /// The same address, in another spelling.
    fn respelt(&self, index: u64, of: u64) -> String {
        let address = self.address(of);
        match self.draw(index, 8) % 4 {
            0 => address.to_ascii_uppercase(),
            1 => format!(" {address}"),
            2 => format!("{address}  "),
            _ => address.replacen("person", "Person", 1),
        }
    }

    /// Writes one record and a line feed.
    pub(super) fn record(&self, index: u64, role: Role, to: &mut Vec<u8>) -> io::Result<()> {
        let (flaw, address) = match role {
            Role::First => (None, self.address(index)),
            Role::Duplicate { of } => (None, self.respelt(index, of)),
            Role::Invalid { flaw: Flaw::BadAddress, .. } => {
                (Some(Flaw::BadAddress), BAD_ADDRESSES[(self.draw(index, 9) % 4) as usize].to_owned())
            }
            Role::Invalid { flaw, address_of } => (Some(flaw), self.address(address_of)),
        };
        let form = Flaw::form(self, index);
        match flaw {
            Some(Flaw::WrongType) if !form => write!(to, r#"{{"name": {index}"#)?,
            _ => write!(to, r#"{{"name": "{}""#, self.name(index))?,
        }
        if flaw != Some(Flaw::MissingField) || !form {
            write!(to, r#", "email": "{address}""#)?;
        }
        match flaw {
            Some(Flaw::MissingField) if !form => {}
            Some(Flaw::WrongType) if form => write!(to, r#", "optIn": "{}""#, self.opt_in(index))?,
            _ => write!(to, r#", "optIn": {}"#, self.opt_in(index))?,
        }
        self.interests(index, flaw == Some(Flaw::EmptyInterests), to)?;
        if self.wide {
            self.extra(index, to)?;
        }
        if flaw == Some(Flaw::NotJson) {
            to.truncate(to.len() - 4);
        } else {
            to.push(b'}');
        }
        to.push(b'\n');
        Ok(())
    }

    fn interests(&self, index: u64, empty: bool, to: &mut Vec<u8>) -> io::Result<()> {
        let draw = self.draw(index, 10) as usize;
        let (first, second) = (INTERESTS[draw % 8], INTERESTS[draw / 8 % 8]);
        if empty {
            to.write_all(br#", "interests": []"#)
        } else if (draw / 64).is_multiple_of(4) {
            write!(to, r#", "interests": ["{first}"]"#)
        } else {
            write!(to, r#", "interests": ["{first}", "{second}"]"#)
        }
    }

    /// Twenty-six fields that the schema does not name: texts, numbers, booleans and nulls.
    fn extra(&self, index: u64, to: &mut Vec<u8>) -> io::Result<()> {
        for (at, field) in (0..).zip(EXTRA) {
            let draw = self.draw(index, 16 + at);
            match at % 8 {
                0..=4 => write!(to, r#", "{field}": "{:04x}""#, draw & 0xffff)?,
                5 => write!(to, r#", "{field}": {}"#, draw % 10_000)?,
                6 => write!(to, r#", "{field}": {}.{:02}"#, draw % 1_000, draw % 97)?,
                _ if draw.is_multiple_of(2) => write!(to, r#", "{field}": null"#)?,
                _ => write!(to, r#", "{field}": {}"#, draw.is_multiple_of(3))?,
            }
        }
        Ok(())
    }
}
