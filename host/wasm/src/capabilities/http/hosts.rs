//! Which hosts a binding may reach, as an administrator writes them.
//!
//! Only names are judged here; what a name leads to is checked when it is dialled.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use tidegate_wire::client::egress::Origin;

/// Not a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no host: write `api.example.com`, `api.example.com:8443` or `*.example.org`")]
pub struct BadHost(pub String);

/// One host, or all below one name; with a port, or with the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    name: Name,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Host(Box<str>),
    Address(IpAddr),
    /// What the host must end with, the dot included.
    Below(Box<str>),
}

/// A list of hosts; the empty one allows none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(Arc<[HostPattern]>);

impl HostPattern {
    /// Whether `origin` is one of these.
    pub fn matches(&self, origin: &Origin) -> bool {
        let default = if origin.is_tls() { 443 } else { 80 };
        origin.port() == self.port.unwrap_or(default)
            && match &self.name {
                Name::Host(host) => **host == *origin.host(),
                Name::Address(address) => origin.literal() == Some(*address),
                Name::Below(end) => origin.literal().is_none() && is_below(origin.host(), end),
            }
    }

    /// Whether whatever `other` matches is matched by this one as well.
    pub fn covers(&self, other: &Self) -> bool {
        self.port == other.port
            && match (&self.name, &other.name) {
                (Name::Below(end), Name::Host(host)) => is_below(host, end),
                (Name::Below(end), Name::Below(other)) => other.ends_with(&**end),
                (one, other) => one == other,
            }
    }
}

fn is_below(host: &str, end: &str) -> bool {
    host.len() > end.len() && host.ends_with(end)
}

impl FromStr for HostPattern {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        let bad = || BadHost(text.chars().take(200).collect());
        // A path, a query or user information would survive the URL parser below.
        if text.contains(['/', '?', '#', '@', '\\']) {
            return Err(bad());
        }
        let (rest, is_below) = match text.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (origin, _) = Origin::split(&format!("https://{rest}/")).map_err(|_| bad())?;
        let after_brackets = rest.rsplit(']').next().unwrap_or(rest);
        let port = after_brackets.contains(':').then(|| origin.port());
        let name = match origin.literal() {
            Some(_) if is_below => return Err(bad()),
            Some(address) => Name::Address(address),
            None if is_below => Name::Below(format!(".{}", origin.host()).into()),
            None => Name::Host(origin.host().into()),
        };
        Ok(Self { name, port })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Host(host) => f.write_str(host)?,
            Name::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            Name::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Name::Below(end) => write!(f, "*{end}")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl Hosts {
    /// Reads a list; the error names the first that is no host.
    pub fn parse<T: AsRef<str>>(hosts: impl IntoIterator<Item = T>) -> Result<Self, BadHost> {
        hosts.into_iter().map(|host| host.as_ref().parse()).collect::<Result<_, _>>().map(Self)
    }

    /// Whether `origin` is among them.
    pub fn allows(&self, origin: &Origin) -> bool {
        self.0.iter().any(|pattern| pattern.matches(origin))
    }

    /// The first that `whole` does not allow, where there is one: the hosts of a credential
    /// must all be hosts of its binding.
    pub fn outside(&self, whole: &Self) -> Option<&HostPattern> {
        self.0.iter().find(|pattern| !whole.0.iter().any(|other| other.covers(pattern)))
    }

    /// The list as it stands.
    pub fn patterns(&self) -> &[HostPattern] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, url: &str) -> bool {
        let (origin, _) = Origin::split(url).unwrap();
        Hosts::parse([pattern]).unwrap().allows(&origin)
    }

    #[test]
    fn only_what_is_named_is_allowed() {
        for (pattern, url, expected) in [
            ("api.example.com", "https://api.example.com/x", true),
            ("API.example.com", "https://api.EXAMPLE.com/", true),
            ("api.example.com", "http://api.example.com/", true),
            ("api.example.com", "https://api.example.com:8443/", false),
            ("api.example.com", "https://api.example.com./", false),
            ("api.example.com", "https://example.com/", false),
            ("api.example.com", "https://evil-api.example.com/", false),
            ("api.example.com", "https://api.example.com.evil.org/", false),
            ("api.example.com:8443", "https://api.example.com:8443/", true),
            ("api.example.com:8443", "https://api.example.com/", false),
            ("api.example.com:443", "https://api.example.com/", true),
            ("*.example.org", "https://a.example.org/", true),
            ("*.example.org", "https://a.b.example.org/", true),
            ("*.example.org", "https://example.org/", false),
            ("*.example.org", "https://.example.org/", false),
            ("*.example.org", "https://evilexample.org/", false),
            ("*.example.org:81", "http://a.example.org:81/", true),
            ("127.0.0.1", "http://127.0.0.1/", true),
            ("127.0.0.1", "http://127.1/", false),
            ("127.0.0.1:80", "http://127.0.0.1:81/", false),
            ("[::1]:8080", "http://[0:0::1]:8080/", true),
            ("[::1]", "http://[::1]/", true),
            ("*.0.1", "http://10.0.0.1/", false),
        ] {
            if let Ok((origin, _)) = Origin::split(url) {
                let hosts = Hosts::parse([pattern]).unwrap();
                assert_eq!(hosts.allows(&origin), expected, "{pattern} {url}");
            } else {
                assert!(!expected, "{url}");
            }
        }
        assert!(!Hosts::default().allows(&Origin::split("https://a.b/").unwrap().0));
        assert!(allows("localhost:1", "http://localhost:1/"));
    }

    #[test]
    fn what_is_no_host_is_refused_by_name() {
        for text in [
            "",
            "*",
            "*.",
            "*.*.org",
            "a.*.org",
            "https://a.org",
            "a.org/x",
            "a.org?x",
            "u@a.org",
            "a b",
            "a.org:",
            "a.org:99999",
            "*.127.0.0.1",
            "[::1",
            "a\r\nb",
            "a\\b",
            "-a",
        ] {
            let error = text.parse::<HostPattern>().unwrap_err();
            assert_eq!(error.0, text);
        }
    }

    #[test]
    fn lists_are_compared() {
        let whole = Hosts::parse(["*.example.org", "a.com:1", "10.0.0.1"]).unwrap();
        for (host, inside) in [
            ("x.example.org", true),
            ("*.x.example.org", true),
            ("*.example.org", true),
            ("example.org", false),
            ("x.example.org:1", false),
            ("a.com:1", true),
            ("a.com", false),
            ("10.0.0.1", true),
        ] {
            let part = Hosts::parse([host]).unwrap();
            assert_eq!(part.outside(&whole).is_none(), inside, "{host}");
            assert_eq!(part.patterns()[0].to_string(), host);
        }
    }
}
