//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): the same request again is the same batch.

use axum::http::HeaderMap;
use jiff::Timestamp;
use kernel::{
    BatchId, Name, Store, json,
    store::{Condition, Item, Table, Written},
};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::http::problem::{Kind, Problem};

/// How long a key may be.
const LONGEST: usize = 255;

/// A key, as what it is stored by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(u128);

/// What the holder of a key is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Claim {
    /// The batch that the first request with the key became.
    pub(crate) batch_id: BatchId,
    /// When that request came.
    pub(crate) received_at: Timestamp,
    /// That batch's number in the order of batches.
    #[serde(default)]
    pub(crate) order: u64,
    /// The hash of that request.
    pub(crate) fingerprint: String,
}

impl Key {
    /// The request's key, if it has one: a string of structured fields, or bare.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all("idempotency-key").iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let text = value.to_str().unwrap_or_default().trim();
        let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        if values.next().is_some() || !(1..=LONGEST).contains(&bare.len()) {
            return Err(Problem::new(
                Kind::BadRequest,
                format!("There is one Idempotency-Key, of 1 to {LONGEST} visible ASCII characters."),
            ));
        }
        Ok(Some(Self(xxh3_128(bare.as_bytes()))))
    }

    fn sort(&self) -> String {
        format!("idempotency#{:032x}", self.0)
    }

    /// Claims the key for a request, or finds the claim of the same request before it, `true` then.
    pub(crate) async fn claim(
        &self,
        tenant: &Name,
        claim: Claim,
        store: &impl Store,
    ) -> Result<(Claim, bool), Problem> {
        let body = String::from_utf8_lossy(&json::encode(&claim)?).into_owned();
        let item = Item { partition: tenant.to_string(), sort: self.sort(), version: 1, body };
        let held = match store.put(Table::Claims, item, Condition::Absent).await? {
            Written::Done => return Ok((claim, false)),
            Written::Conflict(Some(held)) => json::decode::<Claim>(held.body.as_bytes())?,
            Written::Conflict(None) => {
                return Err(Problem::unavailable("a claim was released while it was looked at"));
            }
        };
        if held.fingerprint != claim.fingerprint {
            return Err(Problem::new(
                Kind::KeyReused,
                "This Idempotency-Key came with another request before; another request needs another key.",
            ));
        }
        Ok((held, true))
    }

    /// Gives the key free again: its request was refused, and may come corrected under the same key.
    pub(crate) async fn release(&self, tenant: &Name, store: &impl Store) -> Result<(), Problem> {
        store.delete(Table::Claims, tenant.as_str(), &self.sort()).await?;
        Ok(())
    }
}

/// The fingerprint of a request: what it is for, what its body is, and the body.
pub(crate) fn fingerprint(operation: &str, format: &str, body: &[u8]) -> String {
    let mut hash = Xxh3::new();
    for part in [operation, format] {
        hash.update(part.as_bytes());
        hash.update(b"\n");
    }
    hash.update(body);
    format!("{:032x}", hash.digest128())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, key: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", value.parse().unwrap());
        let found = Key::of(&headers);
        match key {
            Some(key) => assert_eq!(found.unwrap(), Some(Key(xxh3_128(key.as_bytes())))),
            None => assert!(found.is_err(), "{value}"),
        }
    }

    #[test]
    fn keys_with_and_without_quotes() {
        check("abc", Some("abc"));
        check("\"abc\"", Some("abc"));
        check("\"", Some("\""));
        check(&"k".repeat(255), Some(&"k".repeat(255)));
        check(&"k".repeat(256), None);
        check("", None);
        check("\"\"", None);
    }

    #[test]
    fn no_key_is_no_key() {
        assert_eq!(Key::of(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn a_fingerprint_tells_requests_apart() {
        let one = fingerprint("POST /records", "json", b"[]");
        assert_eq!(one, fingerprint("POST /records", "json", b"[]"));
        assert_ne!(one, fingerprint("POST /records", "csv", b"[]"));
        assert_ne!(one, fingerprint("POST /records", "json", b"[ ]"));
        assert_ne!(one, fingerprint("POST /quarantine/replay", "json", b"[]"));
    }
}
