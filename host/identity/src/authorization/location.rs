//! Where a browser is sent: a client's redirect URI with the answer in its query.
//!
//! Owns how answers are appended (RFC 6749 section 4.1.2, with `iss` of RFC 9207 in every one
//! of them). Whether the URI is the client's has been checked by whoever makes one.

use std::fmt;

use super::{error::ErrorCode, redirect::RedirectUri};
use crate::Issuer;

/// A URL to send the browser to.
#[derive(Clone, PartialEq, Eq)]
pub struct Location(String);

impl fmt::Debug for Location {
    /// Without its query, which may hold a code.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, _) = self.0.split_once('?').unwrap_or((&self.0, ""));
        write!(f, "Location({place})")
    }
}

impl Location {
    /// The redirect URI with these parameters added to its query, `state` as it came, and `iss`.
    pub(crate) fn new(
        redirect_uri: &RedirectUri,
        answer: &[(&str, &str)],
        state: Option<&str>,
        issuer: &Issuer,
    ) -> Self {
        let issuer = issuer.to_string();
        let state = state.map(|state| ("state", state));
        let all: Vec<_> =
            answer.iter().copied().chain(state).chain([("iss", issuer.as_str())]).collect();
        Self(redirect_uri.with_parameters(&all))
    }

    /// An error that the client is told.
    pub(crate) fn refusal(
        redirect_uri: &RedirectUri,
        (code, sentence): (ErrorCode, &str),
        state: Option<&str>,
        issuer: &Issuer,
    ) -> Self {
        let answer = [("error", code.name()), ("error_description", sentence)];
        Self::new(redirect_uri, &answer, state, issuer)
    }

    /// The URL. It holds an authorization code where one was given: it never reaches a log.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use model::OrgId;
    use tidegate_model as model;

    use super::*;

    #[test]
    fn an_answer_is_added_to_whatever_query_is_there() {
        let issuer = Issuer::new("https://gate.example", OrgId::default_org()).unwrap();
        for (uri, expected) in [
            ("https://a.example/cb", "https://a.example/cb?code=x%26y&state=s+1&iss="),
            ("https://a.example/cb?", "https://a.example/cb?code=x%26y&state=s+1&iss="),
            ("https://a.example/cb?k=v", "https://a.example/cb?k=v&code=x%26y&state=s+1&iss="),
            ("com.example.app:/cb", "com.example.app:/cb?code=x%26y&state=s+1&iss="),
        ] {
            let uri = RedirectUri::parse(uri).unwrap();
            let location = Location::new(&uri, &[("code", "x&y")], Some("s 1"), &issuer);
            let expected = format!("{expected}https%3A%2F%2Fgate.example");
            assert_eq!(location.as_str(), expected);
        }
    }
}
