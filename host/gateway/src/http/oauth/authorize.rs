//! A client sends somebody's browser here for access; they sign in, agree, and are sent back.
//!
//! Nothing is asked of a provider and nothing is kept before somebody has signed in. A request
//! whose client or destination is not known ends on a page here, never elsewhere. Policy is
//! asked before a person is, and again when they have agreed.

use std::time::Duration;

use axum::body::Body;
use http::{Response, StatusCode};
use tidegate_identity::authorization::{
    AuthorizationRequest, DenyReason, RequestRefused, SignInFacts,
};
use tidegate_model::RefusalCode;

use super::{anew::Anew, asking};
use crate::{
    http::{
        cookies::form_token,
        gate::{At, Refused, Visitor},
        login,
        pace::Door,
        pages::{self, onward, redirect, view, with_cookie},
    },
    identity::trail::Event,
    seal::{Browser, Purpose},
};

/// How long somebody may think about what they are asked.
const THINKS: Duration = Duration::from_secs(600);
/// The form that agrees or does not.
const FORM: &str = "consent";

/// `GET /oauth/authorize`.
pub(in crate::http) async fn authorize(at: At) -> Response<Body> {
    answered(asked(&at).await)
}

/// `POST /oauth/consent`.
pub(in crate::http) async fn consent(at: At, body: Body) -> Response<Body> {
    answered(decided(&at, body).await)
}

fn answered(result: Result<Response<Body>, Refused>) -> Response<Body> {
    result.unwrap_or_else(Response::from)
}

async fn asked(at: &At) -> Result<Response<Body>, Refused> {
    at.knock(Door::Page)?;
    let query = at.query();
    let _slot = at.may_fetch(query.one("client_id").unwrap_or_default())?;
    let request = match at.identity.server.check(at.settings(), &query.0).await {
        Ok(request) => request,
        Err(RequestRefused::Redirect(location)) => return Ok(sent(at, location.as_str())),
        Err(RequestRefused::Page(sentence)) => return Ok(not_known(at, &sentence)),
    };
    let asked_anew = Anew::of(at, &request);
    let visitor = at.visitor().await?;
    let visitor = visitor.filter(|visitor| asked_anew.is_enough(&visitor.session));
    let Some(visitor) = visitor else {
        if request.is_silent {
            return Ok(denied(at, &request, DenyReason::LoginRequired));
        }
        if let Some(page) = asked_anew.begin(at)? {
            return Ok(page);
        }
        let asking = asking(at, &request, false);
        let email = request.login_hint.clone().unwrap_or_default();
        return login::page(at, login::Wish { asking: Some(asking), email, ..at.wish() });
    };
    may_connect(at, &visitor, &request).await?;
    let server = &at.identity.server;
    let is_consented = server.is_consented(&visitor.person, &request).await;
    if is_consented.map_err(|error| at.failed("a consent cannot be read", &error))? {
        let location = approved(at, &visitor, &request).await?;
        return Ok(with_cookie(sent(at, &location), visitor.cookie));
    }
    if request.is_silent {
        return Ok(denied(at, &request, DenyReason::ConsentRequired));
    }
    let page = ask(at, &visitor, &request)?;
    Ok(with_cookie(page, visitor.cookie))
}

async fn decided(at: &At, body: Body) -> Result<Response<Body>, Refused> {
    at.knock(Door::Page)?;
    let Some(visitor) = at.visitor().await? else { return Ok(too_late(at)) };
    let form = at.own_form(body, visitor.session.csrf.expose(), FORM).await?;
    let sealed = form.one("request").unwrap_or_default();
    let browser = Browser { org: at.issuer().org(), holds: visitor.session.id.as_str() };
    let now = at.gateway.clock.now();
    let opened = at.gateway.seals.open_page(Purpose::Consent, &browser, sealed, now);
    let request = opened.and_then(|text| serde_json::from_slice(&text).ok());
    let Some(request): Option<AuthorizationRequest> = request else { return Ok(too_late(at)) };
    if form.one("decision") != Some("allow") {
        note(at, &visitor, &request, "identity:consent", |event| Event {
            refused: Some((RefusalCode::Cancelled, "the person did not agree".to_owned())),
            ..event
        })
        .await?;
        let location = at.identity.server.deny(&request, DenyReason::AccessDenied);
        return Ok(onward(at.base(), "Not connected", location.as_str()));
    }
    may_connect(at, &visitor, &request).await?;
    let location = approved(at, &visitor, &request).await?;
    Ok(with_cookie(onward(at.base(), "Connected", &location), visitor.cookie))
}

