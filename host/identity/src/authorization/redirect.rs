//! Where an authorization answer may go: redirect URIs.
//!
//! Owns which of them are taken at all (`https`; loopback `http`; private-use schemes of native
//! apps) and when two are the same: byte for byte, but for the port of a loopback one
//! (RFC 8252 section 7.3, RFC 9700 section 4.1). Nothing is normalised: what a browser could
//! read otherwise than we do is refused. Knows no client.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use url::form_urlencoded;

/// The longest one.
const MAX: usize = 1_024;

/// Parameters of our answers, which a redirect URI may not bring along itself.
const OURS: [&str; 6] = ["code", "state", "iss", "error", "error_description", "response"];

/// Why a redirect URI is not taken. The texts name the rule and never the URI: it may hold
/// what must not reach a page or a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRedirect {
    /// Empty or too long.
    #[error("a redirect URI has 1 to 1024 characters")]
    Length,
    /// White space, control characters, backslashes, wildcards, letters beyond ASCII.
    #[error(
        "a redirect URI holds only visible ASCII characters, and no `\\`, `*`, quotes, angle or curly brackets: write others percent-encoded, and host names in punycode"
    )]
    Character,
    /// A percent sign without two digits, or one that hides a control character.
    #[error(
        "a percent-encoding in a redirect URI is two hexadecimal digits and no control character"
    )]
    Encoding,
    /// A fragment.
    #[error("a redirect URI has no fragment")]
    Fragment,
    /// No scheme that answers may go to.
    #[error(
        "a redirect URI begins with `https://`, with `http://` and a loopback host, or with a private-use scheme that has a dot, such as `com.example.app:/`"
    )]
    Scheme,
    /// Plain `http` to another machine.
    #[error("a redirect URI with `http` leads to `127.0.0.1`, `[::1]` or `localhost`: use `https`")]
    Plain,
    /// A user name or password.
    #[error("a redirect URI holds no user name or password")]
    UserInfo,
    /// No host, or one that can be read in several ways.
    #[error(
        "the host of a redirect URI is a name in lower case without final dot, or an address in its usual form"
    )]
    Host,
    /// No port.
    #[error("the port of a redirect URI is a number from 1 to 65535")]
    Port,
    /// Dot segments or hidden separators.
    #[error("the path of a redirect URI has no `.` or `..` segment and no encoded slash")]
    Path,
    /// A parameter that the answer itself has.
    #[error(
        "the query of a redirect URI has no parameter of the answer, such as `code` or `state`"
    )]
    Query,
}

/// What sort of place it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// A web site, over TLS.
    Web,
    /// A program on the person's own machine, on any port.
    Loopback,
    /// An app that has claimed a scheme of its own.
    App,
}

/// A redirect URI that has been checked.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RedirectUri {
    text: Arc<str>,
    place: Place,
    /// The host as written; the scheme of an [`Place::App`].
    host: Arc<str>,
    /// Where `:port` stands in the text; empty where there is none.
    port: (usize, usize),
}

impl RedirectUri {
    /// Checks one.
    pub fn parse(text: &str) -> Result<Self, BadRedirect> {
        check_characters(text)?;
        let (scheme, rest) = text.split_once(':').ok_or(BadRedirect::Scheme)?;
        let (place, host, port) = match scheme {
            "https" => {
                let web = Authority::read(rest)?;
                (Place::Web, web.host, web.port)
            }
            "http" => {
                let web = Authority::read(rest)?;
                if !matches!(web.host, "127.0.0.1" | "[::1]" | "localhost") {
                    return Err(BadRedirect::Plain);
                }
                (Place::Loopback, web.host, web.port)
            }
            _ => {
                check_app(scheme, rest)?;
                (Place::App, scheme, "")
            }
        };
        check_path(rest)?;
        let start = text.len() - rest.len() + 2 + host.len();
        let port = if port.is_empty() { (start, start) } else { (start, start + 1 + port.len()) };
        Ok(Self { place, host: host.into(), port, text: text.into() })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What sort of place it is.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Whether an answer asked for at `asked` may go there because `self` is registered.
    pub fn matches(&self, asked: &Self) -> bool {
        if self.text == asked.text {
            return true;
        }
        self.place == Place::Loopback
            && asked.place == Place::Loopback
            && self.around_port().is_some()
            && self.around_port() == asked.around_port()
    }

    /// What stands before and after the port.
    fn around_port(&self) -> Option<(&str, &str)> {
        self.text.get(..self.port.0).zip(self.text.get(self.port.1..))
    }

    /// What a person should look at before they agree: host and unusual port of a web site, the
    /// host of a program on their machine, the scheme of an app.
    pub fn host_for_people(&self) -> String {
        match (self.place, self.text.get(self.port.0..self.port.1)) {
            (Place::Web, Some(port)) if port != ":443" => format!("{}{port}", self.host),
            (Place::App, _) => format!("{}:", self.host),
            _ => self.host.to_string(),
        }
    }

    /// The source expression of a content security policy for it: its origin, or the scheme of
    /// an app.
    pub fn csp_source(&self) -> String {
        let port = self.text.get(self.port.0..self.port.1).unwrap_or_default();
        match self.place {
            Place::Web => format!("https://{}{port}", self.host),
            Place::Loopback => format!("http://{}{port}", self.host),
            Place::App => format!("{}:", self.host),
        }
    }

    /// The URI with these parameters added to its query.
    pub fn with_parameters(&self, parameters: &[(&str, &str)]) -> String {
        let mut out = self.text.to_string();
        let joint = match out.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some((_, query)) if query.ends_with('&') => "",
            Some(_) => "&",
        };
        out.push_str(joint);
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters);
        out.push_str(&query.finish());
        out
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// Refuses what no URI of ours holds, wherever it stands.
pub(super) fn check_characters(text: &str) -> Result<(), BadRedirect> {
    if text.is_empty() || text.len() > MAX {
        return Err(BadRedirect::Length);
    }
    let is_odd = |b: u8| !b.is_ascii_graphic() || br#"\*"<>^`{|}'"#.contains(&b);
    if text.bytes().any(is_odd) {
        return Err(BadRedirect::Character);
    }
    if text.contains('#') {
        return Err(BadRedirect::Fragment);
    }
    for part in text.split('%').skip(1) {
        let digits = part.get(..2).filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        if byte.is_none_or(|byte| byte < 0x20 || byte == 0x7f) {
            return Err(BadRedirect::Encoding);
        }
    }
    Ok(())
}

/// Host and port of what follows `https:` or `http:`.
pub(super) struct Authority<'a> {
    /// As written, in lower case.
    pub(super) host: &'a str,
    /// Without its colon; empty where there is none.
    pub(super) port: &'a str,
    /// Path and query.
    pub(super) rest: &'a str,
}

