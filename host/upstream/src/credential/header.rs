//! The static header: the same secret on every request.
//!
//! The value is written once into memory that is wiped when the last user drops it; each
//! call holds a reference to it, not a copy.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use tidegate_model::Secret;
use zeroize::Zeroizing;

use super::{CredentialError, spec::Placing};

/// Refuses a place that cannot carry any secret.
pub(super) fn check_placing(placing: &Placing) -> Result<(), CredentialError> {
    match placing {
        Placing::Header { name, format } => named(name, format).map(drop),
        Placing::Env { name } => {
            let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let starts = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
            match starts && name.bytes().all(is_fine) {
                true => Ok(()),
                false => Err(CredentialError::Variable(name.clone())),
            }
        }
    }
}

/// Checks name and format and puts the secret in its place.
pub(super) fn compile(
    name: &str,
    format: &str,
    reference: &str,
    secret: &Secret,
) -> Result<(HeaderName, HeaderValue), CredentialError> {
    let (header, before, after) = named(name, format)?;
    // A file usually ends in a line break that is not part of the secret.
    let secret = secret.expose().trim_end_matches(['\r', '\n']);
    let text = || [before, secret, after].into_iter().flat_map(str::bytes);
    if secret.is_empty() {
        return Err(CredentialError::Missing(reference.to_owned()));
    }
    if !text().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(CredentialError::Unprintable(reference.to_owned()));
    }
    // Sized up front: growing would leave copies behind that nobody wipes.
    let mut value = Zeroizing::new(Vec::with_capacity(before.len() + secret.len() + after.len()));
    value.extend(text());
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(value))
        .map_err(|_| CredentialError::Unprintable(reference.to_owned()))?;
    value.set_sensitive(true);
    Ok((header, value))
}

/// The header, and what stands before and after the secret.
fn named<'a>(
    name: &str,
    format: &'a str,
) -> Result<(HeaderName, &'a str, &'a str), CredentialError> {
    let header: HeaderName = name.parse().map_err(|_| CredentialError::Name(name.to_owned()))?;
    if is_reserved(&header) {
        return Err(CredentialError::Name(name.to_owned()));
    }
    let (before, after) = format.split_once("{}").ok_or(CredentialError::Format)?;
    if after.contains("{}") {
        return Err(CredentialError::Format);
    }
    Ok((header, before, after))
}

/// Headers that frame the message, route it, or that the protocol fills in itself.
pub(crate) fn is_reserved(name: &HeaderName) -> bool {
    const RESERVED: [&str; 18] = [
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "last-event-id",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "traceparent",
        "tracestate",
    ];
    let name = name.as_str();
    RESERVED.contains(&name)
        || name.starts_with("mcp-")
        || name.starts_with("proxy-")
        || name.starts_with("x-forwarded-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(name: &str, format: &str, secret: &str) -> Result<String, CredentialError> {
        compile(name, format, "env:KEY", &Secret::new(secret.into()))
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
    }

    #[test]
    fn secrets_are_put_in_their_place() {
        for (name, format, secret, expected) in [
            ("Authorization", "Bearer {}", "abc", "authorization: Bearer abc"),
            ("X-Api-Key", "{}", "abc\n", "x-api-key: abc"),
            ("x-key", "k={};v=1", "abc", "x-key: k=abc;v=1"),
        ] {
            assert_eq!(compiled(name, format, secret).unwrap(), expected);
        }
    }

    #[test]
    fn what_no_header_can_carry_is_refused() {
        let unprintable = CredentialError::Unprintable("env:KEY".into());
        for (name, format, secret, expected) in [
            ("bad name", "{}", "abc", CredentialError::Name("bad name".into())),
            ("Host", "{}", "abc", CredentialError::Name("Host".into())),
            ("Mcp-Name", "{}", "abc", CredentialError::Name("Mcp-Name".into())),
            ("x-key", "Bearer", "abc", CredentialError::Format),
            ("x-key", "{} {}", "abc", CredentialError::Format),
            ("x-key", "{}", "\n", CredentialError::Missing("env:KEY".into())),
            ("x-key", "{}", "a\r\nEvil: 1", unprintable.clone()),
            ("x-key", "{}", "a\u{0}b", unprintable.clone()),
            ("x-key", "{}", "schlüssel", unprintable.clone()),
            ("x-key", "a\nb {}", "abc", unprintable.clone()),
        ] {
            let error = compiled(name, format, secret).unwrap_err();
            assert_eq!(error.to_string(), expected.to_string(), "{name} {secret:?}");
        }
    }

    #[test]
    fn the_value_does_not_print() {
        let (_, value) = compile("x-key", "{}", "env:KEY", &Secret::new("canary".into())).unwrap();
        assert!(!format!("{value:?}").contains("canary"));
    }
}
