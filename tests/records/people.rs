//! Generated records, and what must become of each: worked out here from how they are made.

use std::{collections::BTreeMap, fmt::Write};

use serde_json::{Value, json};

/// What became of a record, in the words of `GET /batches/{id}/records/{index}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) outcome: &'static str,
    pub(crate) duplicate_of: Option<u64>,
    pub(crate) conflicts_with: Option<u64>,
}

/// Record `n` of a file. Of ten, the fourth has the address of an earlier one, spelt otherwise; of forty, one
/// is invalid; of five, one is not opted in.
struct Person {
    n: u64,
}

impl Person {
    fn is_duplicate(&self) -> bool {
        self.n % 10 == 3
    }

    fn is_invalid(&self) -> bool {
        self.n % 40 == 7
    }

    /// The record that has this address first: those that end in 1 are valid, opted in and have their own.
    fn first(&self) -> u64 {
        if self.is_duplicate() { self.n / 20 * 10 + 1 } else { self.n }
    }

    fn disagrees(&self) -> bool {
        self.n % 100 == 33
    }

    fn opt_in(&self) -> bool {
        !self.n.is_multiple_of(5) && !self.disagrees()
    }

    fn email(&self) -> String {
        let first = self.first();
        match (self.is_invalid(), self.is_duplicate()) {
            (true, _) if self.n % 80 == 7 => format!("person{first} at people.example"),
            (_, true) => format!(" Person{first}@PEOPLE.example "),
            _ => format!("person{first}@people.example"),
        }
    }

    /// `true`, `false`, or for half of the invalid ones what is neither.
    fn word(&self) -> &'static str {
        match (self.is_invalid() && self.n % 80 != 7, self.opt_in()) {
            (true, _) => "maybe",
            (_, true) => "true",
            (_, false) => "false",
        }
    }

    fn json(&self) -> Value {
        let opt_in = if self.word() == "maybe" { json!("maybe") } else { json!(self.opt_in()) };
        let n = self.n;
        json!({ "name": format!("Person {n}"), "email": self.email(), "optIn": opt_in, "interests": ["art", "music"] })
    }
}

fn people(count: u64) -> impl Iterator<Item = Person> {
    (0..count).map(|n| Person { n })
}

/// So many records as JSON lines.
pub(crate) fn ndjson(count: u64) -> String {
    people(count).map(|person| format!("{}\n", person.json())).collect()
}

/// As a JSON list, a record a line.
pub(crate) fn list(count: u64) -> String {
    let lines: Vec<_> = people(count).map(|person| person.json().to_string()).collect();
    format!("[{}]", lines.join(",\n"))
}

/// As a JSON list for people to read.
pub(crate) fn pretty(count: u64) -> String {
    serde_json::to_string_pretty(&people(count).map(|person| person.json()).collect::<Vec<_>>()).unwrap()
}

/// As CSV.
pub(crate) fn csv(count: u64, delimiter: char) -> String {
    let row = |cells: [&str; 4]| cells.join(&delimiter.to_string()) + "\r\n";
    people(count).fold(row(["name", "email", "optIn", "interests"]), |mut text, person| {
        let name = format!("Person {}", person.n);
        let cells = [&*name, &person.email(), person.word(), "art|music"];
        text.write_str(&row(cells)).unwrap();
        text
    })
}

/// What becomes of so many records in an empty store, one after the other.
pub(crate) fn fates(count: u64) -> Vec<Fate> {
    let mut fates: Vec<Fate> = Vec::new();
    for person in people(count) {
        let fate = if person.is_invalid() {
            Fate { outcome: "invalid", ..Fate::default() }
        } else if person.is_duplicate() {
            Fate { outcome: "duplicate", duplicate_of: Some(person.first()), conflicts_with: None }
        } else if person.opt_in() {
            Fate { outcome: "saved", ..Fate::default() }
        } else {
            Fate { outcome: "ignored", ..Fate::default() }
        };
        fates.push(fate);
        let first = usize::try_from(person.first()).unwrap();
        if person.disagrees() && fates[first].conflicts_with.is_none() {
            fates[first] = Fate { outcome: "ignored", duplicate_of: None, conflicts_with: Some(person.n) };
        }
    }
    fates
}

/// How many had each outcome, all seven.
pub(crate) fn counts(fates: &[Fate]) -> BTreeMap<String, u64> {
    let names = ["saved", "unchanged", "withdrawn", "ignored", "duplicate", "invalid", "failed"];
    let count = |name: &str| fates.iter().filter(|fate| fate.outcome == name).count() as u64;
    names.iter().map(|name| ((*name).to_owned(), count(name))).collect()
}
