//! Puts secrets where their handles stand, in memory that is wiped when the request is over.
//!
//! Two places only: the value of a header, and the query, where the secret is encoded; in
//! `Authorization: Basic` also within what is encoded there, `user:` and a handle. A handle
//! anywhere else, of another instance, or towards a host that its credential is not for,
//! refuses the request.

use base64::engine::{
    DecodePaddingMode,
    general_purpose::{GeneralPurposeConfig, STANDARD},
};
use base64::{Engine as _, alphabet, engine::GeneralPurpose};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header, uri::PathAndQuery};
use memchr::memmem;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use tidegate_model::Secret;
use tidegate_wire::client::egress::Origin;
use zeroize::Zeroizing;

use super::{CredentialHandle, HANDLE, Keyring, MARK};

/// What needs no encoding in a query (RFC 3986, section 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a request with a handle is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misplaced {
    #[error("a credential's handle stands in the {0}: it belongs in a header or the query")]
    Place(&'static str),
    #[error("it holds a credential's handle that this instance was not given")]
    Stranger,
    #[error("the credential `{0}` is not for this host")]
    Host(Box<str>),
    #[error("the secret of credential `{0}` cannot be had now")]
    Unavailable(Box<str>),
    #[error("the secret of credential `{0}` holds characters that do not fit there")]
    Unfit(Box<str>),
}

/// The scheme of RFC 7617, and what follows it.
const BASIC: &str = "Basic ";
/// With or without its padding, as servers take it.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How a text is written down.
#[derive(Debug, Clone, Copy)]
pub(super) enum Encoding {
    Plain,
    Percent,
    Json,
}

impl Encoding {
    /// Bytes that [`Encoding::write`] adds: buffers are sized first, since growing would
    /// leave copies behind that nobody wipes.
    pub(super) fn length(self, text: &str) -> usize {
        match self {
            Self::Plain => text.len(),
            Self::Percent => percent_encode(text.as_bytes(), UNRESERVED).map(str::len).sum(),
            // Every character takes six bytes at most.
            Self::Json => text.len().saturating_mul(6),
        }
    }

    pub(super) fn write(self, text: &str, out: &mut Vec<u8>) {
        match self {
            Self::Plain => out.extend_from_slice(text.as_bytes()),
            Self::Percent => {
                for part in percent_encode(text.as_bytes(), UNRESERVED) {
                    out.extend_from_slice(part.as_bytes());
                }
            }
            Self::Json => {
                for byte in text.bytes() {
                    match byte {
                        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                        b'\t' => out.extend_from_slice(b"\\t"),
                        _ => out.push(byte),
                    }
                }
            }
        }
    }
}

/// A part of a text that holds handles.
enum Part<'a> {
    Text(&'a [u8]),
    Secret(Secret),
}

impl Keyring {
    /// Exchanges every handle in `headers` and `path` and says whether there was any.
    pub(crate) fn exchange(
        &self,
        origin: &Origin,
        method: &Method,
        headers: &mut HeaderMap,
        path: &mut PathAndQuery,
    ) -> Result<bool, Misplaced> {
        let nowhere = [("method", method.as_str()), ("host", origin.host()), ("path", path.path())];
        for (place, text) in nowhere {
            if holds_handle(text.as_bytes()) {
                return Err(Misplaced::Place(place));
            }
        }
        if headers.keys().any(|name| holds_handle(name.as_str().as_bytes())) {
            return Err(Misplaced::Place("name of a header"));
        }
        let mut carries = false;
        for (name, value) in headers.iter_mut() {
            let text = match basic(name, value) {
                Some(inside) => self.basic(&inside, origin)?,
                None => self.written(value.as_bytes(), origin, Encoding::Plain)?,
            };
            if let Some(text) = text {
                *value = HeaderValue::from_maybe_shared(Bytes::from_owner(text))
                    .map_err(|_| self.unfit(value.as_bytes()))?;
                value.set_sensitive(true);
                carries = true;
            }
        }
        if let Some(text) = self.written(path.as_str().as_bytes(), origin, Encoding::Percent)? {
            *path = PathAndQuery::from_maybe_shared(Bytes::from_owner(text))
                .map_err(|_| self.unfit(path.as_str().as_bytes()))?;
            carries = true;
        }
        Ok(carries)
    }

