//! Names of what tokens are about: issuer, resource, scope.
//!
//! Owns how the URLs of an organisation are written, so that issuer, audience and metadata
//! never differ by a letter. Knows no token.

use std::{fmt, sync::Arc};

use model::{OrgId, VmcpId};
use tidegate_model as model;

/// The authorization server of one organisation (RFC 8414): scheme, host, port, and `/o/{org}`
/// for every organisation but the default one. No final slash, lower-case host, no default port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Issuer {
    /// What stands in front of every path: `https://mcp.example.com`.
    origin: Arc<str>,
    /// Empty, or `/o/{org}`.
    path: Arc<str>,
    org: OrgId,
}

/// The public URL is no plain `http` or `https` URL of a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot be the public URL: write scheme and host, as in `https://mcp.example.com`")]
pub struct BadPublicUrl(String);

impl Issuer {
    /// The issuer of `org` on a gateway that clients reach at `public_url`.
    pub fn new(public_url: &str, org: OrgId) -> Result<Self, BadPublicUrl> {
        let bad = || BadPublicUrl(public_url.to_owned());
        let uri: http::Uri = public_url.parse().map_err(|_| bad())?;
        let scheme = uri.scheme_str().filter(|it| matches!(*it, "http" | "https"));
        let (scheme, authority) = scheme.zip(uri.authority()).ok_or_else(bad)?;
        let rootless = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if !rootless || authority.as_str().contains('@') {
            return Err(bad());
        }
        let default_port = if scheme == "https" { 443 } else { 80 };
        let host = authority.host().to_ascii_lowercase();
        let origin = match authority.port_u16().filter(|port| *port != default_port) {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        };
        let path = if org == OrgId::default_org() { String::new() } else { format!("/o/{org}") };
        Ok(Self { origin: origin.into(), path: path.into(), org })
    }

    /// The organisation it speaks for.
    pub fn org(&self) -> &OrgId {
        &self.org
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What its own paths begin with: empty, or `/o/{org}`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether it is reached over TLS, so that cookies can be kept to it.
    pub fn is_tls(&self) -> bool {
        self.origin.starts_with("https:")
    }

    /// A URL of its own: `endpoint("/oauth/token")`.
    pub fn endpoint(&self, path: &str) -> String {
        format!("{}{}{path}", self.origin, self.path)
    }

    /// The canonical URI of something that tokens are for (RFC 8707), their `aud`.
    pub fn audience(&self, resource: &Resource) -> String {
        match resource {
            Resource::Vmcp(vmcp) => self.endpoint(&format!("/mcp/{vmcp}")),
            Resource::Admin => self.endpoint("/api/v1"),
        }
    }

    /// What a `resource` parameter names; scheme and host in any case, one final slash allowed.
    /// `None` for whatever is not this organisation's.
    pub fn resource(&self, uri: &str) -> Option<Resource> {
        let (scheme, rest) = uri.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let default_port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
        let authority = authority.strip_suffix(default_port).unwrap_or(authority);
        let origin = format!("{scheme}://{authority}").to_ascii_lowercase();
        if origin != *self.origin {
            return None;
        }
        let own = path.strip_prefix(&*self.path)?;
        let own = own.strip_suffix('/').unwrap_or(own);
        if own == "/api/v1" {
            return Some(Resource::Admin);
        }
        VmcpId::new(own.strip_prefix("/mcp/")?).ok().map(Resource::Vmcp)
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// One virtual MCP server.
    Vmcp(VmcpId),
    /// The admin API, with what policies permit there.
    Admin,
}

/// A right that a token carries, beyond which policies decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Using a virtual MCP. Every token for one has it.
    Mcp,
    /// Calling tools that are not read-only, where the virtual MCP asks for more than `mcp`.
    Write,
    /// Calling destructive tools, where the virtual MCP asks for it.
    Destructive,
    /// Calling tools that reach an open world, where the virtual MCP asks for it.
    OpenWorld,
    /// The admin API. Every token for it has it.
    Admin,
    /// A refresh token. Taken and granted for clients that ask; it says nothing of a resource.
    Offline,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 6] =
        [Self::Mcp, Self::Write, Self::Destructive, Self::OpenWorld, Self::Admin, Self::Offline];

