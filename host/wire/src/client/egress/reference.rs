//! References that a server gives (RFC 3986, section 5): resolved against the URL they were
//! given at, and refused when they lead to another origin.

use http::uri::PathAndQuery;

use super::{BadUrl, Origin};

/// The path that `reference` means at `base` of `origin`.
pub(super) fn resolve(
    origin: &Origin,
    base: &PathAndQuery,
    reference: &str,
) -> Result<PathAndQuery, BadUrl> {
    let reference = reference.trim_matches([' ', '\t', '\r', '\n']);
    let malformed = || BadUrl::Malformed(reference.chars().take(200).collect());
    let odd = |c: char| c.is_control() || c.is_whitespace();
    if reference.is_empty() || reference.len() > 8 * 1024 || reference.contains(odd) {
        return Err(malformed());
    }
    let text = reference.split('#').next().unwrap_or_default();
    let absolute = match text.find([':', '/', '?']) {
        _ if text.starts_with("//") => {
            let scheme = if origin.is_tls() { "https" } else { "http" };
            Some(format!("{scheme}:{text}"))
        }
        Some(at) if text.get(at..).is_some_and(|rest| rest.starts_with(':')) => {
            Some(text.to_owned())
        }
        _ => None,
    };
    if let Some(url) = absolute {
        let (other, path) = Origin::split(&url)?;
        return match other == *origin {
            true => Ok(path),
            false => Err(BadUrl::OtherOrigin(other.to_string())),
        };
    }
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    let mut resolved = match path {
        "" => base.path().to_owned(),
        path if path.starts_with('/') => without_dots(path),
        path => {
            let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            without_dots(&format!("{folder}/{path}"))
        }
    };
    if let Some(query) = query {
        resolved.push('?');
        resolved.push_str(query);
    }
    resolved.parse().map_err(|_| malformed())
}

/// The path without `.` and `..` segments; never above the root.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => {
                kept.push(segment);
                continue;
            }
        }
        if is_last {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str, reference: &str) -> Result<String, BadUrl> {
        let (origin, path) = Origin::split(url).unwrap();
        resolve(&origin, &path, reference).map(|path| path.as_str().to_owned())
    }

    #[test]
    fn references_within_the_origin_are_resolved() {
        for (reference, expected) in [
            ("/messages?sessionId=1", "/messages?sessionId=1"),
            ("messages/", "/a/messages/"),
            ("?id=1", "/a/sse?id=1"),
            ("../m", "/m"),
            ("../../../m", "/m"),
            ("./m/..", "/a/"),
            ("https://example.com/m#x", "/m"),
            ("HTTPS://EXAMPLE.com:443/m", "/m"),
            ("//example.com/m?a", "/m?a"),
            (" /m \r", "/m"),
            ("/m?next=https://example.org/", "/m?next=https://example.org/"),
        ] {
            let found = at("https://example.com/a/sse?x=1", reference).unwrap();
            assert_eq!(found, expected, "{reference}");
        }
    }

    #[test]
    fn references_to_elsewhere_are_refused() {
        for reference in [
            "",
            "#",
            "http://example.com/m",
            "https://example.com:444/m",
            "https://example.org/m",
            "https://example.com.evil.org/m",
            "https://example.com@evil.org/m",
            "//evil.org/m",
            "ftp://example.com/m",
            "javascript:alert(1)",
            "/a b",
            "/a\r\nHost: evil.org",
            "/\u{0}",
        ] {
            let found = at("https://example.com/sse", reference);
            // A lone fragment is the page itself, which is no other place.
            if reference == "#" {
                assert_eq!(found.unwrap(), "/sse");
            } else {
                assert!(found.is_err(), "{reference:?} became {found:?}");
            }
        }
        assert!(at("https://example.com/sse", &"/x".repeat(5_000)).is_err());
    }
}
