//! The way in to everything that is neither MCP nor administration.
//!
//! Owns what all of it shares: which organisation, which host, from where, how often, who is
//! signed in, and that a form came from one of our pages. Knows no route.

use std::{fmt, net::IpAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{FromRequestParts, RawPathParams},
};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts};
use tidegate_governance::policy::RequestContext;
use tidegate_identity::{
    Caller, Issuer, Settings,
    directory::Person,
    login::{Found, Session},
    method::session,
};
use url::form_urlencoded;

use super::{
    cookies::{self, Cookie},
    listener::Peer,
    mcp,
    pace::{Door, Slot},
    pages,
};
use crate::{
    gateway::Gateway,
    identity::{Identity, trail::Event},
    revision::Revision,
};

/// Largest form.
const FORM: usize = 64 * 1024;
/// How long what binds a browser before its sign-in is kept, in seconds.
const FLOW_SECONDS: u64 = 3_600;

/// A request for one organisation, from a host and, where it has one, a page that may ask.
pub(super) struct At {
    pub(super) gateway: Arc<Gateway>,
    pub(super) identity: Arc<Identity>,
    pub(super) revision: Arc<Revision>,
    /// Where it came from.
    pub(super) source: IpAddr,
    pub(super) parts: Parts,
    params: Vec<(String, String)>,
}

impl fmt::Debug for At {
    /// Headers hold credentials, and addresses codes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("At")
            .field("method", &self.parts.method)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// The same, which pages from anywhere may ask: nothing in it depends on cookies.
#[derive(Debug)]
pub(super) struct Open(pub(super) At);

/// Somebody who is signed in in this browser.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) person: Arc<Person>,
    pub(super) session: Session,
    /// Who they are to policies.
    pub(super) caller: Caller,
    /// The cookie's new value, where it changes.
    pub(super) cookie: Option<HeaderValue>,
}

/// What binds a browser to what it began before anybody signed in.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) holds: String,
    /// Sets it, where the browser had none.
    pub(super) cookie: Option<HeaderValue>,
}

/// An answer in place of the one that was wanted: a page that says why, or that leads
/// elsewhere.
#[derive(Debug)]
pub(super) struct Refused(Box<Response<Body>>);

impl From<Response<Body>> for Refused {
    fn from(response: Response<Body>) -> Self {
        Self(Box::new(response))
    }
}

impl From<Refused> for Response<Body> {
    fn from(refused: Refused) -> Self {
        *refused.0
    }
}

/// Decoded pairs of a form or query, in their order.
#[derive(Debug)]
pub(super) struct Fields(pub(super) Vec<(String, String)>);

impl Fields {
    /// The one value of this name; none where there are several.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value);
        let first = found.next()?;
        found.next().is_none().then_some(first.as_str())
    }
}

impl FromRequestParts<Arc<Gateway>> for At {
    type Rejection = Response<Body>;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, Response<Body>> {
        gateway.hosts.check(parts).map_err(|bad| plain(bad.status, &bad.message))?;
        enter(parts, gateway).await
    }
}

impl FromRequestParts<Arc<Gateway>> for Open {
    type Rejection = Response<Body>;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, Response<Body>> {
        gateway.hosts.check_host(parts).map_err(|bad| plain(bad.status, &bad.message))?;
        enter(parts, gateway).await.map(Self)
    }
}

