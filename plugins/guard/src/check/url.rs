//! URLs whose host is one of those allowed.
//!
//! Stricter than any browser: what two readers could take for different hosts is refused, not
//! interpreted. Where a name leads is not known here; that is the business of whoever dials.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

mod punycode;

/// What is allowed.
#[derive(Debug)]
pub(crate) struct Allowed<'a> {
    /// `example.com`, `*.example.com`, `example.com:8443`, `example.com:*`, `*`.
    pub(crate) hosts: &'a [String],
    /// `https` and `http` where empty.
    pub(crate) schemes: &'a [String],
    /// Whether loopback and private addresses may be named.
    pub(crate) private: bool,
}

/// A host and its port as everybody reads them.
#[derive(Debug, PartialEq, Eq)]
struct Authority {
    host: Host,
    port: u16,
}

#[derive(Debug, PartialEq, Eq)]
enum Host {
    Name(String),
    Address(IpAddr),
}

/// Whether `url` leads to an allowed host; the error says what it must be.
pub(crate) fn leads_to(url: &str, allowed: &Allowed<'_>) -> Result<(), String> {
    let (scheme, authority) =
        read(url).ok_or("must be a plain absolute URL: scheme, host (in ASCII), path")?;
    let usual = ["https".to_owned(), "http".to_owned()];
    let schemes = if allowed.schemes.is_empty() { &usual } else { allowed.schemes };
    if !schemes.contains(&scheme) {
        return Err(format!("must be a URL with scheme {}", schemes.join(" or ")));
    }
    if !allowed.private && authority.host.is_private() {
        return Err("must not lead to a private address".to_owned());
    }
    let default = default_port(&scheme);
    if allowed.hosts.iter().any(|pattern| fits(pattern, &authority, default)) {
        return Ok(());
    }
    Err(format!("must be a URL to {}", allowed.hosts.join(", ")))
}

fn default_port(scheme: &str) -> u16 {
    match scheme {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        "ftp" => 21,
        _ => 0,
    }
}

fn read(url: &str) -> Option<(String, Authority)> {
    // Blanks, line ends and backslashes are dropped or turned round by some readers.
    if url.chars().any(|one| one.is_whitespace() || one.is_control() || one == '\\') {
        return None;
    }
    let (scheme, rest) = url.split_once(':')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if !scheme.as_bytes().first()?.is_ascii_alphabetic() || !scheme.bytes().all(plain) {
        return None;
    }
    let scheme = scheme.to_ascii_lowercase();
    let rest = rest.strip_prefix("//")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = rest.get(..end)?;
    // Readers differ on which `@` counts, and nobody needs a password here.
    // What readers make of letters of other scripts differs: `①②⑦.⓪.⓪.①` is 127.0.0.1 to some.
    if authority.contains(['@', '%']) || !authority.is_ascii() {
        return None;
    }
    let authority = read_authority(authority, default_port(&scheme))?;
    Some((scheme, authority))
}

fn read_authority(text: &str, default: u16) -> Option<Authority> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        let port = if after.is_empty() { default } else { port(after.strip_prefix(':')?)? };
        // `::ffff:127.0.0.1` is 127.0.0.1.
        let host = Host::Address(IpAddr::V6(address).to_canonical());
        return Some(Authority { host, port });
    }
    let (host, port) = match text.split_once(':') {
        Some((host, text)) => (host, port(text)?),
        None => (text, default),
    };
    Some(Authority { host: read_host(host)?, port })
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn read_host(text: &str) -> Option<Host> {
    // A full stop at the end makes a name absolute, not another.
    let text = text.strip_suffix('.').unwrap_or(text);
    let labels: Vec<String> = text.split('.').map(label).collect::<Option<_>>()?;
    let last = labels.last()?;
    if last.bytes().all(|byte| byte.is_ascii_digit()) || number(last).is_some() {
        return ipv4(&labels).map(|address| Host::Address(address.into()));
    }
    let name = labels.join(".");
    (name.len() <= 253).then_some(Host::Name(name))
}

/// One part of a name, in lower case and ASCII. Only patterns of the configuration have
/// letters of other scripts.
fn label(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let plain = |one: char| one.is_ascii_alphanumeric() || one == '-' || one == '_';
    // Wide forms and signs are folded into ASCII by some readers, into slashes even.
    let foreign = |one: char| {
        !one.is_ascii() && one.is_alphanumeric() && !('\u{ff00}'..='\u{ffef}').contains(&one)
    };
    if lower.is_empty() || !lower.chars().all(|one| plain(one) || foreign(one)) {
        return None;
    }
    let ascii = if lower.is_ascii() { lower } else { format!("xn--{}", punycode::encode(&lower)?) };
    (ascii.len() <= 63).then_some(ascii)
}

/// An address in any of the forms that `inet_aton` takes: 1 to 4 numbers, decimal, octal or
/// hexadecimal, the last filling what is left.
fn ipv4(labels: &[String]) -> Option<Ipv4Addr> {
    let numbers: Vec<u32> = labels.iter().map(|label| number(label)).collect::<Option<_>>()?;
    let (last, first) = numbers.split_last()?;
    if first.len() > 3 || first.iter().any(|number| *number > 255) {
        return None;
    }
    let left = 32 - 8 * u32::try_from(first.len()).ok()?;
    if left < 32 && last >> left != 0 {
        return None;
    }
    let high = first.iter().fold(0_u32, |sum, number| sum << 8 | number);
    let high = if left == 32 { 0 } else { high << left };
    Some(Ipv4Addr::from(high | last))
}

fn number(text: &str) -> Option<u32> {
    if let Some(digits) = text.strip_prefix("0x") {
        return if digits.is_empty() { Some(0) } else { u32::from_str_radix(digits, 16).ok() };
    }
    match text.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => u32::from_str_radix(digits, 8).ok(),
        _ => text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit())),
    }
}

impl Host {
    fn is_private(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::Address(IpAddr::V4(address)) => private_v4(*address),
            Self::Address(IpAddr::V6(address)) => private_v6(*address),
        }
    }
}

fn private_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || first == 0
        || first >= 240
        || first == 100 && second & 0xc0 == 64
        || first == 192 && second == 0 && third == 0
        || first == 198 && second & 0xfe == 18
}

/// Everything but global unicast, and global unicast that holds an IPv4 address within.
fn private_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    first & 0xe000 != 0x2000 || first == 0x2002 || first == 0x2001 && second < 0x200
}

/// Whether a pattern of the configuration names this host and port.
fn fits(pattern: &str, authority: &Authority, default: u16) -> bool {
    // An address of version 6 stands in brackets when a port follows.
    let (host, port) = match pattern.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (pattern, None),
    };
    let port_fits = match port {
        None => authority.port == default,
        Some("*") => true,
        Some(text) => self::port(text) == Some(authority.port),
    };
    port_fits && host_fits(host, &authority.host)
}

fn host_fits(pattern: &str, host: &Host) -> bool {
    if pattern == "*" {
        return true;
    }
    match (pattern.strip_prefix("*."), host) {
        (Some(parent), Host::Name(name)) => matches!(read_host(parent), Some(Host::Name(parent))
            if name.strip_suffix(&parent).is_some_and(|rest| rest.ends_with('.'))),
        (Some(_), Host::Address(_)) => false,
        (None, Host::Address(IpAddr::V6(address))) => {
            pattern.trim_start_matches('[').trim_end_matches(']').parse() == Ok(*address)
        }
        (None, host) => read_host(pattern).as_ref() == Some(host),
    }
}

#[cfg(test)]
mod tests;
