//! What clients present: codes, refresh tokens, assertions; and tokens to revoke or to ask
//! about.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use tidegate_identity::authorization::{
    ErrorCode, Form, Pending, TokenRefused, client::GrantType, client_authentication::Credentials,
};
use tidegate_model::RefusalCode;

use super::{json, noted};
use crate::{
    http::{
        gate::{At, Fields, Open},
        pace::{Door, Slot},
    },
    identity::trail::Event,
};

/// Reads a client's form; what is no form is answered as RFC 6749 asks. Where the client's
/// document has to be fetched, there is a place for that.
async fn fields(at: &At, body: Body) -> Result<(Fields, Option<Slot>), Response<Body>> {
    if !at.gateway.pace.take(Door::Token, at.source) {
        return Err(too_many());
    }
    let bad = |response: Response<Body>| {
        let words = "send application/x-www-form-urlencoded of at most 64 KiB";
        let mut answer = refused(&refusal(ErrorCode::InvalidRequest, words));
        if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
            *answer.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        }
        answer
    };
    let fields = at.form(body).await.map_err(bad)?;
    // Credentials that cannot be read name nobody; they are refused for that below.
    let client = Credentials::read(&authorization(at), &fields.0);
    let client = client.as_ref().map(Credentials::client_id).unwrap_or_default();
    let slot = at.may_fetch(client).map_err(|_| too_many())?;
    Ok((fields, slot))
}

/// The values of a request's `Authorization` headers.
fn authorization(at: &At) -> Vec<&str> {
    let values = at.parts.headers.get_all(header::AUTHORIZATION).iter();
    // What is no text is a value that nobody can have.
    values.map(|value| value.to_str().unwrap_or_default()).collect()
}

/// `POST /oauth/token`.
pub(in crate::http) async fn token(Open(at): Open, body: Body) -> Response<Body> {
    let (fields, _slot) = match fields(&at, body).await {
        Ok(fields) => fields,
        Err(response) => return response,
    };
    let authorization = authorization(&at);
    let form = Form { authorization: &authorization, fields: &fields.0 };
    let server = &at.identity.server;
    let pending = match server.token(at.settings(), form).await {
        Ok(pending) => pending,
        Err(why) => return turned_away(&at, "identity:token", &why).await,
    };
    issue(&at, pending).await
}

/// Asks policy, issues and records.
async fn issue(at: &At, pending: Pending) -> Response<Body> {
    let (caller, resource) = (pending.caller().clone(), pending.resource().clone());
    let client = pending.client().name.clone();
    let event = Event {
        caller: Some(&caller),
        source: Some(at.source),
        client: Some(&client),
        resource: Some(&resource),
        note: format!(
            "{} to client {} under grant {}, scope {}",
            pending.way().name(),
            pending.client().id,
            pending.grant(),
            pending.scopes(),
        ),
        ..Event::default()
    };
    if let Err(why) = at.revision.may_use(&caller, &resource, &at.circumstances()) {
        let noted = noted(at, "identity:token", event.forbidden(&why)).await;
        let words = "a policy does not let this caller connect";
        let answer = || refused(&refusal(ErrorCode::AccessDenied, words));
        return noted.err().unwrap_or_else(answer);
    }
    let is_refresh = pending.way() == GrantType::RefreshToken;
    let reply = match at.identity.server.issue(pending).await {
        Ok(reply) => reply,
        Err(why) => return turned_away(at, "identity:token", &why).await,
    };
    match noted(at, "identity:token", event).await {
        Ok(()) => json(StatusCode::OK, reply.to_json().expose().to_owned()),
        Err(response) => {
            // Nobody gets what was issued. A client that refreshed may ask again; whatever is
            // new would be a grant that no one knows of.
            if !is_refresh && let Err(error) = at.identity.server.revoke_grant(reply.grant).await {
                at.log(&error);
            }
            response
        }
    }
}

