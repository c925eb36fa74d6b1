//! Authorities and origins, read strictly: what a browser would not send is refused.

use std::net::{IpAddr, Ipv6Addr};

/// Text that is no `host[:port]` or no `scheme://host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither `host`, `host:port` nor `scheme://host:port`")]
pub struct BadAuthority(pub String);

impl BadAuthority {
    fn of(text: &str) -> Self {
        Self(text.chars().take(80).collect())
    }
}

/// A host in lower case, and a port where one was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    pub(super) host: Host,
    pub(super) port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Name(String),
    Address(IpAddr),
}

/// Scheme, host and port of a web page; a port that the scheme implies may be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    authority: Authority,
}

impl Host {
    pub(super) fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::Address(address) => address.is_loopback(),
        }
    }
}

impl Authority {
    /// Reads `host[:port]`; no user info, path, query, fragment or escape.
    pub(super) fn read(text: &str) -> Result<Self, BadAuthority> {
        let bad = || BadAuthority::of(text);
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (inside, after) = rest.split_once(']').ok_or_else(bad)?;
            let address: Ipv6Addr = inside.parse().map_err(|_| bad())?;
            (Host::Address(address.into()), after)
        } else {
            let end = text.find(':').unwrap_or(text.len());
            let (name, after) = text.split_at(end);
            let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
            if name.is_empty() || !name.bytes().all(fits) {
                return Err(bad());
            }
            let host = match name.parse::<IpAddr>() {
                Ok(address) => Host::Address(address),
                Err(_) => Host::Name(name.to_ascii_lowercase()),
            };
            (host, after)
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                Some(digits.parse().map_err(|_| bad())?)
            }
            _ => return Err(bad()),
        };
        Ok(Self { host, port })
    }
}

impl Origin {
    /// Reads `scheme://host[:port]`, with nothing after it; `null` is none.
    pub fn read(text: &str) -> Result<Self, BadAuthority> {
        let bad = || BadAuthority::of(text);
        let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        if scheme.is_empty() || !scheme.bytes().all(fits) {
            return Err(bad());
        }
        let scheme = scheme.to_ascii_lowercase();
        let mut authority = Authority::read(rest).map_err(|_| bad())?;
        authority.port = authority.port.or(match scheme.as_str() {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        });
        Ok(Self { scheme, authority })
    }

    pub(super) const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Whether it is a page of this machine, over HTTP or HTTPS.
    pub(super) fn is_loopback(&self) -> bool {
        matches!(self.scheme.as_str(), "http" | "https") && self.authority.host.is_loopback()
    }
}
