//! What a provider tells of people who have signed out there.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;
use tidegate_identity::login::{LoginRefused, LogoutToken};

use crate::{
    http::{
        cookies::Cookie,
        gate::{At, Open, Refused, plain},
        pace::Door,
        pages::with_cookie,
    },
    identity::trail::Event,
};

/// `POST /login/{provider}/backchannel` (OpenID Connect Back-Channel Logout).
pub(in crate::http) async fn back_channel(Open(at): Open, body: Body) -> Response<Body> {
    if !at.gateway.pace.take(Door::Token, at.source) {
        return plain(StatusCode::TOO_MANY_REQUESTS, "too many requests; wait a minute");
    }
    let form = match at.form(body).await {
        Ok(form) => form,
        Err(response) => return response,
    };
    let token = form.one("logout_token").unwrap_or_default();
    let (providers, name) = (&at.identity.providers, at.param("provider"));
    match providers.logout_token(at.settings(), name, token).await {
        Ok(token) => match end(&at, &token).await {
            Ok(()) => answer(StatusCode::OK, Body::empty()),
            Err(refused) => refused.into(),
        },
        Err(why) => refused(&at, &why).await,
    }
}

/// `GET /login/{provider}/frontchannel` (OpenID Connect Front-Channel Logout), loaded within a
/// page of the provider.
pub(in crate::http) async fn front_channel(Open(at): Open) -> Response<Body> {
    if !at.gateway.pace.take(Door::Page, at.source) {
        return plain(StatusCode::TOO_MANY_REQUESTS, "too many requests; wait a minute");
    }
    let (providers, name) = (&at.identity.providers, at.param("provider"));
    match providers.front_channel(at.settings(), name, &at.query().0) {
        Ok(token) => match told(&at, &token).await {
            Ok(cookie) => with_cookie(answer(StatusCode::OK, Body::empty()), cookie),
            Err(refused) => refused.into(),
        },
        Err(why) => refused(&at, &why).await,
    }
}

/// Ends what a page of the provider names. Where the browser sends a cookie along it goes if
/// nothing is behind it any more: that much anybody may bring about.
async fn told(at: &At, token: &LogoutToken) -> Result<Option<HeaderValue>, Refused> {
    end(at, token).await?;
    if Cookie::Session.read(at.issuer(), &at.parts.headers).is_none() {
        return Ok(None);
    }
    Ok(match at.visitor().await? {
        Some(visitor) => visitor.cookie,
        None => Cookie::Session.clear(at.issuer()),
    })
}

/// Ends the sessions that a provider has ended, and what was granted in them.
async fn end(at: &At, token: &LogoutToken) -> Result<(), Refused> {
    let ended = at.identity.browsers.sign_out(token).await;
    let ended = ended.map_err(|error| at.failed("sessions cannot be ended", &error))?;
    for session in &ended.sessions {
        let server = &at.identity.server;
        let revoked = server.revoke_session(&session.user, session.id.as_str()).await;
        let revoked = revoked.map_err(|error| at.failed("grants cannot be revoked", &error))?;
        let note = format!(
            "provider `{}` ended a session of {}; {revoked} grants went with it",
            token.provider, session.user
        );
        let event = Event { source: Some(at.source), note, ..Event::default() };
        at.note("identity:sign_out", event).await?;
    }
    Ok(())
}

async fn refused(at: &At, why: &LoginRefused) -> Response<Body> {
    let note = format!("provider `{}`: {}", at.param("provider").escape_debug(), why.code());
    let event = Event { source: Some(at.source), note, ..Event::default() };
    if let Err(refused) = at.note("identity:sign_out", event.unauthenticated(why.to_string())).await
    {
        return refused.into();
    }
    let body = json!({ "error": "invalid_request", "error_description": why.to_string() });
    answer(StatusCode::BAD_REQUEST, Body::from(body.to_string()))
}

fn answer(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in [
        (header::CACHE_CONTROL, "no-cache, no-store"),
        (header::CONTENT_TYPE, "application/json"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
