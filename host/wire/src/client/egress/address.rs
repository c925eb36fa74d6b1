//! Which addresses may be dialled.
//!
//! Only globally reachable unicast addresses, unless an administrator said otherwise for one
//! connector. The ranges are those of the IANA special-purpose registries; an address that
//! embeds an IPv4 one (mapped, NAT64, 6to4, Teredo) is refused as such or judged by what it
//! embeds. Knows nothing of names: whoever resolved them asks here for every answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What one connector may reach beyond the public internet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct AddressPolicy {
    /// `127.0.0.0/8` and `::1`.
    pub loopback: bool,
    /// RFC 1918, `100.64.0.0/10` and `fc00::/7`; never link-local, where clouds keep
    /// their metadata services.
    pub private: bool,
    /// Host names (lower case, as in the URL) whose addresses are taken as they come,
    /// multicast and the unspecified address excepted.
    pub hosts: Vec<String>,
    /// Addresses that are taken whatever leads to them, multicast and the unspecified address
    /// excepted.
    pub addresses: Vec<IpAddr>,
    /// Plain `http` to addresses of the public internet.
    pub plain_http: bool,
}

/// What kind of address it is, as far as reaching it is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Anyone on the internet has it in common.
    Global,
    /// This machine.
    Loopback,
    /// A private network.
    Private,
    /// Link-local, reserved, documentation, translation and tunnelling ranges.
    Special,
    /// Multicast, broadcast or unspecified: no connection makes sense.
    Never,
}

impl AddressPolicy {
    /// Whether `address`, which `host` resolved to or is, may be dialled.
    pub fn permits(&self, host: &str, address: IpAddr) -> bool {
        match Reach::of(address) {
            Reach::Global => true,
            Reach::Never => false,
            Reach::Loopback if self.loopback => true,
            Reach::Private if self.private => true,
            _ => {
                self.hosts.iter().any(|allowed| allowed == host)
                    || self.addresses.contains(&address)
            }
        }
    }
}

impl Reach {
    /// Sorts an address into its kind.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => of_v4(v4),
            IpAddr::V6(v6) => of_v6(v6),
        }
    }
}

fn of_v4(address: Ipv4Addr) -> Reach {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        _ if address.is_unspecified() || address.is_broadcast() || address.is_multicast() => {
            Reach::Never
        }
        (127, ..) => Reach::Loopback,
        (10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Reach::Private,
        (0, ..)
        | (169, 254, _)
        | (192, 0, 0 | 2)
        | (192, 31, 196)
        | (192, 52, 193)
        | (192, 88, 99)
        | (192, 175, 48)
        | (198, 18..=19, _)
        | (198, 51, 100)
        | (203, 0, 113)
        | (240..=255, ..) => Reach::Special,
        _ => Reach::Global,
    }
}

fn of_v6(address: Ipv6Addr) -> Reach {
    let [a, b, c, d, e, f, ..] = address.segments();
    match (a, b) {
        _ if address.is_unspecified() || address.is_multicast() => Reach::Never,
        _ if address.is_loopback() => Reach::Loopback,
        // ::ffff:0:0/96 is an IPv4 address in other clothes, and is judged as one.
        (0, 0) if (c, d, e, f) == (0, 0, 0, 0xffff) => {
            address.to_ipv4_mapped().map_or(Reach::Special, of_v4)
        }
        (0xfc00..=0xfdff, _) => Reach::Private,
        // 2001::/23 (Teredo, ORCHID, benchmarking), documentation, 6to4.
        (0x2001, 0..=0x01ff | 0x0db8) | (0x2002, _) | (0x3fff, 0..=0x0fff) => Reach::Special,
        // Only 2000::/3 has ever been given out as global unicast; that leaves out ::/96,
        // 64:ff9b::/96, 100::/64, fe80::/10, fec0::/10 and all that is reserved.
        (0x2000..=0x3fff, _) => Reach::Global,
        _ => Reach::Special,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(text: &str) -> Reach {
        Reach::of(text.parse().unwrap())
    }

    #[test]
    fn addresses_are_sorted() {
        for (kind, addresses) in [
            (
                Reach::Global,
                &[
                    "1.1.1.1",
                    "8.8.8.8",
                    "172.32.0.1",
                    "100.128.0.1",
                    "198.20.0.1",
                    "2606:4700::1111",
                    "2a00::1",
                    "::ffff:1.1.1.1",
                    "223.255.255.255",
                ][..],
            ),
            (Reach::Loopback, &["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1"]),
            (
                Reach::Private,
                &[
                    "10.0.0.1",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.1.1",
                    "100.64.0.1",
                    "100.127.255.255",
                    "fc00::1",
                    "fdff::1",
                    "::ffff:10.1.2.3",
                ],
            ),
            (
                Reach::Special,
                &[
                    "0.1.2.3",
                    "169.254.169.254",
                    "192.0.0.8",
                    "192.0.2.1",
                    "192.88.99.1",
                    "198.18.0.1",
                    "198.51.100.7",
                    "203.0.113.9",
                    "240.0.0.1",
                    "fe80::1",
                    "fec0::1",
                    "64:ff9b::7f00:1",
                    "64:ff9b:1::1",
                    "2002:7f00:1::",
                    "2001::1",
                    "2001:db8::1",
                    "100::1",
                    "::7f00:1",
                    "::127.0.0.1",
                    "3fff::1",
                    "4000::1",
                    "::ffff:169.254.169.254",
                    "::ffff:0:127.0.0.1",
                ],
            ),
            (
                Reach::Never,
                &[
                    "0.0.0.0",
                    "255.255.255.255",
                    "224.0.0.1",
                    "239.1.1.1",
                    "::",
                    "ff02::1",
                    "::ffff:0.0.0.0",
                ],
            ),
        ] {
            for address in addresses {
                assert_eq!(reach(address), kind, "{address}");
            }
        }
    }

    #[test]
    fn allowances_open_only_what_they_name() {
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        let none = AddressPolicy::default();
        let loopback = AddressPolicy { loopback: true, ..AddressPolicy::default() };
        let private = AddressPolicy { private: true, ..AddressPolicy::default() };
        let named =
            AddressPolicy { hosts: vec!["meta.internal".into()], ..AddressPolicy::default() };
        let listed = AddressPolicy {
            addresses: vec![at("10.0.0.5"), at("0.0.0.0")],
            ..AddressPolicy::default()
        };
        for (policy, host, address, expected) in [
            (&listed, "x", "10.0.0.5", true),
            (&listed, "x", "10.0.0.6", false),
            (&listed, "x", "127.0.0.1", false),
            (&listed, "x", "0.0.0.0", false),
            (&none, "x", "1.1.1.1", true),
            (&none, "x", "127.0.0.1", false),
            (&loopback, "x", "127.0.0.1", true),
            (&loopback, "x", "10.0.0.1", false),
            (&private, "x", "10.0.0.1", true),
            (&private, "x", "127.0.0.1", false),
            (&private, "x", "169.254.169.254", false),
            (&named, "meta.internal", "169.254.169.254", true),
            (&named, "other.internal", "169.254.169.254", false),
            (&named, "meta.internal", "0.0.0.0", false),
        ] {
            assert_eq!(policy.permits(host, at(address)), expected, "{host} {address}");
        }
    }
}
