//! `/scim/v2`: the organisation's own directory provisions users and groups.
//!
//! Thin over `identity::directory::scim`: checks the bearer token before anything is read,
//! records every change with what was before and after, and answers in SCIM's form. Where the
//! settings have no token there is nothing here.

use std::collections::BTreeSet;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, header::HeaderName};
use tidegate_identity::{
    Caller,
    directory::scim::{Answer, MAX_BODY, MEDIA_TYPE, Scim, ScimError, ScimRequest},
    method::provisioning,
};
use tidegate_model::{RefusalCode, UserId};
use tidegate_store::log::LogHealth;

use super::{
    gate::{At, nothing},
    mcp,
    pace::Door,
};
use crate::identity::trail::Event;

/// Anything under `/scim/v2/`.
pub(super) async fn serve(at: At, body: Body) -> Response<Body> {
    if at.settings().scim_token.is_none() {
        return nothing();
    }
    let Some(caller) = caller(&at) else { return stranger(&at) };
    let done = match read(&at, body).await {
        Ok(body) => recorded(&at, &caller, &body).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(answer) => respond(answer),
        Err(error) => refuse(&error),
    }
}

fn caller(at: &At) -> Option<Caller> {
    let token = mcp::credential(&at.parts.headers)?;
    provisioning::authenticate(at.settings(), at.issuer().org().clone(), token)
}

/// 401, the same for every reason; too many in a minute are not even told that.
fn stranger(at: &At) -> Response<Body> {
    if !at.gateway.pace.take(Door::Provision, at.source) {
        let words = "too many requests from this address; wait a minute";
        let mut response = refuse(&ScimError::new(StatusCode::TOO_MANY_REQUESTS, words));
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        return response;
    }
    tracing::warn!(source = %at.source, "somebody asks to provision without the right token");
    let words = "the provisioning token is needed in `Authorization: Bearer`";
    let mut response = refuse(&ScimError::new(StatusCode::UNAUTHORIZED, words));
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

async fn read(at: &At, body: Body) -> Result<bytes::Bytes, ScimError> {
    let headers = &at.parts.headers;
    let kind = text(headers, header::CONTENT_TYPE);
    let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let is_json = kind.is_none_or(|kind| {
        [MEDIA_TYPE, "application/json"].iter().any(|known| kind.eq_ignore_ascii_case(known))
    });
    if !is_json || headers.contains_key(header::CONTENT_ENCODING) {
        let words = format!("send {MEDIA_TYPE}, not encoded");
        return Err(ScimError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
    }
    let read = mcp::read(body, MAX_BODY).await;
    read.map_err(|bad| ScimError::new(bad.status, bad.message.to_string()))
}

/// Whom the organisation's key files name, as the directory spells it.
fn key_holders(at: &At) -> BTreeSet<UserId> {
    let keys = at.revision.resources.keys.values();
    let holders = keys.filter_map(|key| key.user.as_ref().or(key.agent.as_ref()));
    holders.filter_map(|holder| UserId::new(&holder.to_lowercase()).ok()).collect()
}

/// Carries out a request, and puts it on record where it would change something.
async fn recorded(at: &At, caller: &Caller, body: &[u8]) -> Result<Answer, ScimError> {
    let query = at.query().0;
    let headers = &at.parts.headers;
    let request = ScimRequest {
        method: &at.parts.method,
        path: at.param("rest"),
        query: &query,
        if_match: text(headers, header::IF_MATCH),
        if_none_match: text(headers, header::IF_NONE_MATCH),
        body,
    };
    let key_holders = key_holders(at);
    let scim = Scim {
        key_holders: &key_holders,
        issuer: at.issuer(),
        settings: at.settings(),
        directory: &at.identity.directory,
        keys: &at.identity.keys,
        server: &at.identity.server,
        browsers: &at.identity.browsers,
    };
    let Some(action) = request.action() else { return scim.answer(&request).await };
    let log = at.gateway.audit.log();
    if !log.is_none_or(|log| matches!(log.health(), LogHealth::Ready)) {
        // Nothing is changed that could not be put on record.
        return Err(unrecorded());
    }
    let done = scim.answer(&request).await;
    let mut event = Event { caller: Some(caller), source: Some(at.source), ..Event::default() };
    match &done {
        Ok(answer) => event.note = answer.note.clone().unwrap_or_default(),
        Err(error) => {
            event.note = format!("{} {}", at.parts.method, at.parts.uri.path());
            let code = match error.status {
                StatusCode::NOT_FOUND => RefusalCode::NotFound,
                status if status.is_server_error() => RefusalCode::Internal,
                _ => RefusalCode::InvalidRequest,
            };
            event.refused = Some((code, error.detail.clone()));
        }
    }
    let noted = at.identity.note(&at.gateway, &at.revision, action, event).await;
    noted.map_err(|error| {
        at.log(&error);
        unrecorded()
    })?;
    done
}

fn unrecorded() -> ScimError {
    let words = "the audit log takes no rows, so nothing can be changed: try again later";
    ScimError::new(StatusCode::SERVICE_UNAVAILABLE, words)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn refuse(error: &ScimError) -> Response<Body> {
    body(error.status, Some(error.body().to_string()))
}

fn respond(answer: Answer) -> Response<Body> {
    let tag = answer.etag();
    let mut response = body(answer.status, answer.body.map(|body| body.to_string()));
    let headers = [(header::LOCATION, answer.location), (header::ETAG, tag)];
    for (name, value) in headers {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn body(status: StatusCode, text: Option<String>) -> Response<Body> {
    let has_body = text.is_some();
    let mut response = Response::new(text.map_or_else(Body::empty, Body::from));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if has_body {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
