//! The guard: calls reach public addresses only, unless the configuration names others. It judges the address of each
//! connection, at the request of [`super::Outbound`], so that no name can lead around it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use url::{Host, Url};

/// Addresses that may be called though they are not public: `127.0.0.1:8090`, `10.0.0.0/8`, `10.1.0.0/16:443`,
/// `[::1]:8090`, `[fd00::/8]:443`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    network: IpAddr,
    prefix: u32,
    port: Option<u16>,
}

impl FromStr for Allowed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "an allowed destination is an address or a network, with a port or without: 127.0.0.1:8090, 10.0.0.0/8, [::1]:8090";
        let (network, port) = split_port(text);
        let port = port.map(str::parse).transpose().map_err(|_| RULE)?;
        let (address, prefix) = match network.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse().map_err(|_| RULE)?)),
            None => (network, None),
        };
        let network: IpAddr = address.parse().map_err(|_| RULE)?;
        let bits = bits(network).1;
        let prefix = prefix.unwrap_or(bits);
        if prefix > bits || port == Some(0) {
            return Err(RULE);
        }
        Ok(Self { network, prefix, port })
    }
}

/// The address or network, and the port after it.
fn split_port(text: &str) -> (&str, Option<&str>) {
    if let Some((network, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        // Without its colon it is no port.
        return (network, (!rest.is_empty()).then(|| rest.strip_prefix(':').unwrap_or_default()));
    }
    match text.split_once(':') {
        Some((network, port)) if !port.contains(':') => (network, Some(port)),
        _ => (text, None),
    }
}

impl Allowed {
    fn contains(&self, address: IpAddr, port: u16) -> bool {
        let ((ours, of), (theirs, other)) = (bits(self.network), bits(address));
        of == other && same_prefix(ours, theirs, of - self.prefix) && self.port.is_none_or(|own| own == port)
    }
}

/// An address as a number, and how many bits that has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (address.to_bits().into(), Ipv4Addr::BITS),
        IpAddr::V6(address) => (address.to_bits(), Ipv6Addr::BITS),
    }
}

/// Whether two addresses differ at most in their last `rest` bits.
fn same_prefix(one: u128, other: u128, rest: u32) -> bool {
    (one ^ other).checked_shr(rest).unwrap_or(0) == 0
}

/// Why an address is refused. No text of it contains a part of the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not a URL.
    NotAUrl,
    /// It is neither http nor https.
    Scheme,
    /// It contains a user or a password.
    UserInfo,
    /// It contains a fragment.
    Fragment,
    /// It leads to an address that is neither public nor allowed by the configuration.
    Blocked,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAUrl => "is not a URL with a host",
            Self::Scheme => "is neither http nor https",
            Self::UserInfo => "holds a user or a password; a header is the place for them",
            Self::Fragment => "holds a fragment, which is never sent",
            Self::Blocked => "leads to an address that is not public; --allow-destination allows one",
        })
    }
}

impl std::error::Error for Refusal {}

/// Decides which addresses calls may reach.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    allowed: Vec<Allowed>,
}

impl Guard {
    /// A guard that permits public addresses, and these.
    pub fn new(allowed: Vec<Allowed>) -> Self {
        Self { allowed }
    }

    /// Whether this address may be called on this port.
    pub fn permits(&self, address: IpAddr, port: u16) -> bool {
        // A socket to ::ffff:a.b.c.d leads to a.b.c.d.
        let address = address.to_canonical();
        let is_public = match address {
            IpAddr::V4(address) => is_public_v4(address),
            IpAddr::V6(address) => is_public_v6(address),
        };
        is_public || self.allowed.iter().any(|allowed| allowed.contains(address, port))
    }

    /// Parses the URL of a destination. A name is judged when it is resolved, at every call. An address, in any
    /// spelling, and `localhost` are judged at once.
    pub fn check_url(&self, text: &str) -> Result<Url, Refusal> {
        let url = Url::parse(text).map_err(|_| Refusal::NotAUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(Refusal::Fragment);
        }
        if self.permits_host(&url)? { Ok(url) } else { Err(Refusal::Blocked) }
    }

    /// Whether a URL may be called, as far as is known before its name is resolved.
    pub(super) fn permits_host(&self, url: &Url) -> Result<bool, Refusal> {
        let port = url.port_or_known_default().ok_or(Refusal::NotAUrl)?;
        Ok(match url.host().ok_or(Refusal::NotAUrl)? {
            Host::Ipv4(address) => self.permits(address.into(), port),
            Host::Ipv6(address) => self.permits(address.into(), port),
            Host::Domain(name) if is_localhost(name) => {
                self.permits(Ipv4Addr::LOCALHOST.into(), port)
                    || self.permits(Ipv6Addr::LOCALHOST.into(), port)
            }
            Host::Domain(_) => true,
        })
    }

    /// The ports that the configuration names: an address that is allowed on one of them is not allowed on others.
    pub(super) fn ports(&self) -> impl Iterator<Item = u16> {
        self.allowed.iter().filter_map(|allowed| allowed.port)
    }
}

/// `localhost` and all below it, with the root's dot or without (RFC 6761).
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

