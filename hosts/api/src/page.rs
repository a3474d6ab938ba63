//! How much one answer holds.

use kernel::store::MAX_PAGE_BYTES;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::problem::Problem;

/// The entries at the front of a listing that one answer holds.
#[derive(Debug)]
pub(crate) struct Fitting {
    /// At least one where there were any.
    pub(crate) entries: Vec<Box<RawValue>>,
    /// Whether entries were left out behind these.
    pub(crate) has_more: bool,
}

impl Fitting {
    pub(crate) fn of<T: Serialize>(all: impl IntoIterator<Item = T>) -> Result<Self, Problem> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for entry in all {
            let entry =
                to_raw_value(&entry).map_err(|_| Problem::internal("an entry of a page is not JSON"))?;
            bytes += entry.get().len();
            if bytes > MAX_PAGE_BYTES && !entries.is_empty() {
                return Ok(Self { entries, has_more: true });
            }
            entries.push(entry);
        }
        Ok(Self { entries, has_more: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sizes: &[usize], kept: usize, has_more: bool) {
        let fitting = Fitting::of(sizes.iter().map(|&size| "x".repeat(size - 2))).unwrap();
        assert_eq!((fitting.entries.len(), fitting.has_more), (kept, has_more), "{sizes:?}");
    }

    #[test]
    fn a_page_is_bounded_and_never_empty() {
        const MIB: usize = 1 << 20;
        check(&[], 0, false);
        check(&[MIB, MIB], 2, false);
        check(&[MIB, MIB, 2], 2, true);
        check(&[3 * MIB], 1, false);
        check(&[3 * MIB, 2], 1, true);
    }
}
