//! The faults of a batch by rule: how many records have each, and where the first of them are.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// Maximum number of groups that are told apart; the faults of further ones are counted by rule alone.
const MAX_GROUPS: usize = 20;
/// Maximum number of places of each group.
const MAX_EXAMPLES: usize = 5;

/// The place of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Example {
    /// Its index in the batch.
    pub index: u64,
    /// The line of the input on which it begins; zero if lines have no meaning there.
    pub line: u64,
}

/// Faults of one rule at one place of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultGroup {
    /// The rule.
    pub rule: Cow<'static, str>,
    /// The place in the record; empty for the record itself, and for faults at further places.
    pub pointer: Cow<'static, str>,
    /// The rule in a sentence.
    pub message: Cow<'static, str>,
    /// How many faults these are.
    pub count: u64,
    /// The first records that have one.
    pub examples: Vec<Example>,
}

impl FaultGroup {
    /// Pointer and message in one sentence.
    pub fn sentence(&self) -> String {
        let Self { rule, pointer, message, .. } = self.clone();
        Fault { pointer, rule, message }.sentence()
    }
}

/// The groups of a batch, in order of their first records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultGroups(Vec<FaultGroup>);

impl FaultGroups {
    /// Adds the faults of a record.
    pub fn add(&mut self, example: Example, faults: &[Fault]) {
        for fault in faults {
            let Fault { pointer, rule, message } = fault.clone();
            self.push(FaultGroup { rule, pointer, message, count: 1, examples: vec![example] });
        }
    }

    /// Adds the groups of another.
    pub fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|group| self.push(group));
    }

    /// The groups.
    pub fn groups(&self) -> &[FaultGroup] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn push(&mut self, mut new: FaultGroup) {
        if self.find(&new).is_none() && self.0.len() >= MAX_GROUPS {
            new.pointer = Cow::Borrowed("");
            new.message = Cow::Borrowed("is broken at further places");
        }
        match self.find(&new) {
            Some(group) => {
                group.count += new.count;
                group.examples.append(&mut new.examples);
                group.examples.sort_unstable();
                group.examples.dedup();
                group.examples.truncate(MAX_EXAMPLES);
            }
            None => self.0.push(new),
        }
        self.0.sort_by_key(|group| group.examples.first().copied());
    }

    fn find(&mut self, new: &FaultGroup) -> Option<&mut FaultGroup> {
        let is_same = |group: &&mut FaultGroup| {
            (&group.rule, &group.pointer, &group.message) == (&new.rule, &new.pointer, &new.message)
        };
        self.0.iter_mut().find(is_same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::rule;

    #[track_caller]
    fn check(faults: &[(u64, &'static str, &'static str)], expected: &[(&str, u64, &[u64])]) {
        let of = |faults: &[(u64, &'static str, &'static str)]| {
            let mut groups = FaultGroups::default();
            for &(index, pointer, message) in faults {
                groups.add(Example { index, line: index + 2 }, &[Fault::new(pointer, rule::EMAIL, message)]);
            }
            groups
        };
        let (front, back) = faults.split_at(faults.len() / 2);
        let mut merged = of(back);
        merged.merge(of(front));
        for groups in [of(faults), merged] {
            let found: Vec<(&str, u64, Vec<u64>)> = groups
                .groups()
                .iter()
                .map(|group| {
                    let indices = group.examples.iter().map(|example| example.index).collect();
                    (&*group.pointer, group.count, indices)
                })
                .collect();
            let expected: Vec<_> =
                expected.iter().map(|(at, count, all)| (*at, *count, all.to_vec())).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn faults_are_counted_by_rule_and_place() {
        check(&[], &[]);
        check(
            &[(1, "/b", "is bad"), (2, "/a", "is bad"), (3, "/b", "is bad")],
            &[("/b", 2, &[1, 3]), ("/a", 1, &[2])],
        );
        check(&[(1, "/b", "is bad"), (2, "/b", "is worse")], &[("/b", 1, &[1]), ("/b", 1, &[2])]);
        let many: Vec<_> = (0..9).map(|index| (index, "/a", "is bad")).collect();
        check(&many, &[("/a", 9, &[0, 1, 2, 3, 4])]);
    }

    #[test]
    fn the_number_of_groups_is_bounded() {
        let mut groups = FaultGroups::default();
        for index in 0..1000 {
            let fault = Fault::new(format!("/{index}"), rule::EMAIL, "is bad");
            groups.add(Example { index, line: 0 }, &[fault]);
        }
        assert_eq!(groups.groups().len(), MAX_GROUPS + 1);
        assert_eq!(groups.groups().iter().map(|group| group.count).sum::<u64>(), 1000);
    }
}
