//! Which hosts and pages may speak to a listener: the answer to DNS rebinding.
//!
//! Host and Origin are judged each for itself. Only the names a listener was given count,
//! and on a loopback listener the names of the machine itself.

use http::{HeaderMap, HeaderName, StatusCode, header, request::Parts};

use super::{BadAuthority, Origin, Rejection, origin::Authority};
use crate::mcp::code;

/// Where a listener can be reached from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// From this machine only; `localhost` and loopback addresses count as its names.
    Loopback,
    /// From elsewhere too; only names it was given count.
    Public,
}

/// The names and pages of one listener.
#[derive(Debug, Clone)]
pub struct HostPolicy {
    listener: Listener,
    hosts: Vec<Authority>,
    origins: Vec<Origin>,
}

impl HostPolicy {
    /// A policy that knows no name yet.
    pub const fn new(listener: Listener) -> Self {
        Self { listener, hosts: Vec::new(), origins: Vec::new() }
    }

    /// Adds a name: `host`, at any port, or `host:port`, at that port only.
    pub fn with_host(mut self, host: &str) -> Result<Self, BadAuthority> {
        self.hosts.push(Authority::read(host)?);
        Ok(self)
    }

    /// Adds a page: `scheme://host[:port]`.
    pub fn with_origin(mut self, origin: &str) -> Result<Self, BadAuthority> {
        self.origins.push(Origin::read(origin)?);
        Ok(self)
    }

    /// Adds the gateway's own address, `scheme://host[:port]` with or without a path: its
    /// host, at any port, and its pages.
    pub fn with_public_url(mut self, url: &str) -> Result<Self, BadAuthority> {
        let end = url.find("://").map(|at| at + 3).unwrap_or_default();
        let path = url.get(end..).and_then(|rest| rest.find('/')).map(|at| end + at);
        let origin = Origin::read(url.get(..path.unwrap_or(url.len())).unwrap_or(url))?;
        self.hosts.push(Authority { host: origin.authority().host.clone(), port: None });
        self.origins.push(origin);
        Ok(self)
    }

    /// Refuses a request whose Host or Origin is not ours: 400 if malformed, else 403.
    pub fn check(&self, parts: &Parts) -> Result<(), Rejection> {
        self.check_host(parts)?;
        match once(&parts.headers, &header::ORIGIN)? {
            None => Ok(()),
            Some(text) if Origin::read(text).is_ok_and(|origin| self.lets(&origin)) => Ok(()),
            Some(_) => Err(forbidden("requests from this web origin are not allowed")),
        }
    }

    /// Refuses a request whose Host is not ours; for what pages from anywhere may read.
    pub fn check_host(&self, parts: &Parts) -> Result<(), Rejection> {
        let named = once(&parts.headers, &header::HOST)?.map(authority).transpose()?;
        let target = parts.uri.authority().map(|target| authority(target.as_str())).transpose()?;
        let host = match (&named, &target) {
            (Some(named), Some(target)) if named != target => {
                return Err(bad("the `Host` header and the request target differ"));
            }
            (Some(host), _) | (None, Some(host)) => host,
            (None, None) => return Err(bad("the `Host` header is missing")),
        };
        if self.knows(host) { Ok(()) } else { Err(forbidden("this host name is not served here")) }
    }

    fn knows(&self, host: &Authority) -> bool {
        let is_ours = |ours: &Authority| {
            ours.host == host.host && (ours.port.is_none() || ours.port == host.port)
        };
        (self.listener == Listener::Loopback && host.host.is_loopback())
            || self.hosts.iter().any(is_ours)
    }

    fn lets(&self, origin: &Origin) -> bool {
        (self.listener == Listener::Loopback && origin.is_loopback())
            || self.origins.contains(origin)
    }
}

fn once<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Rejection> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(bad("`Host` and `Origin` must not be repeated"));
    }
    value.to_str().map(Some).map_err(|_| bad("`Host` and `Origin` must be plain ascii"))
}

fn authority(text: &str) -> Result<Authority, Rejection> {
    Authority::read(text).map_err(|_| bad("the host name is malformed"))
}

fn bad(message: &'static str) -> Rejection {
    Rejection::invalid(message)
}

fn forbidden(message: &'static str) -> Rejection {
    Rejection::new(StatusCode::FORBIDDEN, code::INVALID_REQUEST, message)
}
