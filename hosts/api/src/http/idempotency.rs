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

/// Maximum length of a key, in bytes.
const MAX_KEY_BYTES: usize = 255;

/// The hash of a key, under which its claim is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(u128);

/// The claim of a request on a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Claim {
    /// The batch of the first request with the key.
    pub(crate) batch_id: BatchId,
    /// The arrival of that request.
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
        if values.next().is_some() || !(1..=MAX_KEY_BYTES).contains(&bare.len()) {
            return Err(Problem::new(
                Kind::BadRequest,
                format!(
                    "A request has at most one Idempotency-Key, of 1 to {MAX_KEY_BYTES} visible ASCII characters."
                ),
            ));
        }
        Ok(Some(Self(xxh3_128(bare.as_bytes()))))
    }

    fn sort(&self) -> String {
        format!("idempotency#{:032x}", self.0)
    }

    /// Claims the key for a request. Returns the claim, and whether an earlier equal request made it.
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
                return Err(Problem::unavailable("another request released the claim at the same moment"));
            }
        };
        if held.fingerprint != claim.fingerprint {
            return Err(Problem::new(
                Kind::KeyReused,
                "An earlier, different request has this Idempotency-Key. Another request needs another key.",
            ));
        }
        Ok((held, true))
    }

    /// Releases the key of a refused request, which the client may correct and send under the same key.
    pub(crate) async fn release(&self, tenant: &Name, store: &impl Store) -> Result<(), Problem> {
        store.delete(Table::Claims, tenant.as_str(), &self.sort()).await?;
        Ok(())
    }
}

/// The fingerprint of a request: its operation, the kind of its body, and the body.
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
