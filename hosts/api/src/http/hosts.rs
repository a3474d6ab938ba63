//! The host names that a server accepts, and the writes that it accepts from browsers.
//!
//! A page of another site reaches a server on loopback in two ways. DNS rebinding gives the page's own name the
//! address 127.0.0.1, so the browser treats the server as the page's own; the `Host` header shows that. A browser sends a form
//! or a `fetch` of plain text across sites without a preflight; `Origin` and `Sec-Fetch-Site` show that.

use std::{net::IpAddr, str::FromStr};

use axum::http::{HeaderMap, HeaderName, Method, Uri, header, uri::Authority};

/// A browser's header about the page that sent a request (W3C Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The host names that a server accepts.
#[derive(Clone, Debug, Default)]
pub enum Hosts {
    /// Every name: a gateway in front of the server decides.
    #[default]
    Any,
    /// `localhost`, names under it, loopback addresses, and these.
    LoopbackAnd(Vec<HostName>),
}

/// A host name or an IP address as `Host` spells it, without a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(String);

/// The reason why a server refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request names no host, or more than one.
    NoHost,
    /// The request names a host that the server does not accept.
    UnknownHost,
    /// A page of another site sent the request, and the request writes.
    CrossSite,
}

impl Refusal {
    /// The sentence for the client.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NoHost => "The request must have exactly one Host header that names a host.",
            Self::UnknownHost => {
                "The server does not accept the host name of this request; `crmflow serve --allow-host NAME` adds a name."
            }
            Self::CrossSite => "The server accepts no writes from pages of other sites.",
        }
    }
}

impl FromStr for HostName {
    type Err = &'static str;

    /// Reads a name such as `crm.internal`, `192.0.2.1` or `[2001:db8::1]`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rule = "a host is a name or an IP address, without a scheme and a port";
        let bracketed = if text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) {
            format!("[{text}]")
        } else {
            text.to_owned()
        };
        let authority: Authority = bracketed.parse().map_err(|_| rule)?;
        if authority.as_str() != authority.host() {
            return Err(rule);
        }
        Ok(Self::of(authority.host()))
    }
}

impl HostName {
    /// The name in lower case, without the dot of the root.
    fn of(host: &str) -> Self {
        Self(host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase())
    }

    /// `localhost`.
    pub fn localhost() -> Self {
        Self("localhost".to_owned())
    }

    /// The name with `prefix` before it.
    #[must_use]
    pub fn with_prefix(&self, prefix: &str) -> Self {
        Self(format!("{prefix}{}", self.0))
    }

    fn is_loopback(&self) -> bool {
        let address = self.0.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&self.0);
        match address.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().is_loopback(),
            // RFC 6761, 6.3: no resolver gives these names another address.
            Err(_) => self.0 == "localhost" || self.0.ends_with(".localhost"),
        }
    }
}

impl Hosts {
    /// Checks the method, the target and the headers of a request.
    pub fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let Self::LoopbackAnd(names) = self else { return Ok(()) };
        let answers_to = |host: &HostName| host.is_loopback() || names.contains(host);
        let host = host(headers).ok_or(Refusal::NoHost)?;
        // A target in absolute form has an authority of its own (RFC 9112, 3.2.2).
        let target = uri.authority().map(|authority| HostName::of(authority.host()));
        if !answers_to(&host) || target.is_some_and(|target| !answers_to(&target)) {
            return Err(Refusal::UnknownHost);
        }
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(());
        }
        let is_foreign = headers
            .get_all(header::ORIGIN)
            .iter()
            .any(|origin| !origin_host(origin.as_bytes()).is_some_and(|host| answers_to(&host)));
        let is_cross_site = headers.get_all(SEC_FETCH_SITE).iter().any(|site| site == "cross-site");
        if is_foreign || is_cross_site { Err(Refusal::CrossSite) } else { Ok(()) }
    }
}

