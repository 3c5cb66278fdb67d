//! Which addresses a link or a redirect may lead to. Pure: it sees addresses, never names, and dials nothing.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Ranges inside a cluster, a company or a machine. Documentation and benchmarking ranges are not among them: there
/// are networks whose gateways answer there for every public name.
const REFUSED: [(IpNet, &str); 13] = [
    (v4([0, 0, 0, 0], 8), "this network"),
    (v4([127, 0, 0, 0], 8), "loopback"),
    (v4([10, 0, 0, 0], 8), "private"),
    (v4([172, 16, 0, 0], 12), "private"),
    (v4([192, 168, 0, 0], 16), "private"),
    (v4([100, 64, 0, 0], 10), "shared address space"),
    (v4([169, 254, 0, 0], 16), "link-local"),
    (v4([224, 0, 0, 0], 4), "multicast"),
    (v4([240, 0, 0, 0], 4), "reserved"),
    // `::` is the IPv6 spelling of 0.0.0.0 and reaches loopback like it.
    (v6(0, 127), "loopback"),
    (v6(0xfe80, 10), "link-local"),
    (v6(0xfc00, 7), "unique local"),
    (v6(0xff00, 8), "multicast"),
];

const fn v4([a, b, c, d]: [u8; 4], length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(std::net::Ipv4Addr::new(a, b, c, d), length))
}

/// The range of all addresses that begin with `first`; the rest of the prefix is zero.
const fn v6(first: u16, length: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(std::net::Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0), length))
}

/// Screens the addresses of origins that nobody configured.
#[derive(Clone, Debug, Default)]
pub struct AddressFilter {
    allowed: Vec<IpNet>,
}

/// An address that is not visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is a {range} address, and `upstream.allowedCIDRs` does not allow it")]
pub struct Refused {
    /// The address as the answer or the link gave it.
    pub address: IpAddr,
    /// What the range is for.
    pub range: &'static str,
}

impl AddressFilter {
    /// A filter that lets pass `allowed` besides every address that is not refused.
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Judges one address. An IPv4-mapped one (RFC 4291 §2.5.5.2) is what it maps.
    pub fn check(&self, address: IpAddr) -> Result<(), Refused> {
        let canonical = address.to_canonical();
        if self.allowed.iter().any(|net| net.contains(&canonical) || net.contains(&address)) {
            return Ok(());
        }
        match REFUSED.iter().find(|(net, _)| net.contains(&canonical)) {
            Some((_, range)) => Err(Refused { address, range }),
            None => Ok(()),
        }
    }

    /// Judges an answer of the name service: one refused address spoils it, since the dialler may take any of them.
    pub fn check_all<'a>(&self, addresses: impl IntoIterator<Item = &'a IpAddr>) -> Result<(), Refused> {
        addresses.into_iter().try_for_each(|address| self.check(*address))
    }
}

/// Whether a pattern of `upstream.linkHosts`, or of a Secret's `hosts`, covers a host. `*.` at its start covers every
/// name below, not the name itself.
pub fn host_matches(pattern: &str, host: &str) -> bool {
    let host = host.trim_end_matches('.');
    let pattern = pattern.trim_end_matches('.');
    match pattern.strip_prefix("*.") {
        Some(parent) => {
            let length = host.len().saturating_sub(parent.len());
            length > 1
                && host.is_char_boundary(length)
                && host[length..].eq_ignore_ascii_case(parent)
                && host[..length].ends_with('.')
        }
        None => host.eq_ignore_ascii_case(pattern),
    }
}

#[cfg(test)]
mod tests {
    use url::{Host, Url};

    use super::*;

    #[test]
    fn edges_of_every_range() {
        let filter = AddressFilter::default();
        for refused in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.0.0",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.168.0.0",
            "192.168.255.255",
            "224.0.0.0",
            "239.255.255.255",
            "240.0.0.0",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "fc00::",
            "fd00:ec2::254",
            "fdff::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0.0.0.0",
        ] {
            assert!(filter.check(refused.parse().unwrap()).is_err(), "{refused}");
        }
        for passed in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "223.255.255.255",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "2001:db8::1",
            "2600::1",
            "fec0::1",
            "fbff::1",
            "::ffff:8.8.8.8",
        ] {
            assert_eq!(filter.check(passed.parse().unwrap()), Ok(()), "{passed}");
        }
    }

    #[test]
    fn allowed_ranges_open_and_one_bad_address_spoils_an_answer() {
        let filter = AddressFilter::new(vec!["10.1.0.0/16".parse().unwrap(), "fd00::/64".parse().unwrap()]);
        for (address, passes) in [
            ("10.1.2.3", true),
            ("10.2.2.3", false),
            ("::ffff:10.1.2.3", true),
            ("fd00::5", true),
            ("fd00:1::5", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(filter.check(address.parse().unwrap()).is_ok(), passes, "{address}");
        }
        let answer: Vec<IpAddr> = vec!["203.0.113.9".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        assert_eq!(filter.check_all(&answer).unwrap_err().address, answer[1]);
        assert_eq!(filter.check_all(&answer[..1]), Ok(()));
    }

    /// The spellings that string comparison misses are addresses by the time that the filter sees them.
    #[test]
    fn odd_spellings_of_loopback() {
        for url in [
            "http://2130706433:80/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://0/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://127.0.0.1./",
            "http://①②⑦.0.0.1/",
            "http:\\\\127.0.0.1/",
            "http://0x7f000001/",
            "http://127.0.0.1:80@127.0.0.1/",
            "\thttp://127.0.0.1/",
        ] {
            let url = Url::parse(url).unwrap();
            let address: IpAddr = match url.host().unwrap() {
                Host::Ipv4(address) => address.into(),
                Host::Ipv6(address) => address.into(),
                Host::Domain(name) => panic!("{name} was taken for a name"),
            };
            assert!(AddressFilter::default().check(address).is_err(), "{url}");
        }
    }

    #[test]
    fn host_patterns() {
        for (pattern, host, covers) in [
            ("files.registry.example", "files.registry.example", true),
            ("files.registry.example", "FILES.registry.example.", true),
            ("files.registry.example", "x.files.registry.example", false),
            ("*.registry.example", "files.registry.example", true),
            ("*.registry.example", "a.b.registry.example", true),
            ("*.registry.example", "registry.example", false),
            ("*.registry.example", "evilregistry.example", false),
            ("*.registry.example", ".registry.example", false),
            ("", "registry.example", false),
        ] {
            assert_eq!(host_matches(pattern, host), covers, "{pattern} {host}");
        }
    }
}
