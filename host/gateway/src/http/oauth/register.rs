//! Clients that register themselves (RFC 7591).

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;
use tidegate_identity::authorization::registration::{MAX_REQUEST, RegistrationRefused};
use tidegate_model::RefusalCode;

use super::{json, noted};
use crate::{
    http::{
        gate::{At, Open},
        mcp,
        pace::Door,
    },
    identity::trail::Event,
};

/// `POST /oauth/register`.
pub(in crate::http) async fn register(Open(at): Open, body: Body) -> Response<Body> {
    if !at.gateway.pace.take(Door::Register, at.source) {
        return too_many(60, "too many requests from this address; wait a minute");
    }
    let kind = at.parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
        let words = "send the client's metadata as application/json";
        return refused(StatusCode::BAD_REQUEST, "invalid_client_metadata", words);
    }
    let body = match mcp::read(body, MAX_REQUEST).await {
        Ok(body) => body,
        Err(bad) => return refused(bad.status, "invalid_client_metadata", &bad.message),
    };
    let clients = at.identity.server.clients();
    match clients.register(at.settings(), at.source, &body).await {
        Err(why) => turned_away(&at, &why).await,
        Ok(registered) => {
            let client = &registered.client;
            let event = Event {
                source: Some(at.source),
                client: Some(&client.name),
                note: format!("client {} registered itself", client.id),
                ..Event::default()
            };
            match noted(&at, "identity:register", event).await {
                Err(response) => response,
                Ok(()) => json(StatusCode::CREATED, registered.answer.expose().to_owned()),
            }
        }
    }
}

async fn turned_away(at: &At, why: &RegistrationRefused) -> Response<Body> {
    let sentence = why.to_string();
    let event = Event {
        source: Some(at.source),
        refused: Some((RefusalCode::InvalidRequest, sentence.clone())),
        ..Event::default()
    };
    match why {
        RegistrationRefused::Metadata(bad) => {
            refused(StatusCode::BAD_REQUEST, bad.code(), &sentence)
        }
        RegistrationRefused::TooMany { retry_after } => {
            too_many(retry_after.as_secs().max(1), &sentence)
        }
        RegistrationRefused::Off => {
            let answer = refused(StatusCode::FORBIDDEN, "access_denied", &sentence);
            noted(at, "identity:register", event).await.err().unwrap_or(answer)
        }
        RegistrationRefused::Full => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let answer = refused(status, "temporarily_unavailable", &sentence);
            noted(at, "identity:register", event).await.err().unwrap_or(answer)
        }
        RegistrationRefused::Store(_) | RegistrationRefused::Random => {
            at.log(why);
            let words = "this could not be recorded: try again";
            refused(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", words)
        }
    }
}

fn refused(status: StatusCode, code: &str, sentence: &str) -> Response<Body> {
    let body = json!({ "error": code, "error_description": sentence });
    json(status, body.to_string())
}

fn too_many(seconds: u64, sentence: &str) -> Response<Body> {
    let status = StatusCode::TOO_MANY_REQUESTS;
    let mut response = refused(status, "temporarily_unavailable", sentence);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}