/// Sends the client away if policy does not let this person connect.
async fn may_connect(
    at: &At,
    visitor: &Visitor,
    request: &AuthorizationRequest,
) -> Result<(), Refused> {
    let may = at.revision.may_use(&visitor.caller, &request.resource, &at.circumstances());
    let Err(why) = may else { return Ok(()) };
    note(at, visitor, request, "identity:authorize", |event| event.forbidden(&why)).await?;
    // A page that goes on: after a form, a browser would not follow a redirect elsewhere.
    let location = at.identity.server.deny(request, DenyReason::AccessDenied);
    Err(onward(at.base(), "You may not use this", location.as_str()).into())
}

/// Grants what was asked for, on record before the code leaves.
async fn approved(
    at: &At,
    visitor: &Visitor,
    request: &AuthorizationRequest,
) -> Result<String, Refused> {
    let session = &visitor.session;
    let facts = SignInFacts {
        auth_time: session.auth_time,
        amr: session.amr.clone(),
        session: Some(session.id.as_str().to_owned()),
    };
    let server = &at.identity.server;
    let location = server.approve(&visitor.person, facts, request, request.scopes, true).await;
    let location = location.map_err(|error| at.failed("a code cannot be made", &error))?;
    note(at, visitor, request, "identity:consent", |event| event).await?;
    Ok(location.as_str().to_owned())
}

/// Puts on record what became of a request.
async fn note<'a>(
    at: &At,
    visitor: &'a Visitor,
    request: &'a AuthorizationRequest,
    method: &str,
    change: impl FnOnce(Event<'a>) -> Event<'a>,
) -> Result<(), Refused> {
    let event = Event {
        caller: Some(&visitor.caller),
        source: Some(at.source),
        client: Some(&request.client_name),
        resource: Some(&request.resource),
        note: format!(
            "client {}, answers to {}, scope {}",
            request.client_id,
            request.redirect_host(),
            request.scopes
        ),
        ..Event::default()
    };
    at.note(method, change(event)).await
}

/// The page that asks.
fn ask(
    at: &At,
    visitor: &Visitor,
    request: &AuthorizationRequest,
) -> Result<Response<Body>, Refused> {
    let session = &visitor.session;
    let browser = Browser { org: at.issuer().org(), holds: session.id.as_str() };
    let text = serde_json::to_vec(request);
    let text = text.map_err(|error| at.failed("a request cannot be written", &error))?;
    let until = at.gateway.clock.now().after(THINKS);
    let sealed = at.gateway.seals.seal_page(Purpose::Consent, &browser, &text, until);
    let sealed = sealed.map_err(|error| at.failed("a request cannot be sealed", &error))?;
    let page = view::Consent {
        base: at.base(),
        asking: asking(at, request, true),
        who: visitor.person.user.id.as_str(),
        scopes: request.scopes.iter().map(|scope| scope.sentence()).collect(),
        csrf: &form_token(session.csrf.expose(), FORM),
        logout_csrf: &form_token(session.csrf.expose(), login::LOGOUT),
        request: &sealed,
    };
    Ok(pages::page(StatusCode::OK, &page))
}

/// Sends the browser to the client, which is told.
fn denied(at: &At, request: &AuthorizationRequest, why: DenyReason) -> Response<Body> {
    sent(at, at.identity.server.deny(request, why).as_str())
}

fn sent(at: &At, location: &str) -> Response<Body> {
    redirect(location).unwrap_or_else(|| not_known(at, "The address to return to is no URL."))
}

/// A page for a request of somebody who is not known, or that leads nowhere that is.
fn not_known(at: &At, sentence: &str) -> Response<Body> {
    let advice = "Begin again in the application that sent you here. If this stays so, ask an \
                  administrator.";
    let title = "This application cannot connect";
    pages::notice(at.base(), StatusCode::BAD_REQUEST, title, &[sentence, advice])
}

fn too_late(at: &At) -> Response<Body> {
    let words = "This question is not open any more. Begin again in the application that sent \
                 you here.";
    pages::notice(at.base(), StatusCode::BAD_REQUEST, "Too late", &[words])
}
