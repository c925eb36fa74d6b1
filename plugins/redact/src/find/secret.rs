//! Secrets that are known by what stands around them: private keys between their armour, and
//! passwords in URLs.

use std::ops::Range;

use super::run;

const BEGIN: &[u8] = b"-----BEGIN ";
const LONGEST_LABEL: usize = 64;

/// Length of the armoured private key at the start of `text`. One without its end counts to
/// the end of the text: half a key is a secret too.
pub(super) fn private_key(text: &[u8]) -> Option<usize> {
    let after = text.strip_prefix(BEGIN)?;
    let label =
        after.get(..run(after.get(..after.len().min(LONGEST_LABEL))?, |byte| byte != b'-'))?;
    let private = [b"PRIVATE KEY".as_slice(), b"PRIVATE KEY BLOCK"];
    if !private.iter().any(|ending| label.ends_with(ending)) {
        return None;
    }
    let end = [b"-----END ".as_slice(), label, b"-----"].concat();
    let place = text.windows(end.len()).position(|window| window == end);
    Some(place.map_or(text.len(), |start| start + end.len()))
}

const LONGEST_USER_INFO: usize = 512;

/// Where the password stands in `://user:password@host`; `text` begins with the colon.
pub(super) fn password(text: &[u8]) -> Option<Range<usize>> {
    let after = text.strip_prefix(b"://")?;
    let near = after.get(..after.len().min(LONGEST_USER_INFO))?;
    // The last `@` before the path ends it: a password may hold one that was not encoded.
    let authority =
        run(near, |byte| !matches!(byte, b'/' | b'?' | b'#' | b'"' | b'<' | b'>') && byte > b' ');
    let at = near.get(..authority)?.iter().rposition(|byte| *byte == b'@')?;
    let colon = near.get(..at)?.iter().position(|byte| *byte == b':')?;
    let start = b"://".len() + colon + 1;
    let end = b"://".len() + at;
    (start < end).then_some(start..end)
}