async fn enter(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<At, Response<Body>> {
    if gateway.stopping.is_cancelled() {
        let words = "the gateway is stopping; try again in a moment";
        return Err(plain(StatusCode::SERVICE_UNAVAILABLE, words));
    }
    let params = RawPathParams::from_request_parts(parts, gateway).await;
    let params = params.map_err(|_| nothing())?;
    let params: Vec<(String, String)> =
        params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let org = params.iter().find(|(name, _)| name == "org").map(|(_, value)| value.as_str());
    let org = org.unwrap_or("default");
    let found = gateway.identity(org).zip(gateway.revision(org));
    let (identity, revision) = found.ok_or_else(nothing)?;
    let peer = parts.extensions.get::<Peer>().copied().unwrap_or_default();
    Ok(At {
        source: mcp::source(gateway, peer.address, &parts.headers),
        gateway: Arc::clone(gateway),
        identity,
        revision,
        parts: parts.clone(),
        params,
    })
}

impl At {
    /// By which URLs the organisation is known.
    pub(super) fn issuer(&self) -> &Issuer {
        &self.identity.ground.issuer
    }

    /// What its pages' paths begin with.
    pub(super) fn base(&self) -> &str {
        self.issuer().path()
    }

    /// How people and clients sign in.
    pub(super) fn settings(&self) -> &Settings {
        &self.revision.settings
    }

    /// A part of the path.
    pub(super) fn param(&self, name: &str) -> &str {
        let found = self.params.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The query.
    pub(super) fn query(&self) -> Fields {
        decoded(self.parts.uri.query().unwrap_or_default().as_bytes())
    }

    /// Path and query, as a place to come back to.
    pub(super) fn here(&self) -> String {
        self.parts.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string)
    }

    /// What policies see of the circumstances.
    pub(super) fn circumstances(&self) -> RequestContext<'_> {
        RequestContext {
            at: self.gateway.clock.now(),
            source: Some(self.source),
            ..RequestContext::default()
        }
    }

    /// Counts a knock; too many in a minute are refused with a page.
    pub(super) fn knock(&self, door: Door) -> Result<(), Refused> {
        if self.gateway.pace.take(door, self.source) {
            return Ok(());
        }
        let words = "Too many requests came from your address in the last minute. Wait a moment.";
        Err(self.wait(words))
    }

    fn wait(&self, words: &str) -> Refused {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let mut response = pages::notice(self.base(), status, "Please wait", &[words]);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        response.into()
    }

    /// A place for as long as a client's document is fetched, where finding this client needs
    /// that; too many at a time are refused with a page.
    pub(super) fn may_fetch(&self, client: &str) -> Result<Option<Slot>, Refused> {
        if !self.identity.server.clients().would_fetch(self.settings(), client) {
            return Ok(None);
        }
        match self.gateway.fetches.take(self.source) {
            Some(slot) => Ok(Some(slot)),
            None => Err(self.wait("Too many applications that are new here came from your address at once. Wait a moment.")),
        }
    }

    /// Who is signed in in this browser.
    pub(super) async fn visitor(&self) -> Result<Option<Visitor>, Refused> {
        let Some(cookie) = Cookie::Session.read(self.issuer(), &self.parts.headers) else {
            return Ok(None);
        };
        let found = self.identity.browsers.find(self.settings(), cookie).await;
        let found = found.map_err(|error| self.failed("the session cannot be read", &error))?;
        let Some(Found { session, person, cookie }) = found else { return Ok(None) };
        let caller = session::session(self.issuer().org().clone(), &person, session.created);
        let Some(caller) = caller else { return Ok(None) };
        let cookie = cookie.and_then(|value| self.session_cookie(value.expose()));
        Ok(Some(Visitor { person, session, caller, cookie }))
    }

    /// The cookie of a session.
    pub(super) fn session_cookie(&self, value: &str) -> Option<HeaderValue> {
        let seconds = self.settings().session_lifetime.as_secs();
        Cookie::Session.set(self.issuer(), value, Some(seconds))
    }

    /// What this browser was given before it signed in, or is given now.
    pub(super) fn flow(&self) -> Result<Flow, Refused> {
        if let Some(holds) = self.had_flow() {
            return Ok(Flow { holds: holds.to_owned(), cookie: None });
        }
        let holds = cookies::random().ok_or_else(|| {
            tracing::error!("the system has no randomness for a cookie");
            self.sorry()
        })?;
        let cookie = Cookie::Flow.set(self.issuer(), &holds, Some(FLOW_SECONDS));
        Ok(Flow { holds, cookie })
    }

    /// What this browser was given before it signed in.
    pub(super) fn had_flow(&self) -> Option<&str> {
        Cookie::Flow.read(self.issuer(), &self.parts.headers)
    }

    /// Reads a form of one of our pages, sent by whoever `holds` what its token was made with.
    pub(super) async fn own_form(
        &self,
        body: Body,
        holds: &str,
        name: &str,
    ) -> Result<Fields, Refused> {
        if !self.is_own_page() {
            return Err(self.foreign().into());
        }
        let fields = self.form(body).await?;
        let is_ours = cookies::is_form_token(holds, name, fields.one("csrf").unwrap_or_default());
        if is_ours { Ok(fields) } else { Err(self.foreign().into()) }
    }

    /// Reads a form.
    pub(super) async fn form(&self, body: Body) -> Result<Fields, Response<Body>> {
        if !is_form(&self.parts.headers) {
            let words = "this takes a form (application/x-www-form-urlencoded)";
            return Err(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
        }
        let read = mcp::read(body, FORM).await;
        let bytes = read.map_err(|bad| plain(bad.status, &bad.message))?;
        Ok(decoded(&bytes))
    }

    /// Whether a page of ours sent this, as far as the browser says.
    fn is_own_page(&self) -> bool {
        let headers = &self.parts.headers;
        let site = headers.get("sec-fetch-site");
        if site.is_some_and(|site| site != "same-origin") {
            return false;
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let scheme = if self.issuer().is_tls() { "https" } else { "http" };
        let here = host.map(|host| format!("{scheme}://{host}"));
        origin == self.issuer().origin() || here.is_some_and(|here| *origin == *here)
    }

    /// A page that says that nothing was done, since the form was not ours.
    fn foreign(&self) -> Response<Body> {
        let sentences = [
            "This form did not come from a page of this gateway in this browser, or it is too \
             old. Nothing was done.",
            "Go back, load the page again, and allow cookies of this site.",
        ];
        pages::notice(self.base(), StatusCode::FORBIDDEN, "Please try again", &sentences)
    }

    /// Puts on record what happened; what cannot be recorded goes no further.
    pub(super) async fn note(&self, method: &str, event: Event<'_>) -> Result<(), Refused> {
        let noted = self.identity.note(&self.gateway, &self.revision, method, event).await;
        noted.map_err(|error| self.failed("the audit log takes no row", &error).into())
    }

    /// The cause of a fault, for the log.
    #[expect(clippy::unused_self, reason = "said of a request")]
    pub(super) fn log(&self, error: &dyn std::error::Error) {
        let cause = crate::config::problem::sentence(error);
        tracing::error!(cause, "a request failed");
    }

    /// A page for a fault of the gateway's own, and its cause for the log.
    pub(super) fn failed(&self, what: &str, error: &dyn std::error::Error) -> Response<Body> {
        let cause = crate::config::problem::sentence(error);
        tracing::error!(cause, "{what}");
        self.sorry()
    }

    fn sorry(&self) -> Response<Body> {
        let words = "The gateway could not do this at the moment. Try again.";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        pages::notice(self.base(), status, "Something went wrong", &[words])
    }
}

/// Whether a request says that it carries a form.
fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

fn decoded(text: &[u8]) -> Fields {
    Fields(form_urlencoded::parse(text).into_owned().collect())
}

/// A few words, for programs and for whoever is not where a page can be made.
pub(super) fn plain(status: StatusCode, words: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{words}\n")));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The same for what does not exist and for organisations that nobody knows of.
pub(super) fn nothing() -> Response<Body> {
    plain(StatusCode::NOT_FOUND, "there is nothing here; MCP endpoints are at /mcp/<virtual MCP>")
}

/// Where to go on to after a sign-in: a path of this gateway, else its start page.
pub(super) fn return_to<'a>(wish: Option<&'a str>, start: &'a str) -> &'a str {
    let is_own = |wish: &&str| {
        wish.starts_with('/')
            && !wish.starts_with("//")
            && wish.len() <= 4_000
            && wish.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
    };
    wish.filter(is_own).unwrap_or(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_paths_are_gone_on_to() {
        for good in ["/", "/oauth/authorize?client_id=a&x=%2F%2Fevil", "/o/acme/"] {
            assert_eq!(return_to(Some(good), "/start"), good);
        }
        let long = format!("/{}", "a".repeat(4_000));
        for bad in [
            "",
            "//evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "evil",
            "/a\r\nb",
            "/a\tb",
            " /a",
            "/é",
            &long,
        ] {
            assert_eq!(return_to(Some(bad), "/start"), "/start", "{bad:?}");
        }
        assert_eq!(return_to(None, "/start"), "/start");
    }

    #[test]
    fn a_name_that_comes_twice_has_no_value() {
        let fields = decoded(b"a=1&b=2&a=3&c=x%20y%2B+z");
        assert_eq!(fields.one("a"), None);
        assert_eq!(fields.one("b"), Some("2"));
        assert_eq!(fields.one("c"), Some("x y+ z"));
    }
}
