//! What kind of place an IP address is, and which kinds may be connected to.
//!
//! The list is an allow-list at heart: an IPv6 address that is not known to be global unicast is
//! refused. Addresses that hold another one (IPv4-mapped, NAT64) are judged by that one, and the
//! metadata services of clouds by what they are, wherever their address lies. Sources: IANA's
//! special-purpose address registries (RFC 6890).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of place an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The Internet.
    Public,
    /// A network of one's own: RFC 1918, shared address space, unique local addresses.
    Private,
    /// This machine.
    Loopback,
    /// This link, and the services of clouds that hand out credentials.
    LinkLocal,
    /// Nothing that could be connected to with good reason: multicast, documentation, tunnels.
    Never,
}

/// Which places, besides public ones, may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allowance {
    /// [`Reach::Private`].
    pub private: bool,
    /// [`Reach::Loopback`].
    pub loopback: bool,
    /// [`Reach::LinkLocal`].
    pub link_local: bool,
}

impl Allowance {
    /// Whether `ip` may be connected to.
    #[must_use]
    pub fn admits(self, ip: IpAddr) -> bool {
        match reach(ip) {
            Reach::Public => true,
            Reach::Private => self.private,
            Reach::Loopback => self.loopback,
            Reach::LinkLocal => self.link_local,
            Reach::Never => false,
        }
    }
}

/// What kind of place `ip` is.
#[must_use]
pub fn reach(ip: IpAddr) -> Reach {
    match ip {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => reach_v6(ip),
    }
}

fn reach_v4(ip: Ipv4Addr) -> Reach {
    if METADATA_V4.contains(&ip) {
        return Reach::LinkLocal;
    }
    match ip.octets() {
        [127, ..] => Reach::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Reach::Private,
        [169, 254, ..] => Reach::LinkLocal,
        [0 | 224..=255, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Reach::Never,
        _ => Reach::Public,
    }
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    if let Some(inner) = ip.to_ipv4_mapped() {
        return reach_v4(inner);
    }
    if ip == METADATA_V6 {
        return Reach::LinkLocal;
    }
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Loopback,
        // NAT64: whoever translates it reaches the IPv4 address in it.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            reach_v4(Ipv4Addr::new(a, b, c, d))
        }
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Reach::Private,
        [0xfe80..=0xfebf, ..] => Reach::LinkLocal,
        // Teredo and other protocol assignments, documentation, 6to4, documentation again.
        [0x2001, 0..=0x01ff, ..]
        | [0x2001, 0x0db8, ..]
        | [0x2002, ..]
        | [0x3fff, 0..=0x0fff, ..] => Reach::Never,
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Never,
    }
}

/// Metadata services that do not lie in 169.254/16: Alibaba's, Azure's, Oracle's.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// AWS's, over IPv6.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_the_kind_of_place_that_it_is() {
        for (kind, addresses) in [
            (
                Reach::Public,
                "8.8.8.8 1.1.1.1 172.15.255.255 172.32.0.0 100.63.255.255 100.128.0.0 192.169.0.1 \
                 11.0.0.1 126.255.255.255 128.0.0.1 169.253.255.255 169.255.0.0 223.255.255.255 \
                 2606:4700::1111 2a00:1450::1 2001:4860:4860::8888 ::ffff:8.8.8.8 \
                 64:ff9b::8.8.8.8",
            ),
            (
                Reach::Private,
                "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.1 100.64.0.1 \
                 100.127.255.255 fc00::1 fd12:3456::1 fec0::1 ::ffff:10.0.0.1 64:ff9b::10.0.0.1",
            ),
            (
                Reach::Loopback,
                "127.0.0.1 127.255.255.255 127.0.1.1 ::1 ::ffff:127.0.0.1 ::ffff:7f00:1 \
                 64:ff9b::7f00:1",
            ),
            (
                Reach::LinkLocal,
                "169.254.169.254 169.254.0.1 169.254.255.255 fe80::1 febf::1 100.100.100.200 \
                 168.63.129.16 192.0.0.192 fd00:ec2::254 ::ffff:169.254.169.254 \
                 64:ff9b::a9fe:a9fe",
            ),
            (
                Reach::Never,
                "0.0.0.0 0.1.2.3 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 192.0.0.1 \
                 192.0.2.1 198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9 192.88.99.1 :: \
                 ::127.0.0.1 ::a00:1 ff02::1 2001:db8::1 2001::1 2002:7f00:1::1 3fff::1 100::1 \
                 64:ff9b:1::1 5f00::1 4000::1 fe00::1",
            ),
        ] {
            for address in addresses.split_whitespace() {
                assert_eq!(reach(address.parse().unwrap()), kind, "{address}");
            }
        }
    }

    #[test]
    fn only_public_places_are_allowed_by_themselves() {
        let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
        let nothing = Allowance::default();
        let all = Allowance {
            private: true,
            loopback: true,
            link_local: true,
        };
        for (address, allowance) in [
            (
                "10.0.0.1",
                Allowance {
                    private: true,
                    ..nothing
                },
            ),
            (
                "127.0.0.1",
                Allowance {
                    loopback: true,
                    ..nothing
                },
            ),
            (
                "169.254.169.254",
                Allowance {
                    link_local: true,
                    ..nothing
                },
            ),
        ] {
            let ip = ip(address);
            assert!(!nothing.admits(ip), "{address}");
            assert!(allowance.admits(ip), "{address}");
            for other in ["10.0.0.1", "127.0.0.1", "169.254.169.254"] {
                let other_ip = other.parse().unwrap();
                assert_eq!(allowance.admits(other_ip), other == address, "{other}");
            }
        }
        assert!(nothing.admits(ip("8.8.8.8")));
        assert!(!all.admits(ip("0.0.0.0")) && !all.admits(ip("224.0.0.1")));
    }
}
