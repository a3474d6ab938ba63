//! The limits of an evaluation, and the bound that it reached.

use std::fmt;

/// The limits of one evaluation.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The maximum number of bytes that it may make in all. A part of a value that is used twice counts
    /// twice.
    pub bytes: u64,
    /// The maximum number of items in an array that it makes.
    pub items: usize,
    /// The maximum nesting of its calls.
    pub depth: usize,
    /// The maximum time, in milliseconds.
    pub time_ms: u64,
}

/// A bound that an evaluation reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The evaluation would have made more bytes than this.
    Bytes(u64),
    /// The evaluation took too long.
    Time,
    /// The calls nest too deep.
    Depth,
    /// An array has too many items.
    Items,
    /// The search by a regular expression could take too long.
    Search,
    /// One call needs too many comparisons.
    Comparisons,
    /// The picture of a number or a date is too long or too wide, or its text is too long.
    Picture,
    /// `$replace` accepts a function as its pattern for short texts only.
    Matcher,
    /// A regular expression is used as a function where its cost is unknown.
    LooseRegex,
    /// A path begins with the name of a function.
    FunctionPath,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes(bytes) => return write!(f, "it makes more than {bytes} bytes"),
            Self::Time => "it takes too long",
            Self::Depth => "it nests too deep",
            Self::Items => "it makes an array of too many items",
            Self::Search => "a regular expression is too complex for the length of its text",
            Self::Comparisons => {
                "a call of $distinct, $keys or |..|..| makes more than 100000000 comparisons"
            }
            Self::Picture => {
                "the picture of a number or a date is longer than 256 characters, or has a part of more than 20 or a width above 18"
            },
            Self::Matcher => "the pattern of $replace is a function, and its text is longer than 1024 bytes or its replacement than 256",
            Self::LooseRegex => "a regular expression is called or chained where its cost is unknown",
            Self::FunctionPath => "a path begins with the name of a function",
        })
    }
}