/// The one host that a request names.
fn host(headers: &HeaderMap) -> Option<HostName> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (first, None) = (hosts.next()?, hosts.next()) else { return None };
    let authority: Authority = first.to_str().ok()?.parse().ok()?;
    let is_plain = !authority.host().is_empty() && !authority.as_str().contains('@');
    is_plain.then(|| HostName::of(authority.host()))
}

/// The host of an `Origin`; `None` for `null` and for other schemes than HTTP.
fn origin_host(origin: &[u8]) -> Option<HostName> {
    let uri: Uri = std::str::from_utf8(origin).ok()?.parse().ok()?;
    matches!(uri.scheme_str(), Some("http" | "https")).then(|| uri.host().map(HostName::of))?
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: (&str, &str) = ("origin", "https://evil.example");

    #[track_caller]
    fn check(method: &Method, uri: &str, headers: &[(&'static str, &str)], expected: Result<(), Refusal>) {
        let hosts = Hosts::LoopbackAnd(vec!["Crm.Internal".parse().unwrap(), "2001:db8::1".parse().unwrap()]);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let uri: Uri = uri.parse().unwrap();
        assert_eq!(hosts.check(method, &uri, &map), expected, "{method} {uri} {headers:?}");
        assert_eq!(Hosts::Any.check(method, &uri, &map), Ok(()));
    }

    #[test]
    fn loopback_and_allowed_names_are_answered() {
        for host in [
            "localhost",
            "LOCALHOST:3000",
            "localhost.:3000",
            "app.localhost",
            "127.0.0.1:3000",
            "127.9.9.9",
            "[::1]:3000",
            "[::ffff:127.0.0.1]",
            "crm.internal:80",
            "[2001:DB8::1]:3000",
        ] {
            check(&Method::GET, "/contacts", &[("host", host)], Ok(()));
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evillocalhost",
            "0.0.0.0:3000",
            "192.168.0.2",
            "[2001:db8::2]",
            "sub.crm.internal",
        ] {
            check(&Method::GET, "/contacts", &[("host", host)], Err(Refusal::UnknownHost));
        }
        for host in ["", "a b", "user@localhost", ":3000"] {
            check(&Method::GET, "/contacts", &[("host", host)], Err(Refusal::NoHost));
        }
    }

    #[test]
    fn one_host_is_named_everywhere_alike() {
        let local = ("host", "localhost");
        check(&Method::GET, "/", &[], Err(Refusal::NoHost));
        check(&Method::GET, "/", &[local, local], Err(Refusal::NoHost));
        check(&Method::GET, "/", &[local, ("host", "evil.example")], Err(Refusal::NoHost));
        check(&Method::GET, "http://localhost/", &[local], Ok(()));
        check(&Method::GET, "http://evil.example/", &[local], Err(Refusal::UnknownHost));
    }

    #[test]
    fn other_sites_may_not_write() {
        let local = ("host", "localhost:3000");
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            check(&method, "/", &[local], Ok(()));
            check(&method, "/", &[local, ("origin", "http://localhost:5173")], Ok(()));
            check(&method, "/", &[local, ("origin", "https://crm.internal")], Ok(()));
            check(&method, "/", &[local, ("sec-fetch-site", "same-origin")], Ok(()));
            for foreign in [
                EVIL,
                ("origin", "null"),
                ("origin", "chrome-extension://localhost"),
                ("sec-fetch-site", "cross-site"),
            ] {
                check(&method, "/", &[local, foreign], Err(Refusal::CrossSite));
            }
        }
        // A page cannot read the content of a link or an image.
        check(&Method::GET, "/", &[local, EVIL], Ok(()));
        check(&Method::OPTIONS, "/", &[local, EVIL], Ok(()));
    }

    #[test]
    fn a_name_to_allow_has_no_scheme_and_no_port() {
        for text in ["", "a b", "http://crm.internal", "crm.internal:80", "user@crm.internal", "[::1]:80"] {
            assert!(text.parse::<HostName>().is_err(), "{text}");
        }
    }
}
