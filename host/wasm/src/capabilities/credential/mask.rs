//! Takes secrets out of what a server sends back.
//!
//! A server may repeat what it was sent, now or later. Every copy of a secret, also in the
//! forms in which others write it down ([`encoded`]), becomes stars of the same length, so
//! that lengths and frames stay true. Bytes that may be the beginning of a copy wait for the
//! next piece. What is read is searched once for each form, at most eleven times a secret.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use memchr::memmem;
use tidegate_model::Secret;
use zeroize::Zeroizing;

use super::encoded;

const STAR: u8 = b'*';

/// Every text that must not be seen.
pub(crate) struct Mask {
    needles: Vec<Zeroizing<Vec<u8>>>,
}

/// A [`Mask`] over one body, piece by piece.
pub(crate) struct MaskedStream {
    mask: Mask,
    /// The last bytes so far, which may begin a copy.
    held: Zeroizing<Vec<u8>>,
    /// How many of them end a copy that was found before.
    covered: usize,
}

impl Mask {
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut needles: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for secret in secrets {
            for form in encoded::forms(secret.expose()) {
                if !needles.contains(&form) {
                    needles.push(form);
                }
            }
        }
        Self { needles }
    }

    /// Covers what is in headers.
    pub(crate) fn headers(&self, headers: &mut HeaderMap) {
        for value in headers.values_mut() {
            let found = self.found(value.as_bytes());
            if found.is_empty() {
                continue;
            }
            let mut masked = value.as_bytes().to_vec();
            cover(&mut masked, &found);
            // Stars are fit for a header wherever the secret was.
            *value = HeaderValue::from_bytes(&masked)
                .unwrap_or_else(|_| HeaderValue::from_static("***"));
        }
    }

    /// Where copies begin and end.
    fn found(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for needle in &self.needles {
            let finder = memmem::Finder::new(needle.as_slice());
            let mut from = 0;
            // Copies may overlap: the search goes on one byte later, not after the copy.
            while let Some(at) = text.get(from..).and_then(|rest| finder.find(rest)) {
                found.push((from + at, from + at + needle.len()));
                from += at + 1;
            }
        }
        found
    }

    /// How many of the last bytes may be the beginning of a copy.
    fn undecided(&self, text: &[u8]) -> usize {
        let of = |needle: &[u8]| {
            let most = needle.len().saturating_sub(1).min(text.len());
            let tail = text.get(text.len() - most..).unwrap_or_default();
            // The first of them leaves the longest rest.
            memchr::memchr_iter(*needle.first()?, tail)
                .filter_map(|at| tail.get(at..))
                .find(|rest| needle.starts_with(rest))
                .map(<[u8]>::len)
        };
        self.needles.iter().filter_map(|needle| of(needle)).max().unwrap_or(0)
    }
}

fn cover(text: &mut [u8], found: &[(usize, usize)]) {
    for (from, to) in found {
        if let Some(copy) = text.get_mut(*from..*to) {
            copy.fill(STAR);
        }
    }
}

impl MaskedStream {
    pub(crate) fn new(mask: Mask) -> Self {
        Self { mask, held: Zeroizing::default(), covered: 0 }
    }

    /// What of the body so far may be seen now; possibly nothing. A piece that holds nothing
    /// of a secret passes uncopied.
    pub(crate) fn piece(&mut self, piece: Bytes) -> Bytes {
        if self.held.is_empty() {
            let found = self.mask.found(&piece);
            let undecided = self.mask.undecided(&piece);
            if found.is_empty() && undecided == 0 {
                return piece;
            }
            return self.split(Zeroizing::new(piece.to_vec()), found, undecided);
        }
        let mut text = Zeroizing::new(Vec::with_capacity(self.held.len() + piece.len()));
        text.extend_from_slice(&self.held);
        text.extend_from_slice(&piece);
        let mut found = self.mask.found(&text);
        found.push((0, self.covered));
        let undecided = self.mask.undecided(&text);
        self.split(text, found, undecided)
    }

