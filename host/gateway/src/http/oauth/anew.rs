//! Signing in anew for one request: `prompt=login` and `max_age`.
//!
//! Owns what counts: a session that began after this very browser was asked for this very
//! request, however old another one is. When that was travels in the URL, sealed, so that
//! nothing is kept for somebody who has not signed in. Whether a provider asked for a password
//! or knew its own session is the provider's to say.

use std::time::Duration;

use axum::body::Body;
use http::Response;
use sha2::{Digest as _, Sha256};
use tidegate_identity::{authorization::AuthorizationRequest, login::Session};
use tidegate_model::Timestamp;

use crate::{
    http::{
        gate::{At, Refused},
        pages::{redirect, with_cookie},
    },
    seal::{Browser, Purpose},
};

/// The parameter that says when the browser was asked.
const ASKED: &str = "tidegate_asked";
/// How long somebody may take to sign in.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a request wants of the sign-in behind it.
pub(super) struct Anew {
    /// Whether any sign-in will do that is still in force.
    takes_any: bool,
    /// A sign-in from then on is taken.
    since: Option<Timestamp>,
    /// When the browser was asked for this request.
    asked: Option<Timestamp>,
    /// Whether the URL says that it was, truly or not.
    says_asked: bool,
}

impl Anew {
    /// What `request`, which the browser brings now, wants.
    pub(super) fn of(at: &At, request: &AuthorizationRequest) -> Self {
        let now = at.gateway.clock.now();
        let since = request.max_age.map(|seconds| {
            let age = seconds.saturating_mul(1_000);
            Timestamp::from_millis(now.as_millis().saturating_sub(age))
        });
        let given = asked_of(at);
        Self {
            takes_any: !request.wants_sign_in && since.is_none(),
            since: since.filter(|_| !request.wants_sign_in),
            asked: given.and_then(|given| opened(at, given, now)),
            says_asked: given.is_some(),
        }
    }

    /// Whether a session is one that the request takes.
    pub(super) fn is_enough(&self, session: &Session) -> bool {
        self.takes_any
            || self.since.is_some_and(|since| session.auth_time >= since)
            || self.asked.is_some_and(|asked| session.created >= asked)
    }

    /// Notes that the browser is asked now: sends it here again with a URL that says so. `None`
    /// where that has been done, and it is time for the sign-in page.
    pub(super) fn begin(&self, at: &At) -> Result<Option<Response<Body>>, Refused> {
        // A browser that keeps no cookie would come here again and again.
        let keeps_none = self.says_asked && at.had_flow().is_none();
        if self.takes_any || self.asked.is_some() || keeps_none {
            return Ok(None);
        }
        let flow = at.flow()?;
        let now = at.gateway.clock.now();
        let (query, millis) = (request_of(at), now.as_millis());
        let text = [&millis.to_be_bytes(), digest(&query).as_slice()].concat();
        let browser = Browser { org: at.issuer().org(), holds: &flow.holds };
        let (seals, until) = (&at.gateway.seals, now.after(PATIENCE));
        let sealed = seals.seal_page(Purpose::SignIn, &browser, &text, until);
        let sealed = sealed.map_err(|error| at.failed("a request cannot be sealed", &error))?;
        let path = at.parts.uri.path();
        let target = format!("{path}?{query}&{ASKED}={sealed}");
        Ok(redirect(&target).map(|sent| with_cookie(sent, flow.cookie)))
    }
}

/// The pairs of the query as they came, and whether each is ours.
fn pairs(at: &At) -> impl Iterator<Item = (&str, bool)> {
    let query = at.parts.uri.query().unwrap_or_default();
    query.split('&').map(|pair| (pair, pair.split('=').next() == Some(ASKED)))
}

/// What the URL says of when the browser was asked.
fn asked_of(at: &At) -> Option<&str> {
    let (pair, _) = pairs(at).find(|(_, is_ours)| *is_ours)?;
    Some(pair.split_once('=').map_or("", |(_, value)| value))
}

/// The query as the client made it.
fn request_of(at: &At) -> String {
    pairs(at).filter(|(_, is_ours)| !is_ours).map(|(pair, _)| pair).collect::<Vec<_>>().join("&")
}

fn digest(query: &str) -> [u8; 32] {
    Sha256::digest(query.as_bytes()).into()
}

/// When this browser was asked for this request, if that is what `sealed` says.
fn opened(at: &At, sealed: &str, now: Timestamp) -> Option<Timestamp> {
    let browser = Browser { org: at.issuer().org(), holds: at.had_flow()? };
    let text = at.gateway.seals.open_page(Purpose::SignIn, &browser, sealed, now)?;
    let (millis, rest) = text.split_first_chunk::<8>()?;
    (rest == digest(&request_of(at))).then(|| Timestamp::from_millis(u64::from_be_bytes(*millis)))
}
