//! The headers that a destination may add to each call.

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// The headers that a call sets itself: they frame it, or describe the call and its sender.
const RESERVED: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-connection",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
];

/// Parses headers, or names the one that is invalid. Values are in no text, and in no log.
pub fn headers(given: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let parsed =
            HeaderName::try_from(name).map_err(|_| format!("{name:?} is not the name of a header"))?;
        if RESERVED.contains(&parsed.as_str()) {
            return Err(format!("{name} is set by each call itself"));
        }
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| format!("the value of {name} cannot be one: it holds a control character"))?;
        value.set_sensitive(true);
        if map.insert(parsed, value).is_some() {
            return Err(format!("{name} stands there twice"));
        }
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(given: &[(&str, &str)], refused: Option<&str>) {
        let given = given.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(headers(&given).err().as_deref(), refused, "{given:?}");
    }

    #[test]
    fn headers_are_read_or_named() {
        check(
            &[("Authorization", "Bearer 1"), ("X-Ünit", "")],
            Some("\"X-Ünit\" is not the name of a header"),
        );
        check(&[("Authorization", "Bearer é 漢"), ("content-type", "application/cloudevents+json")], None);
        check(&[("", "1")], Some("\"\" is not the name of a header"));
        check(&[("a b", "1")], Some("\"a b\" is not the name of a header"));
        check(&[("a", "1\r\nb: 2")], Some("the value of a cannot be one: it holds a control character"));
        check(&[("Host", "internal")], Some("Host is set by each call itself"));
        check(&[("Webhook-Id", "1")], Some("Webhook-Id is set by each call itself"));
        check(&[("A", "1"), ("a", "2")], Some("a stands there twice"));
    }

    #[test]
    fn values_are_in_no_text() {
        let given = BTreeMap::from([("Authorization".to_owned(), "Bearer secret".to_owned())]);
        assert!(!format!("{:?}", headers(&given)).contains("secret"));
    }
}