    /// The text with secrets in place of handles; `None` when it holds no handle.
    fn written(
        &self,
        text: &[u8],
        origin: &Origin,
        encoding: Encoding,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Misplaced> {
        if !holds_handle(text) {
            return Ok(None);
        }
        let parts = self.parts(text, origin)?;
        let length = |part: &Part<'_>| match part {
            Part::Text(text) => text.len(),
            Part::Secret(secret) => encoding.length(secret.expose()),
        };
        let mut whole = Zeroizing::new(Vec::with_capacity(parts.iter().map(length).sum()));
        for part in &parts {
            match part {
                Part::Text(text) => whole.extend_from_slice(text),
                Part::Secret(secret) => encoding.write(secret.expose(), &mut whole),
            }
        }
        Ok(Some(whole))
    }

    /// The value of a header `Authorization: Basic` with secrets in place of handles.
    fn basic(
        &self,
        inside: &[u8],
        origin: &Origin,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Misplaced> {
        let Some(text) = self.written(inside, origin, Encoding::Plain)? else { return Ok(None) };
        // In a header they would be refused; here nobody would see them any more.
        if text.iter().any(u8::is_ascii_control) {
            return Err(self.unfit(inside));
        }
        let length = text.len().div_ceil(3) * 4;
        let mut whole = Zeroizing::new(vec![0; BASIC.len() + length]);
        let (scheme, rest) = whole.split_at_mut(BASIC.len());
        scheme.copy_from_slice(BASIC.as_bytes());
        // The room is exactly what it takes.
        STANDARD.encode_slice(&*text, rest).map_err(|_| self.unfit(inside))?;
        Ok(Some(whole))
    }

    fn parts<'a>(&self, text: &'a [u8], origin: &Origin) -> Result<Vec<Part<'a>>, Misplaced> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = memmem::find(rest, MARK.as_bytes()) {
            let (before, handle) = rest.split_at(at);
            let Some((handle, after)) = handle.split_at_checked(HANDLE) else { break };
            let credential = self.meant(handle).ok_or(Misplaced::Stranger)?;
            if !credential.hosts().allows(origin) {
                return Err(Misplaced::Host(credential.name().into()));
            }
            let secret = credential
                .secret()
                .ok_or_else(|| Misplaced::Unavailable(credential.name().into()))?;
            parts.extend([Part::Text(before), Part::Secret(secret)]);
            rest = after;
        }
        parts.push(Part::Text(rest));
        Ok(parts)
    }

    fn meant(&self, handle: &[u8]) -> Option<&CredentialHandle> {
        std::str::from_utf8(handle).ok().and_then(|handle| self.by_handle(handle))
    }

    fn unfit(&self, text: &[u8]) -> Misplaced {
        let at = memmem::find(text, MARK.as_bytes()).unwrap_or_default();
        let handle = text.get(at..).and_then(|rest| rest.get(..HANDLE));
        let credential = handle.and_then(|handle| self.meant(handle));
        Misplaced::Unfit(credential.map_or("", CredentialHandle::name).into())
    }
}

/// What is encoded in a header `Authorization: Basic`, where that holds a handle.
fn basic(name: &HeaderName, value: &HeaderValue) -> Option<Vec<u8>> {
    let (scheme, encoded) = value.as_bytes().split_at_checked(BASIC.len())?;
    if *name != header::AUTHORIZATION || !scheme.eq_ignore_ascii_case(BASIC.as_bytes()) {
        return None;
    }
    LENIENT.decode(encoded.trim_ascii()).ok().filter(|inside| holds_handle(inside))
}

/// Whether a text holds something of the shape of a handle, of this or another instance.
fn holds_handle(text: &[u8]) -> bool {
    memmem::find_iter(text, MARK.as_bytes()).any(|at| {
        text.get(at + MARK.len()..at + HANDLE)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}