/// `POST /oauth/revoke` (RFC 7009): the same answer whatever was presented.
pub(in crate::http) async fn revoke(Open(at): Open, body: Body) -> Response<Body> {
    let (fields, _slot) = match fields(&at, body).await {
        Ok(fields) => fields,
        Err(response) => return response,
    };
    let authorization = authorization(&at);
    let form = Form { authorization: &authorization, fields: &fields.0 };
    match at.identity.server.revoke(at.settings(), form).await {
        Err(why) => turned_away(&at, "identity:revoke", &why).await,
        Ok(None) => json(StatusCode::OK, Body::empty()),
        Ok(Some(given_up)) => {
            let note = format!(
                "client {} gave up grant {} of {}",
                given_up.client, given_up.grant, given_up.user
            );
            let event = Event { source: Some(at.source), note, ..Event::default() };
            let noted = noted(&at, "identity:revoke", event).await;
            noted.err().unwrap_or_else(|| json(StatusCode::OK, Body::empty()))
        }
    }
}

/// `POST /oauth/introspect` (RFC 7662).
pub(in crate::http) async fn introspect(Open(at): Open, body: Body) -> Response<Body> {
    let (fields, _slot) = match fields(&at, body).await {
        Ok(fields) => fields,
        Err(response) => return response,
    };
    let authorization = authorization(&at);
    let form = Form { authorization: &authorization, fields: &fields.0 };
    match at.identity.server.introspect(at.settings(), form).await {
        Ok(body) => json(StatusCode::OK, body),
        Err(why) => turned_away(&at, "identity:introspect", &why).await,
    }
}

/// `POST /oauth/device` (RFC 8628): begins access for a program without a browser.
pub(in crate::http) async fn device(Open(at): Open, body: Body) -> Response<Body> {
    let (fields, _slot) = match fields(&at, body).await {
        Ok(fields) => fields,
        Err(response) => return response,
    };
    let authorization = authorization(&at);
    let form = Form { authorization: &authorization, fields: &fields.0 };
    match at.identity.server.device_authorization(at.settings(), form).await {
        Ok(reply) => json(StatusCode::OK, reply.to_json()),
        Err(why) => turned_away(&at, "identity:device", &why).await,
    }
}

/// Answers a refusal; what should make somebody look is on record first.
async fn turned_away(at: &At, method: &str, why: &TokenRefused) -> Response<Body> {
    if let Some(fault) = &why.fault {
        at.log(fault);
    }
    let note = match &why.incident {
        Some(incident) => format!(
            "{}: grant {} of {} was revoked, client {}",
            incident.what.name(),
            incident.grant,
            incident.user,
            incident.client
        ),
        // A client that waits for a person asks again and again.
        None if matches!(why.code, ErrorCode::AuthorizationPending | ErrorCode::SlowDown) => {
            return refused(why);
        }
        None => why.code.name().to_owned(),
    };
    let code = match why.code {
        ErrorCode::InvalidClient | ErrorCode::InvalidGrant => RefusalCode::Unauthenticated,
        ErrorCode::ServerError | ErrorCode::TemporarilyUnavailable => RefusalCode::Internal,
        _ => RefusalCode::InvalidRequest,
    };
    let event = Event {
        source: Some(at.source),
        note,
        refused: Some((code, why.sentence.clone().into_owned())),
        ..Event::default()
    };
    noted(at, method, event).await.err().unwrap_or_else(|| refused(why))
}

/// A refusal as RFC 6749 section 5.2 has it.
fn refused(why: &TokenRefused) -> Response<Body> {
    let status = StatusCode::from_u16(why.code.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = json(status, why.to_json());
    if status == StatusCode::UNAUTHORIZED && why.names_basic {
        let basic = HeaderValue::from_static("Basic realm=\"tidegate\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
    }
    response
}

fn refusal(code: ErrorCode, sentence: &'static str) -> TokenRefused {
    TokenRefused {
        code,
        sentence: sentence.into(),
        names_basic: false,
        incident: None,
        fault: None,
    }
}

fn too_many() -> Response<Body> {
    let words = "too many requests from this address; wait a minute";
    let mut response = refused(&refusal(ErrorCode::TemporarilyUnavailable, words));
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
    response
}