    /// The rest, when nothing more comes.
    pub(crate) fn end(&mut self) -> Bytes {
        let mut rest = std::mem::take(&mut *self.held);
        cover(&mut rest, &[(0, self.covered)]);
        self.covered = 0;
        rest.into()
    }

    fn split(
        &mut self,
        mut text: Zeroizing<Vec<u8>>,
        found: Vec<(usize, usize)>,
        undecided: usize,
    ) -> Bytes {
        let shown = text.len() - undecided;
        let last = found.iter().map(|(_, to)| *to).max().unwrap_or(0);
        self.covered = last.saturating_sub(shown);
        self.held = Zeroizing::new(text.get(shown..).unwrap_or_default().to_vec());
        cover(&mut text, &found);
        Bytes::copy_from_slice(text.get(..shown).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(secrets: &[&str]) -> Mask {
        let secrets: Vec<_> = secrets.iter().map(|text| Secret::new((*text).into())).collect();
        Mask::new(&secrets)
    }

    fn masked(secrets: &[&str], pieces: &[&[u8]]) -> String {
        let mut stream = MaskedStream::new(mask(secrets));
        let mut seen = Vec::new();
        for piece in pieces {
            seen.extend_from_slice(&stream.piece(Bytes::copy_from_slice(piece)));
        }
        seen.extend_from_slice(&stream.end());
        String::from_utf8(seen).unwrap()
    }

    #[test]
    fn copies_are_covered_wherever_a_piece_ends() {
        for (secrets, text, expected) in [
            (&["canary"][..], "a canary, canary", "a ******, ******"),
            (&["canary"], "can cana canar", "can cana canar"),
            (&["canary"], "cacanary", "ca******"),
            (&["abab"], "xabababy", "x******y"),
            (&["abab", "bax"], "ababax", "******"),
            (&["a b/c"], "a%20b%2Fc a b/c", "********* *****"),
            (&["q\"q"], r#"{"x":"q\"q"}"#, r#"{"x":"****"}"#),
            (&["canary", "nary"], "nary canary", "**** ******"),
            (
                &["canary-1"],
                "63616e6172792d31 63616E6172792D31",
                "**************** ****************",
            ),
            // As base64: alone, after two bytes, after three, after one.
            (&["canary-1"], "Y2FuYXJ5LTE= dTpjYW5hcnktMQ==", "**********E= dTp**********Q=="),
            (&["canary-1"], "dXM6Y2FuYXJ5LTE= eGNhbmFyeS0x", "dXM6**********E= eG**********"),
            (&[], "canary", "canary"),
            (&[""], "canary", "canary"),
        ] {
            let bytes = text.as_bytes();
            assert_eq!(masked(secrets, &[bytes]), expected, "{text}");
            for at in 0..bytes.len() {
                let (one, two) = bytes.split_at(at);
                assert_eq!(masked(secrets, &[one, two]), expected, "{text} cut at {at}");
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(masked(secrets, &single), expected, "{text} byte by byte");
        }
    }

    #[test]
    fn what_cannot_be_a_copy_does_not_wait() {
        let mut stream = MaskedStream::new(mask(&["canary"]));
        assert_eq!(stream.piece(Bytes::from_static(b"data: 1\n\n")), "data: 1\n\n");
        assert_eq!(stream.piece(Bytes::from_static(b"x can")), "x ");
        assert_eq!(stream.piece(Bytes::from_static(b"not")), "cannot");
    }

    #[test]
    fn headers_are_covered() {
        let mut headers = HeaderMap::new();
        headers.append("x-echo", HeaderValue::from_static("Bearer canary"));
        headers.append("x-echo", HeaderValue::from_static("none"));
        mask(&["canary"]).headers(&mut headers);
        let all: Vec<_> = headers.get_all("x-echo").iter().collect();
        assert_eq!(all, ["Bearer ******", "none"]);
    }
}
