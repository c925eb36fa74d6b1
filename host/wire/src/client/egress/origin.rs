//! Where a URL points: scheme, host and port, in one comparable form.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use http::Uri;

/// Why a URL cannot be dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Not a URL at all.
    #[error("`{0}` is not a URL")]
    Malformed(String),
    /// Neither `http` nor `https`.
    #[error("`{0}` must start with `https://` or `http://`")]
    Scheme(String),
    /// A user name or password in the URL.
    #[error("the URL must not hold a user name or password: use a credential")]
    UserInfo,
    /// No host, or one with characters that no host has.
    #[error("`{0}` holds no valid host name")]
    Host(String),
    /// A reference that leads away from the server that gave it.
    #[error("it leads to another origin, {0}, which is not followed")]
    OtherOrigin(String),
}

/// Scheme, host (lower case) and port of a URL; what a credential is bound to.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    tls: bool,
    host: Arc<str>,
    port: u16,
}

impl Origin {
    /// Reads the origin and the path with query of `url`.
    ///
    /// Only `http` and `https`; no user information, no IPv6 zone, no percent-encoded host.
    pub fn split(url: &str) -> Result<(Self, http::uri::PathAndQuery), BadUrl> {
        let shown = || url.chars().take(200).collect::<String>();
        if url.len() > 8 * 1024 || url.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(BadUrl::Malformed(shown()));
        }
        let uri: Uri = url.parse().map_err(|_| BadUrl::Malformed(shown()))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(BadUrl::Scheme(shown())),
        };
        let authority = uri.authority().ok_or_else(|| BadUrl::Host(shown()))?;
        if authority.as_str().contains('@') {
            return Err(BadUrl::UserInfo);
        }
        let host = authority.host().to_ascii_lowercase();
        if !is_host(&host) {
            return Err(BadUrl::Host(shown()));
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str().len() != host.len() => return Err(BadUrl::Host(shown())),
            None => Self::default_port(tls),
        };
        let path = uri.path_and_query().cloned();
        let path = path.unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
        Ok((Self { tls, host: host.into(), port }, path))
    }

    /// Whether the scheme is `https`.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host in lower case, without the brackets of an IPv6 literal.
    pub fn host(&self) -> &str {
        self.host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(&self.host)
    }

    /// The port, the scheme's own where the URL names none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, where the host is a literal one.
    pub fn literal(&self) -> Option<IpAddr> {
        match self.host.strip_prefix('[') {
            Some(_) => self.host().parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => self.host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        }
    }

    /// The value of the `Host` header.
    pub fn authority(&self) -> String {
        if self.port == Self::default_port(self.tls) {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn default_port(tls: bool) -> u16 {
        if tls { 443 } else { 80 }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().is_ok();
    }
    !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        && !host.starts_with(['-', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split() {
        for (url, shown, path) in [
            ("https://Example.COM/mcp?x=1", "https://example.com", "/mcp?x=1"),
            ("http://127.0.0.1:80/", "http://127.0.0.1", "/"),
            ("https://[::1]:8443", "https://[::1]:8443", "/"),
        ] {
            let (origin, rest) = Origin::split(url).unwrap();
            assert_eq!((origin.to_string().as_str(), rest.as_str()), (shown, path), "{url}");
        }
        let (v6, _) = Origin::split("http://[::1]/").unwrap();
        assert_eq!(v6.host(), "::1");
        assert!(v6.literal().is_some());
    }

    #[test]
    fn bad_urls_are_refused() {
        for url in [
            "",
            "example.com",
            "ftp://example.com/",
            "https://user:pw@example.com/",
            "https://user@example.com/",
            "https:///mcp",
            "https://exa mple.com/",
            "https://exa%6dple.com/",
            "http://[fe80::1%25eth0]/",
            "http://[::1/",
            "http://example.com:99999/",
            "http://example.com:/",
            "http://-x/",
            "file:///etc/passwd",
            "https://example.com/\r\nHost: evil",
        ] {
            assert!(Origin::split(url).is_err(), "{url:?}");
        }
    }
}