impl<'a> Authority<'a> {
    pub(super) fn read(after_scheme: &'a str) -> Result<Self, BadRedirect> {
        let text = after_scheme.strip_prefix("//").ok_or(BadRedirect::Host)?;
        let end = text.find(['/', '?']).unwrap_or(text.len());
        let (authority, rest) = text.split_at(end);
        if authority.contains('@') {
            return Err(BadRedirect::UserInfo);
        }
        let after_literal = authority.rfind(']').map_or(0, |at| at + 1);
        let colon = authority.get(after_literal..).and_then(|tail| tail.find(':'));
        let (host, port) = match colon {
            None => (authority, ""),
            Some(at) => {
                let (host, port) = authority.split_at(after_literal + at);
                let port = port.strip_prefix(':').unwrap_or(port);
                let is_number = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0');
                if !is_number || port.parse::<u16>().is_err() {
                    return Err(BadRedirect::Port);
                }
                (host, port)
            }
        };
        if !is_host(host) {
            return Err(BadRedirect::Host);
        }
        Ok(Self { host, port, rest })
    }
}

/// Names whose every reader sees the same one; addresses in their one usual form.
fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().is_ok_and(|address| address.to_string() == inner);
    }
    let is_label = |label: &str| {
        let plain =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.len() > 253 || !host.split('.').all(is_label) {
        return false;
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x");
    let is_number = last.bytes().all(|b| b.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    // A browser reads such a host as an IPv4 address, in whatever base.
    !is_number || host.parse::<Ipv4Addr>().is_ok_and(|address| address.to_string() == host)
}

/// Schemes of well-known MCP clients that are no domain name turned around, as RFC 8252 section
/// 7.1 asks.
const KNOWN_APPS: [&str; 5] = ["cursor", "vscode", "vscode-insiders", "windsurf", "zed"];

/// A private-use scheme: a reversed domain name or a known one, so that `javascript:` and its
/// kin are none.
fn check_app(scheme: &str, rest: &str) -> Result<(), BadRedirect> {
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+')
        })
        && (scheme.contains('.') || KNOWN_APPS.contains(&scheme))
        && scheme.split('.').all(|part| !part.is_empty());
    if !is_scheme || !rest.starts_with('/') {
        return Err(BadRedirect::Scheme);
    }
    let authority = rest.strip_prefix("//").unwrap_or_default();
    if authority.split(['/', '?']).next().is_some_and(|it| it.contains('@')) {
        return Err(BadRedirect::UserInfo);
    }
    Ok(())
}

/// Path and query of what follows the scheme.
pub(super) fn check_path(after_scheme: &str) -> Result<(), BadRedirect> {
    let (path, query) = after_scheme.split_once('?').unwrap_or((after_scheme, ""));
    let path = path.to_ascii_lowercase();
    let is_hidden = path.contains("%2f") || path.contains("%5c");
    let is_dots =
        path.split('/').any(|segment| matches!(&*segment.replace("%2e", "."), "." | ".."));
    if is_hidden || is_dots {
        return Err(BadRedirect::Path);
    }
    let is_ours = |name: &str| OURS.contains(&name);
    if form_urlencoded::parse(query.as_bytes()).any(|(name, _)| is_ours(&name)) {
        return Err(BadRedirect::Query);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
