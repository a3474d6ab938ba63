//! E-mail addresses: the syntax check, and the one spelling in which addresses are compared.

use std::fmt;

use unicode_normalization::UnicodeNormalization;
use validator::ValidateEmail;

/// An address in the one spelling of comparisons (design, contract 2): trimmed, NFC, in lower case, the domain in
/// IDNA's ASCII form. Dots and `+tags` stay: they can name different mailboxes.
///
/// Invariant: contains an `@` with text on both sides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmailKey(String);

impl EmailKey {
    /// The key of an address; `None` if it is not one by the rule of HTML's `input type=email` (crate `validator`): at
    /// most 64 characters before the `@`, a host name after it.
    pub fn parse(address: &str) -> Option<Self> {
        let trimmed = address.trim();
        if is_plain(trimmed.as_bytes()) {
            return Some(Self(trimmed.to_ascii_lowercase()));
        }
        let composed: String = trimmed.nfc().collect();
        if !composed.validate_email() {
            return None;
        }
        let (local, domain) = composed.rsplit_once('@')?;
        let domain = idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_lowercase());
        Some(Self(format!("{}@{domain}", local.to_lowercase())))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hash that assigns a record to a chunk and a contact to a partition: XXH3, 64 bits.
    pub fn hash(&self) -> u64 {
        hash(&self.0)
    }
}

impl fmt::Display for EmailKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The hash of a key, equal to [`EmailKey::hash`]. Stored keys depend on it, so it may never change.
pub fn hash(key: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key.as_bytes())
}

/// Whether an address is valid by the plainest rule, in one pass: ASCII, a host name of ordinary labels. The full check
/// accepts every such address; it also decides all others.
fn is_plain(address: &[u8]) -> bool {
    let Some(at) = memchr::memrchr(b'@', address) else {
        return false;
    };
    let (local, domain) = (&address[..at], &address[at + 1..]);
    (1..=64).contains(&local.len())
        && (1..=255).contains(&domain.len())
        && local.iter().all(|&b| b.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&b))
        && domain.split(|&b| b == b'.').all(is_plain_label)
}

/// A plain label of a host name (RFC 1123): letters, digits and inner hyphens. It is no punycode, whose case and form
/// the full check decides.
fn is_plain_label(label: &[u8]) -> bool {
    (1..=63).contains(&label.len())
        && label.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'-')
        && label[0] != b'-'
        && label[label.len() - 1] != b'-'
        && label.get(2..4) != Some(b"--")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(address: &str, key: Option<&str>) {
        assert_eq!(EmailKey::parse(address).as_ref().map(EmailKey::as_str), key, "{address:?}");
    }

    #[test]
    fn each_address_has_one_spelling() {
        check("ann@example.com", Some("ann@example.com"));
        check("  Ann@EXAMPLE.com\t", Some("ann@example.com"));
        check("a.n.n+news@example.com", Some("a.n.n+news@example.com"));
        check("ann@BÜCHER.example", Some("ann@xn--bcher-kva.example"));
        check("ann@bu\u{308}cher.example", Some("ann@xn--bcher-kva.example"));
        check("ann@XN--BCHER-KVA.example", Some("ann@xn--bcher-kva.example"));
        check("ann@localhost", Some("ann@localhost"));
    }

    #[test]
    fn invalid_addresses_are_refused() {
        for address in ["", " ", "ann", "@", "ann@", "@example.com", "a@b@example.com", "ann@ex ample.com"] {
            check(address, None);
        }
        check("ann@-example.com", None);
        check("ann@example..com", None);
        check(&format!("{}@example.com", "a".repeat(65)), None);
    }

    proptest! {
        #[test]
        fn plain_addresses_pass_the_full_check(address in "[a-zA-Z0-9.@_+ -]{1,40}") {
            if is_plain(address.as_bytes()) {
                prop_assert!(address.validate_email());
            }
        }

        #[test]
        fn a_key_is_its_own_key(address in "\\PC{1,12}@\\PC{1,12}") {
            if let Some(key) = EmailKey::parse(&address) {
                prop_assert_eq!(EmailKey::parse(key.as_str()), Some(key));
            }
        }
    }
}