    /// Its spelling in requests, tokens and metadata.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mcp => "mcp",
            Self::Write => "mcp:write",
            Self::Destructive => "mcp:destructive",
            Self::OpenWorld => "mcp:open-world",
            Self::Admin => "admin",
            Self::Offline => "offline_access",
        }
    }

    /// What it allows, for the person who is asked.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Mcp => "Use its tools, prompts and resources in your name",
            Self::Write => "Call tools that change something",
            Self::Destructive => "Call tools that delete or overwrite",
            Self::OpenWorld => "Call tools that reach beyond the connected services",
            Self::Admin => "Administer the gateway in your name",
            Self::Offline => "Stay connected until you revoke it",
        }
    }
}

/// A set of scopes, in the order of [`Scope::ALL`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Scopes(u8);

impl Scopes {
    const fn bit(scope: Scope) -> u8 {
        1 << scope as u8
    }

    /// The scopes named in a `scope` parameter; unknown ones are left out (RFC 6749 section 3.3).
    pub fn parse(text: &str) -> Self {
        let of = |word| Scope::ALL.into_iter().find(|scope| scope.name() == word);
        text.split(' ').filter_map(of).collect()
    }

    /// Whether `scope` is among them.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & Self::bit(scope) != 0
    }

    /// Whether all of `other` are among them.
    pub fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those in both.
    #[must_use]
    pub fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those in either.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// All but this one.
    #[must_use]
    pub fn without(self, scope: Scope) -> Self {
        Self(self.0 & !Self::bit(scope))
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | Self::bit(scope)))
    }
}

impl fmt::Display for Scopes {
    /// As in a `scope` parameter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(url: &str, org: &str) -> Issuer {
        Issuer::new(url, OrgId::new(org).unwrap()).unwrap()
    }

    #[test]
    fn urls_have_one_spelling() {
        let default = issuer("HTTPS://MCP.Example.com:443/", "default");
        assert_eq!(default.to_string(), "https://mcp.example.com");
        let vmcp = Resource::Vmcp(VmcpId::new("sales").unwrap());
        assert_eq!(default.audience(&vmcp), "https://mcp.example.com/mcp/sales");
        let acme = issuer("http://127.0.0.1:8787", "acme");
        assert_eq!(acme.to_string(), "http://127.0.0.1:8787/o/acme");
        assert_eq!(acme.audience(&Resource::Admin), "http://127.0.0.1:8787/o/acme/api/v1");
        for bad in ["", "mcp.example.com", "ftp://x", "https://a@b", "https://x/y", "https://x/?q"]
        {
            assert!(Issuer::new(bad, OrgId::default_org()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_resource_is_named_exactly_but_for_case_and_a_final_slash() {
        let of = issuer("https://mcp.example.com", "default");
        let sales = Some(Resource::Vmcp(VmcpId::new("sales").unwrap()));
        for (uri, expected) in [
            ("https://mcp.example.com/mcp/sales", sales.clone()),
            ("HTTPS://MCP.example.com/mcp/sales/", sales.clone()),
            ("https://mcp.example.com:443/mcp/sales", sales),
            ("https://mcp.example.com/api/v1", Some(Resource::Admin)),
            ("http://mcp.example.com/mcp/sales", None),
            ("https://mcp.example.com:8443/mcp/sales", None),
            ("https://mcp.example.com.evil/mcp/sales", None),
            ("https://mcp.example.com/mcp/Sales", None),
            ("https://mcp.example.com/mcp/sales//", None),
            ("https://mcp.example.com/mcp/sales%2F", None),
            ("https://mcp.example.com/mcp/sales?x", None),
            ("https://mcp.example.com/mcp/sales#x", None),
            ("https://mcp.example.com/o/acme/mcp/sales", None),
            ("https://mcp.example.com", None),
            ("", None),
        ] {
            assert_eq!(of.resource(uri), expected, "{uri}");
        }
        let acme = issuer("https://mcp.example.com", "acme");
        assert!(acme.resource("https://mcp.example.com/mcp/sales").is_none());
        assert!(acme.resource("https://mcp.example.com/o/acme/mcp/sales").is_some());
    }

    #[test]
    fn scopes_are_a_set() {
        let scopes = Scopes::parse("mcp:write unknown mcp mcp");
        assert_eq!(scopes.to_string(), "mcp mcp:write");
        assert!(scopes.has(Scope::Write) && !scopes.has(Scope::Admin));
        assert!(scopes.covers(Scopes::parse("mcp")) && !Scopes::parse("mcp").covers(scopes));
        assert!(Scopes::parse("").is_empty());
    }
}
