//! A page of a listing: how much one answer contains, and the address of the next one.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use kernel::{Error, store::MAX_PAGE_BYTES};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::{RawValue, to_raw_value};

use crate::http::problem::{Kind, Problem};

/// The address of the next page of a listing.
#[derive(Debug, Serialize)]
pub(crate) struct Next {
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// The answer to a listing: the entries as the member `name`, and where the listing continues.
pub(crate) fn page<T: Serialize>(name: &'static str, entries: &[T], next: Option<String>) -> Response {
    struct Page<'a, T>(&'static str, &'a [T], Next);
    impl<T: Serialize> Serialize for Page<'_, T> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut members = serializer.serialize_map(Some(2))?;
            members.serialize_entry(self.0, self.1)?;
            members.serialize_entry("links", &self.2)?;
            members.end()
        }
    }
    Json(Page(name, entries, Next { next })).into_response()
}

/// The problem of a failed listing. If the client named a page, that name may be wrong.
pub(crate) fn failed(error: Error, names_page: bool) -> Problem {
    match error {
        Error::BadInput(_) if names_page => {
            Problem::new(Kind::BadRequest, "page must be one that a listing named as its next.")
        }
        error => error.into(),
    }
}

/// The entries at the front of a listing that one answer contains.
#[derive(Debug)]
pub(crate) struct Fitting {
    /// At least one where the listing has any.
    pub(crate) entries: Vec<Box<RawValue>>,
    /// Whether the listing has entries behind these.
    pub(crate) has_more: bool,
}

impl Fitting {
    /// Takes entries until their JSON exceeds the limit of a page.
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
