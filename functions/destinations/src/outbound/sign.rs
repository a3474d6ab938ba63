//! Signatures of Standard Webhooks: a header with one signature for each secret, over id, time and body.

use std::{fmt, fmt::Write as _, str::FromStr};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The prefix of a secret's text.
const SECRET_PREFIX: &str = "whsec_";
/// How many bytes a secret may have (Standard Webhooks, Symmetric signatures).
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A secret that signs calls.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text.strip_prefix(SECRET_PREFIX).and_then(|text| BASE64_STANDARD.decode(text).ok());
        let bytes = bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len()));
        bytes.map(Self).ok_or("a secret is whsec_ and the base64 of 24 to 64 bytes")
    }
}

/// The header `webhook-signature` of a call: one signature for each secret; the receiver may have any one of them.
/// `timestamp` is in seconds since 1970.
pub fn sign(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signatures = secrets.iter().filter_map(|Secret(secret)| {
        // A key may have any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        Some(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

/// An event's id in the header `webhook-id`: every character other than visible ASCII, and `%`, is percent-encoded.
pub fn webhook_id(message_id: &str) -> String {
    message_id.bytes().fold(String::with_capacity(message_id.len()), |mut id, byte| {
        if byte.is_ascii_graphic() && byte != b'%' {
            id.push(char::from(byte));
        } else {
            // Writing to memory cannot fail.
            let _ = write!(id, "%{byte:02X}");
        }
        id
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[track_caller]
    fn check(secrets: &[&str], id: &str, timestamp: i64, body: &str, expected: &str) {
        let secrets: Vec<Secret> = secrets.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(sign(&secrets, id, timestamp, body.as_bytes()), expected);
    }

    #[test]
    fn calls_are_signed_as_the_specification_shows() {
        let (id, at, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        let first = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        check(&[SECRET], id, at, body, first);
        check(&[], id, at, body, "");
        let second = "v1,O4Gjv1HqPqsMrjmczoggs/sWA8gZD0VyHG+fLh4+ktI=";
        check(&[SECRET, OTHER], id, at, body, &format!("{first} {second}"));
    }

    #[test]
    fn secrets_have_their_form() {
        let of = |bytes: usize| format!("{SECRET_PREFIX}{}", BASE64_STANDARD.encode(vec![7; bytes]));
        for (text, is_taken) in [
            (SECRET.to_owned(), true),
            (of(24), true),
            (of(64), true),
            (of(23), false),
            (of(65), false),
            (BASE64_STANDARD.encode([7; 32]), false),
            ("whsec_not base64".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(text.parse::<Secret>().is_ok(), is_taken, "{text}");
        }
        assert_eq!(format!("{:?}", SECRET.parse::<Secret>()), "Ok(Secret)");
    }

    #[test]
    fn ids_fit_in_a_header() {
        assert_eq!(webhook_id("7d5c-A_1.~"), "7d5c-A_1.~");
        assert_eq!(webhook_id("a b\n100%é"), "a%20b%0A100%25%C3%A9");
    }
}
