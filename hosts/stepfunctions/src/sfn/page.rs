//! Pages of listings: how many entries, and from where on.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use super::{error::Error, validate::Fields};

/// The size of a page if the request gives none: AWS's number.
const DEFAULT_SIZE: u64 = 100;
const MAX_SIZE: u64 = 1000;
/// A token is good for a day, as on AWS.
const TOKEN_LIFETIME_SECONDS: i64 = 24 * 60 * 60;

/// The page that a request asks for.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) size: usize,
    token: Option<String>,
    /// The other parameters of the listing: a token is valid for this listing alone.
    listing: String,
}

impl Page {
    /// Reads `maxResults` and `nextToken` of a listing.
    pub(super) fn read(fields: &mut Fields, longest: usize) -> Self {
        let size = fields.number("maxResults", 0..=MAX_SIZE).filter(|size| *size > 0).unwrap_or(DEFAULT_SIZE);
        let token = fields.text("nextToken", 1..=longest);
        Self { size: usize::try_from(size).unwrap_or(usize::MAX), token, listing: String::new() }
    }

    /// Says what is listed. A token that was given for another listing is refused.
    pub(super) fn of(self, listing: impl Into<String>) -> Self {
        Self { listing: listing.into(), ..self }
    }

    /// Where the page begins: the key of the last entry of the page before.
    pub(super) fn after(&self, now: Timestamp) -> Result<Option<String>, Error> {
        let Some(token) = &self.token else { return Ok(None) };
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| Error::token())?;
        let text = String::from_utf8(bytes).map_err(|_| Error::token())?;
        let mut parts = text.splitn(3, '/');
        let (listing, until, key) = (parts.next(), parts.next(), parts.next());
        let until: i64 = until.and_then(|until| until.parse().ok()).ok_or_else(Error::token)?;
        if listing != Some(&self.mark()) || until < now.as_second() {
            return Err(Error::token());
        }
        key.map(|key| Some(key.to_owned())).ok_or_else(Error::token)
    }

    /// The token of the page behind the entry with this key.
    pub(super) fn token(&self, key: &str, now: Timestamp) -> String {
        let text = format!("{}/{}/{key}", self.mark(), now.as_second() + TOKEN_LIFETIME_SECONDS);
        BASE64_URL_SAFE_NO_PAD.encode(text)
    }

    fn mark(&self) -> String {
        format!("{:016x}", xxh3_64(self.listing.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page(token: Option<&str>, listing: &str) -> Page {
        let body = json!({ "nextToken": token }).to_string();
        Page::read(&mut Fields::read(body.as_bytes()).unwrap(), 1024).of(listing)
    }

    #[test]
    fn a_token_is_valid_in_its_listing_for_a_day() {
        let now: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
        let token = page(None, "machines").token("2026/a", now);
        let day = jiff::SignedDuration::from_hours(24);
        assert_eq!(page(Some(&token), "machines").after(now + day).unwrap().as_deref(), Some("2026/a"));
        assert_eq!(page(Some(&token), "machines").after(now + day * 2), Err(Error::token()));
        assert_eq!(page(Some(&token), "activities").after(now), Err(Error::token()));
        assert_eq!(page(Some("%%"), "machines").after(now), Err(Error::token()));
        assert_eq!(page(None, "machines").after(now), Ok(None));
    }
}