/// The IPv4 addresses that are not public: the registry of special-purpose addresses (RFC 6890 and its successors),
/// multicast, and the address at which Azure informs a machine about itself.
const NON_PUBLIC_V4: [(Ipv4Addr, u32); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// The addresses of 2000::/3 that are not public: protocols of the IETF (Teredo, benchmarking), documentation.
const NON_PUBLIC_V6: [(Ipv6Addr, u32); 3] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// The IPv6 prefixes that IPv4 addresses follow, with their lengths in bits: NAT64, 6to4.
const EMBEDDED: [(Ipv6Addr, u32); 2] =
    [(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96), (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16)];

/// The addresses that are assigned to an owner; all other IPv6 addresses are local or have another use.
const UNICAST_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

fn is_public_v4(address: Ipv4Addr) -> bool {
    !NON_PUBLIC_V4.iter().any(|&(network, prefix)| {
        same_prefix(network.to_bits().into(), address.to_bits().into(), Ipv4Addr::BITS - prefix)
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let is_in = |&(network, prefix): &(Ipv6Addr, u32)| {
        same_prefix(network.to_bits(), address.to_bits(), Ipv6Addr::BITS - prefix)
    };
    if let Some((_, prefix)) = EMBEDDED.iter().find(|network| is_in(network)) {
        let bits = address.to_bits() >> (Ipv6Addr::BITS - prefix - Ipv4Addr::BITS);
        let low = u32::try_from(bits & u128::from(u32::MAX)).unwrap_or(0);
        return is_public_v4(Ipv4Addr::from_bits(low));
    }
    is_in(&UNICAST_V6) && !NON_PUBLIC_V6.iter().any(is_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allowed: &[&str]) -> Guard {
        Guard::new(allowed.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[track_caller]
    fn check_address(allowed: &[&str], address: &str, port: u16, permitted: bool) {
        assert_eq!(guard(allowed).permits(address.parse().unwrap(), port), permitted, "{address}:{port}");
    }

    #[test]
    fn public_addresses_are_permitted() {
        for address in [
            "1.1.1.1",
            "93.184.215.14",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:200::1",
            "2a00:1450::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::1",
        ] {
            check_address(&[], address, 443, true);
        }
    }

    #[test]
    fn other_addresses_are_not_permitted() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:80ff:fffe",
            "2001:2::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::1",
            "2002:c0a8:101::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            check_address(&[], address, 443, false);
        }
    }

    #[test]
    fn configuration_opens_only_what_it_names() {
        check_address(&["127.0.0.1:8090"], "127.0.0.1", 8090, true);
        check_address(&["127.0.0.1:8090"], "::ffff:127.0.0.1", 8090, true);
        check_address(&["127.0.0.1:8090"], "127.0.0.1", 8091, false);
        check_address(&["127.0.0.1:8090"], "127.0.0.2", 8090, false);
        check_address(&["127.0.0.1:8090"], "::1", 8090, false);
        check_address(&["[::1]:8090"], "::1", 8090, true);
        check_address(&["[::1]:8090"], "::1", 80, false);
        check_address(&["::1"], "::1", 80, true);
        check_address(&["10.0.0.0/8"], "10.255.0.1", 1, true);
        check_address(&["10.0.0.0/8"], "192.168.0.1", 1, false);
        check_address(&["10.1.0.0/16:443"], "10.1.2.3", 443, true);
        check_address(&["10.1.0.0/16:443"], "10.1.2.3", 80, false);
        check_address(&["10.1.0.0/16:443"], "10.2.2.3", 443, false);
        check_address(&["[fd00::/8]:443"], "fd00:ec2::254", 443, true);
        check_address(&["0.0.0.0/0"], "127.0.0.1", 443, true);
        check_address(&["0.0.0.0/0"], "::1", 443, false);
        check_address(&["127.0.0.1:8090", "127.0.0.0/8:99"], "127.0.0.9", 99, true);
    }

    #[test]
    fn invalid_networks_are_refused() {
        for text in [
            "",
            "localhost",
            "127.0.0.1:",
            "127.0.0.1:0",
            "127.0.0.1:65536",
            "10.0.0.0/33",
            "10.0.0.0/",
            "[::1]8090",
            "[::1",
            "fd00::/129",
        ] {
            assert!(text.parse::<Allowed>().is_err(), "{text}");
        }
    }

    #[track_caller]
    fn check_url(text: &str, expected: Result<(), Refusal>) {
        assert_eq!(guard(&["127.0.0.1:8090"]).check_url(text).map(|_| ()), expected, "{text}");
    }

    #[test]
    fn urls_are_judged_by_scheme_and_address() {
        check_url("https://api.example.com/v1/events?key=1", Ok(()));
        check_url("http://127.0.0.1:8090/analytics", Ok(()));
        check_url("http://localhost:8090/analytics", Ok(()));
        check_url("http://0x7f.1:8090", Ok(()));
        check_url("http://127.0.0.1", Err(Refusal::Blocked));
        check_url("http://localhost:8091", Err(Refusal::Blocked));
        check_url("http://LOCALHOST.", Err(Refusal::Blocked));
        check_url("http://a.localhost", Err(Refusal::Blocked));
        check_url("http://127.1", Err(Refusal::Blocked));
        check_url("http://0x7f000001", Err(Refusal::Blocked));
        check_url("http://2130706433", Err(Refusal::Blocked));
        check_url("http://017700000001", Err(Refusal::Blocked));
        check_url("http://127.0.0.1.", Err(Refusal::Blocked));
        check_url("http://①②⑦.⓪.⓪.①", Err(Refusal::Blocked));
        check_url("http://[::ffff:169.254.169.254]/", Err(Refusal::Blocked));
        check_url("http://[::1]:8090", Err(Refusal::Blocked));
        check_url("ftp://example.com", Err(Refusal::Scheme));
        check_url("file:///etc/passwd", Err(Refusal::Scheme));
        check_url("https://user@example.com", Err(Refusal::UserInfo));
        check_url("https://user:pass@example.com", Err(Refusal::UserInfo));
        check_url("https://example.com/#a", Err(Refusal::Fragment));
        check_url("https://", Err(Refusal::NotAUrl));
        check_url("/events", Err(Refusal::NotAUrl));
        check_url("", Err(Refusal::NotAUrl));
    }
}
