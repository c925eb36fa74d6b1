//! The authorization server's endpoints and the metadata that leads to them.
//!
//! Thin over `identity::authorization`: reads requests, asks policy between what could be
//! issued and what is, records, answers. Pages for people are in [`authorize`] and [`device`],
//! what clients call themselves in [`token`] and [`register`].

mod anew;
pub(super) mod authorize;
pub(super) mod device;
pub(super) mod metadata;
pub(super) mod register;
pub(super) mod token;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use tidegate_identity::{
    Resource,
    authorization::{AuthorizationRequest, client::ClientKind},
};

use super::{gate::At, pages::view::Asking};
use crate::identity::trail::Event;

/// An answer in JSON, which pages from anywhere may read, and nobody keeps.
fn json(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::PRAGMA, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Puts on record what a program did. Where no row can be written the program is told in the
/// form that it reads (RFC 6749 section 5.2), and nothing it asked for is handed out.
async fn noted(at: &At, method: &str, event: Event<'_>) -> Result<(), Response<Body>> {
    at.note(method, event).await.map_err(|_| unrecorded())
}

/// The answer to a program whose request could not be put on record.
fn unrecorded() -> Response<Body> {
    let words = "this could not be recorded: try again";
    let body =
        serde_json::json!({ "error": "temporarily_unavailable", "error_description": words });
    json(StatusCode::SERVICE_UNAVAILABLE, body.to_string())
}

/// The answer to a browser that asks whether a page from elsewhere may call this. It may,
/// without cookies.
pub(super) async fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, mcp-protocol-version"),
        (header::ACCESS_CONTROL_MAX_AGE, "3600"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What people are told of a client that asks. `is_known`: whether they are signed in and may
/// be told the title of what they may use.
fn asking(at: &At, request: &AuthorizationRequest, is_known: bool) -> Asking {
    Asking {
        client: request.client_name.clone(),
        known: known(request.client_kind, &request.client_id),
        host: request.redirect_host(),
        what: what(at, &request.resource, is_known),
        is_local: request.is_loopback_only,
    }
}

/// How far a client's name is known.
fn known(kind: ClientKind, id: &str) -> String {
    match kind {
        ClientKind::Settings => "set up by an administrator here".to_owned(),
        ClientKind::Registered => "so it calls itself; nobody has checked the name".to_owned(),
        ClientKind::Document => {
            match id.parse::<http::Uri>().ok().as_ref().and_then(http::Uri::host) {
                Some(host) => format!("so it calls itself at {host}"),
                None => "so it calls itself".to_owned(),
            }
        }
        ClientKind::BuiltIn => "the command line of this gateway".to_owned(),
    }
}

/// What a token is for, in words.
fn what(at: &At, resource: &Resource, is_known: bool) -> String {
    match resource {
        Resource::Admin => "the administration of this gateway".to_owned(),
        Resource::Vmcp(vmcp) => {
            let published = at.revision.snapshot.vmcp(vmcp.as_str()).filter(|_| is_known);
            published.map_or_else(|| vmcp.to_string(), |published| published.vmcp.title.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    /// RFC 6749 section 5.2: programs read JSON, and are told when to come again.
    #[tokio::test]
    async fn what_cannot_be_recorded_is_told_in_the_form_that_programs_read() {
        let answer = unrecorded();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let said: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(said["error"], "temporarily_unavailable");
        assert!(said["error_description"].as_str().unwrap().contains("recorded"), "{said}");
    }
}
