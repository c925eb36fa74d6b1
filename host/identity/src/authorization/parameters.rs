//! Parameters as they came: of an authorization request, or of a form.
//!
//! Owns that a parameter is given once (RFC 6749 section 3.1) and that one without a value was
//! not given. Knows no parameter's meaning.

use super::error::{ErrorCode, TokenRefused};

/// Names and values, decoded, in the order in which they came.
#[derive(Clone, Copy)]
pub(crate) struct Parameters<'a>(&'a [(String, String)]);

/// A parameter was given more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Repeated(pub(crate) &'static str);

impl From<Repeated> for TokenRefused {
    fn from(Repeated(name): Repeated) -> Self {
        let code =
            if name == "resource" { ErrorCode::InvalidTarget } else { ErrorCode::InvalidRequest };
        Self::new(code, format!("the parameter `{name}` was given more than once: send it once"))
    }
}

impl<'a> Parameters<'a> {
    pub(crate) fn new(pairs: &'a [(String, String)]) -> Self {
        Self(pairs)
    }

    /// The value of a parameter, if it was given one.
    pub(crate) fn get(self, name: &'static str) -> Result<Option<&'a str>, Repeated> {
        let mut found = self.0.iter().filter(|(given, _)| given == name);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(Repeated(name)),
            (Some((_, value)), None) if !value.is_empty() => Ok(Some(value)),
            _ => Ok(None),
        }
    }

    /// The value of a parameter that has to be there.
    pub(crate) fn need(self, name: &'static str) -> Result<&'a str, TokenRefused> {
        self.get(name)?.ok_or_else(|| {
            let sentence = format!("the parameter `{name}` is missing: send it");
            TokenRefused::new(ErrorCode::InvalidRequest, sentence)
        })
    }
}

/// Whether a `scope` parameter has the form of one (RFC 6749 section 3.3).
pub(crate) fn is_scope(text: &str) -> bool {
    let is_taken = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    text.len() <= 1_024
        && text.split(' ').all(|word| !word.is_empty() && word.bytes().all(is_taken))
}
