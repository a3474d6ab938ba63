//! The costs of an expression's regular expressions. They are literals in its source, so each is measured
//! once, before its first search.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex::RegexBuilder;

/// The sizes to try, in bytes of the compiled program. The JSONata library compiles with a limit of 10 MiB.
const SIZES: [usize; 7] = [1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20];
/// In the worst case, a program of this size visits about one state per byte of text.
const BYTES_A_STATE: u64 = 32;

/// The sizes of the compiled programs, by pattern and flags.
#[derive(Debug, Default)]
pub(crate) struct Regexes(BTreeMap<(String, String), OnceLock<u64>>);

impl Regexes {
    /// Adds a literal.
    pub(crate) fn add(&mut self, pattern: &str, flags: &str) {
        let key = (pattern.to_owned(), flags.to_owned());
        self.0.entry(key).or_default();
    }

    /// The maximum number of steps of a search, per byte of text.
    pub(crate) fn steps_a_byte(&self, pattern: &str, flags: &str) -> u64 {
        let known = self.0.get(&(pattern.to_owned(), flags.to_owned()));
        let size = known.map_or(u64::MAX, |known| *known.get_or_init(|| size(pattern, flags)));
        (size / BYTES_A_STATE).max(1)
    }
}

fn size(pattern: &str, flags: &str) -> u64 {
    let fits = |size: usize| {
        let mut builder = RegexBuilder::new(pattern);
        builder.case_insensitive(flags.contains('i')).multi_line(flags.contains('m'));
        builder.dot_matches_new_line(flags.contains('s')).size_limit(size);
        match builder.build() {
            Err(regex::Error::CompiledTooBig(_)) => false,
            // The function that uses an invalid pattern refuses it.
            Ok(_) | Err(_) => true,
        }
    };
    SIZES.into_iter().find(|size| fits(*size)).map_or(u64::MAX, |size| size as u64)
}
