//! Signing in with the organisation's provider: there and back.

use axum::body::Body;
use http::{Response, StatusCode};
use tidegate_identity::{
    directory::{Person, SignInRefused},
    login::{Finished, LoginRefused, NewSession},
};

use super::SIGN_IN;
use crate::{
    http::{
        gate::{At, Refused, nothing, return_to},
        pace::Door,
        pages::{self, onward, redirect, with_cookie},
    },
    identity::trail::Event,
};

/// `POST /login/{provider}`: leads to the provider. Nothing was asked of it before.
pub(in crate::http) async fn begin(at: At, body: Body) -> Response<Body> {
    begun(&at, body).await.unwrap_or_else(Response::from)
}

/// `GET /login/{provider}/callback`: what the provider sent the browser back with.
pub(in crate::http) async fn callback(at: At) -> Response<Body> {
    came_back(&at).await.unwrap_or_else(Response::from)
}

async fn begun(at: &At, body: Body) -> Result<Response<Body>, Refused> {
    at.knock(Door::SignIn)?;
    let holds = at.had_flow().unwrap_or_default();
    let form = at.own_form(body, holds, SIGN_IN).await?;
    let start = at.start();
    let target = return_to(form.one("return_to"), &start);
    let name = at.param("provider");
    let begun = at.identity.providers.begin(at.settings(), name, holds, target).await;
    match begun {
        Ok(begun) => Ok(onward(at.base(), "To your provider", &begun.url)),
        Err(why) => Err(refused(at, &why).await.into()),
    }
}

async fn came_back(at: &At) -> Result<Response<Body>, Refused> {
    at.knock(Door::Page)?;
    let (name, query) = (at.param("provider"), at.query());
    let holds = at.had_flow().unwrap_or_default();
    let finished = at.identity.providers.finish(at.settings(), name, &query.0, holds).await;
    let finished = match finished {
        Ok(finished) => finished,
        Err(why) => return Err(refused(at, &why).await.into()),
    };
    let directory = &at.identity.directory;
    let person = match directory.signed_in(&finished.claimed, at.settings().open_join).await {
        Ok(person) => person,
        Err(why) => return Err(not_let_in(at, &finished, &why).await.into()),
    };
    let start = at.start();
    let target = return_to(Some(&finished.carried), &start).to_owned();
    let cookie = signed_in(at, &person, finished).await?;
    let sent = redirect(&target).unwrap_or_else(nothing);
    Ok(with_cookie(sent, cookie))
}

async fn signed_in(
    at: &At,
    person: &Person,
    finished: Finished,
) -> Result<Option<http::HeaderValue>, Refused> {
    let how = format!("with provider `{}`", finished.claimed.link.provider);
    let new = NewSession {
        user: person.user.id.clone(),
        link: Some(finished.claimed.link),
        sid: finished.sid,
        auth_time: finished.auth_time,
        amr: finished.amr,
        id_token: Some(finished.id_token),
    };
    at.sign_in(person, new, &how).await
}

/// A page for a sign-in that the provider or its answer brought to nothing.
async fn refused(at: &At, why: &LoginRefused) -> Response<Body> {
    let sentence = format!("{why}.");
    tracing::info!(provider = at.param("provider"), %why, "a sign-in was refused");
    let event = Event {
        source: Some(at.source),
        note: format!("provider `{}`: {}", at.param("provider").escape_debug(), why.code()),
        ..Event::default()
    };
    if let Err(refused) = at.note("identity:sign_in", event.unauthenticated(&sentence)).await {
        return refused.into();
    }
    let status = match why {
        LoginRefused::Unavailable { .. } => StatusCode::BAD_GATEWAY,
        LoginRefused::Store(_) | LoginRefused::Keyring(_) | LoginRefused::NoRandomness => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => StatusCode::FORBIDDEN,
    };
    not_signed_in(at, status, &sentence)
}

/// A page for somebody whom their provider knows and who may not come in here. It does not
/// say why: that is for the administrator, in the log and the audit.
async fn not_let_in(at: &At, finished: &Finished, why: &SignInRefused) -> Response<Body> {
    if let SignInRefused::Directory(error) = why {
        return at.failed("a sign-in cannot be taken over", error);
    }
    tracing::warn!(%why, "somebody whom their provider knows was not let in");
    let link = &finished.claimed.link;
    let event = Event {
        source: Some(at.source),
        note: format!("provider `{}`, subject `{}`", link.provider, link.subject.escape_debug()),
        ..Event::default()
    };
    if let Err(refused) = at.note("identity:sign_in", event.unauthenticated(why.to_string())).await
    {
        return refused.into();
    }
    let words = "Your provider knows you, but you may not come in here. An administrator can \
                 see why, and let you in.";
    not_signed_in(at, StatusCode::FORBIDDEN, words)
}

fn not_signed_in(at: &At, status: StatusCode, sentence: &str) -> Response<Body> {
    let target = format!("{}/login", at.base());
    let said: (&str, &[&str]) = ("You are not signed in", &[sentence]);
    pages::notice_with(at.base(), status, said, (&target, "Try again"))
}
