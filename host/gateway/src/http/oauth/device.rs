//! A program without a browser shows a code; somebody types it here and lets it in (RFC 8628).

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};
use tidegate_identity::authorization::{
    DeviceRequest, SignInFacts,
    client::{Client, ClientError},
};
use tidegate_model::RefusalCode;

use super::{known, what};
use crate::{
    http::{
        cookies::form_token,
        gate::{At, Refused, Visitor},
        login,
        pace::Door,
        pages::{self, Said, view, with_cookie},
    },
    identity::trail::Event,
};

/// The forms on these pages.
const FORM: &str = "device";

/// `GET /device`.
pub(in crate::http) async fn show(at: At) -> Response<Body> {
    shown(&at).await.unwrap_or_else(Response::from)
}

/// `POST /device`: a code, then a decision about it.
pub(in crate::http) async fn decide(at: At, body: Body) -> Response<Body> {
    decided(&at, body).await.unwrap_or_else(Response::from)
}

async fn shown(at: &At) -> Result<Response<Body>, Refused> {
    at.knock(Door::Page)?;
    let Some(visitor) = at.visitor().await? else { return login::page(at, at.wish()) };
    let query = at.query();
    let code: String = query.one("user_code").unwrap_or_default().chars().take(16).collect();
    let page = code_page(at, &visitor, &code, None);
    Ok(with_cookie(page, visitor.cookie))
}

async fn decided(at: &At, body: Body) -> Result<Response<Body>, Refused> {
    // Guessing codes is bounded like guessing passwords.
    at.knock(Door::Device)?;
    let Some(visitor) = at.visitor().await? else { return login::page(at, at.wish()) };
    let form = at.own_form(body, visitor.session.csrf.expose(), FORM).await?;
    let code = form.one("code").unwrap_or_default();
    let found = at.identity.server.device(code).await;
    let found = found.map_err(|error| at.failed("a device cannot be looked up", &error))?;
    let client = match &found {
        Some(device) => client(at, device).await?,
        None => None,
    };
    let Some((device, client)) = found.zip(client) else {
        let words = "No program waits with this code. Look at it again, or start the program anew.";
        return Ok(code_page(at, &visitor, code, Some(words)));
    };
    let done = match form.one("decision") {
        None => return Ok(confirm_page(at, &visitor, (&device, &client), code)),
        Some("allow") => allow(at, &visitor, &device, code).await?,
        Some(_) => {
            let event = Event {
                refused: Some((RefusalCode::Cancelled, "the person did not agree".to_owned())),
                ..event(at, &visitor, &device)
            };
            at.note("identity:device", event).await?;
            let denied = at.identity.server.deny_device(code).await;
            denied.map_err(|error| at.failed("a device cannot be turned away", &error))?;
            ("Not connected", "The program was turned away.")
        }
    };
    let (title, sentence) = done;
    Ok(pages::notice(at.base(), StatusCode::OK, title, &[sentence]))
}

/// The client that a device has, where it may still come in.
async fn client(at: &At, device: &DeviceRequest) -> Result<Option<Arc<Client>>, Refused> {
    let found = at.identity.server.clients().find(at.settings(), &device.client_id).await;
    match found {
        Ok(client) => Ok(Some(client)),
        Err(ClientError::Unknown | ClientError::Unusable(_)) => Ok(None),
        Err(error) => Err(at.failed("a client cannot be looked up", &error).into()),
    }
}

async fn allow(
    at: &At,
    visitor: &Visitor,
    device: &DeviceRequest,
    code: &str,
) -> Result<(&'static str, &'static str), Refused> {
    if let Err(why) = at.revision.may_use(&visitor.caller, &device.resource, &at.circumstances()) {
        at.note("identity:device", event(at, visitor, device).forbidden(&why)).await?;
        return Ok(("You may not use this", "The program was not let in."));
    }
    at.note("identity:device", event(at, visitor, device)).await?;
    let session = &visitor.session;
    let facts = SignInFacts {
        auth_time: session.auth_time,
        amr: session.amr.clone(),
        session: Some(session.id.as_str().to_owned()),
    };
    let server = &at.identity.server;
    let approved = server.approve_device(&visitor.person, facts, code, device.scopes).await;
    match approved.map_err(|error| at.failed("a device cannot be let in", &error))? {
        true => Ok(("Connected", "Go back to the program: it goes on by itself.")),
        false => Ok(("Too late", "The program does not wait any more. Start it anew.")),
    }
}

fn event<'a>(at: &At, visitor: &'a Visitor, device: &'a DeviceRequest) -> Event<'a> {
    Event {
        caller: Some(&visitor.caller),
        source: Some(at.source),
        client: Some(&device.client_name),
        resource: Some(&device.resource),
        note: format!("client {}, scope {}", device.client_id, device.scopes),
        ..Event::default()
    }
}

fn code_page(at: &At, visitor: &Visitor, code: &str, problem: Option<&str>) -> Response<Body> {
    let csrf = form_token(visitor.session.csrf.expose(), FORM);
    let status = if problem.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let problem = problem.map(Said::new);
    pages::page(status, &view::Device { base: at.base(), problem, csrf: &csrf, code })
}

fn confirm_page(
    at: &At,
    visitor: &Visitor,
    (device, client): (&DeviceRequest, &Client),
    code: &str,
) -> Response<Body> {
    let page = view::DeviceConfirm {
        base: at.base(),
        client: &device.client_name,
        known: &known(client.kind, &device.client_id),
        what: &what(at, &device.resource, true),
        who: visitor.person.user.id.as_str(),
        code,
        scopes: device.scopes.iter().map(|scope| scope.sentence()).collect(),
        csrf: &form_token(visitor.session.csrf.expose(), FORM),
    };
    pages::page(StatusCode::OK, &page)
}
