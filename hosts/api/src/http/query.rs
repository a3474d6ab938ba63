//! The query of a listing, and the address of its next page.

use axum::{extract::Query, http::Uri};
use serde_json::json;

use crate::http::problem::{Kind, Problem};

/// Default number of entries in a page.
pub(crate) const DEFAULT_PAGE_ENTRIES: usize = 100;
/// Maximum number of entries in a page.
pub(crate) const MAX_PAGE_ENTRIES: usize = 1000;

/// The known parameters of a request.
#[derive(Debug)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads them. An unknown parameter is an error, because a misspelt one would select something else.
    pub(crate) fn read(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
            return Err(Problem::new(Kind::BadRequest, "The query cannot be read."));
        };
        if pairs.iter().any(|(name, _)| !known.contains(&name.as_str())) {
            let detail =
                format!("The query has an unknown parameter. Known parameters: {}.", known.join(", "));
            return Err(Problem::new(Kind::BadRequest, detail).with("parameters", json!(known)));
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter; an empty value counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(key, _)| key == name);
        found.next_back().map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The parsed value; `expected` describes it in the problem.
    pub(crate) fn parse<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        self.get(name)
            .map(|text| {
                read(text).ok_or_else(|| {
                    Problem::new(Kind::BadRequest, format!("{name} must be {expected}."))
                        .with("parameter", json!(name))
                })
            })
            .transpose()
    }

    /// The requested number of entries.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        let limit = self.parse("limit", "a number from 1 to 1000", |text| {
            text.parse().ok().filter(|limit| (1..=MAX_PAGE_ENTRIES).contains(limit))
        })?;
        Ok(limit.unwrap_or(DEFAULT_PAGE_ENTRIES))
    }

    /// The address of the next page: this request with `name` set to `value`.
    pub(crate) fn next(&self, path: &str, name: &str, value: &str) -> String {
        let kept = self.0.iter().filter(|(key, _)| key != name);
        let pairs: Vec<String> = kept
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .chain([(name, value)])
            .map(|(key, value)| format!("{key}={}", encoded(value)))
            .collect();
        format!("{path}?{}", pairs.join("&"))
    }
}

/// Percent-encodes all but unreserved characters (RFC 3986).
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uri: &str, limit: Option<usize>, next: &str) {
        let uri: Uri = uri.parse().unwrap();
        let read = Parameters::read(&uri, &["limit", "after"]);
        let found = read.and_then(|query| Ok((query.limit()?, query.next("/x", "after", "a+b@ü"))));
        match limit {
            Some(limit) => assert_eq!(found.unwrap(), (limit, next.to_owned())),
            None => assert!(found.is_err(), "{uri}"),
        }
    }

    #[test]
    fn a_listing_s_query() {
        check("/x", Some(100), "/x?after=a%2Bb%40%C3%BC");
        check("/x?limit=", Some(100), "/x?limit=&after=a%2Bb%40%C3%BC");
        check("/x?after=q&limit=5", Some(5), "/x?limit=5&after=a%2Bb%40%C3%BC");
        check("/x?limit=0", None, "");
        check("/x?limit=1001", None, "");
        check("/x?limit=ten", None, "");
        check("/x?Limit=1", None, "");
    }
}
