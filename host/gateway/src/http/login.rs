//! Signing in and out in a browser: pages and endpoints over `identity::login`.
//!
//! Owns the order: a page that names who asks, a form that only that page could have sent, a
//! way in, a session with a name of its own. Every end of it is on record.

pub(super) mod home;
pub(super) mod notices;
pub(super) mod provider;
pub(super) mod welcome;

use axum::body::Body;
use http::{Response, StatusCode};
use tidegate_identity::{
    directory::Person,
    login::{NewSession, password::PasswordRefused},
    method::session,
};
use tidegate_model::{Secret, UserId};

use super::{
    cookies::{Cookie, form_token},
    gate::{At, Refused, return_to},
    pace::Door,
    pages::{
        self, Said, onward, redirect,
        view::{self, Asking, ProviderButton},
        with_cookie,
    },
};
use crate::identity::trail::Event;

/// The form that signs out.
pub(super) const LOGOUT: &str = "logout";
/// The forms of the sign-in page.
const SIGN_IN: &str = "sign-in";

/// What a sign-in page is to show.
#[derive(Debug, Default)]
pub(super) struct Wish {
    /// For whom somebody is to sign in.
    pub(super) asking: Option<Asking>,
    /// Who probably does.
    pub(super) email: String,
    /// Why it did not work.
    pub(super) problem: Option<String>,
    /// Where to go on to.
    pub(super) return_to: String,
}

impl At {
    /// A sign-in that comes back here.
    pub(super) fn wish(&self) -> Wish {
        Wish { return_to: self.here(), ..Wish::default() }
    }

    /// Where somebody begins.
    pub(super) fn start(&self) -> String {
        format!("{}/", self.base())
    }

    /// Begins a session for somebody who has proved who they are, in place of the one that the
    /// browser had. The cookie of the new one.
    pub(super) async fn sign_in(
        &self,
        person: &Person,
        new: NewSession,
        how: &str,
    ) -> Result<Option<http::HeaderValue>, Refused> {
        let now = self.gateway.clock.now();
        let caller = session::session(self.issuer().org().clone(), person, now);
        let event = Event {
            caller: caller.as_ref(),
            source: Some(self.source),
            note: how.to_owned(),
            ..Event::default()
        };
        self.note("identity:sign_in", event).await?;
        let browsers = &self.identity.browsers;
        if let Some(old) = Cookie::Session.read(self.issuer(), &self.parts.headers)
            && let Err(error) = browsers.end_by_cookie(old).await
        {
            return Err(self.failed("an old session cannot be ended", &error).into());
        }
        let opened = browsers.open(self.settings(), person, new).await;
        let opened = opened.map_err(|error| self.failed("a session cannot begin", &error))?;
        Ok(self.session_cookie(opened.cookie.expose()))
    }
}

/// The sign-in page.
pub(super) fn page(at: &At, wish: Wish) -> Result<Response<Body>, Refused> {
    let flow = at.flow()?;
    let settings = at.settings();
    let providers = settings.usable_providers();
    let providers = providers.map(|(name, it)| ProviderButton { name, title: &it.title });
    let start = at.start();
    let status = if wish.problem.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    let page = view::SignIn {
        base: at.base(),
        problem: wish.problem.as_deref().map(Said::new),
        providers: providers.collect(),
        accounts: settings.takes_accounts(),
        csrf: &form_token(&flow.holds, SIGN_IN),
        return_to: return_to(Some(&wish.return_to), &start),
        email: &wish.email,
        asking: wish.asking,
    };
    Ok(with_cookie(pages::page(status, &page), flow.cookie))
}

/// `GET /login`.
pub(super) async fn show(at: At) -> Response<Body> {
    shown(&at).await.unwrap_or_else(Response::from)
}

async fn shown(at: &At) -> Result<Response<Body>, Refused> {
    at.knock(Door::Page)?;
    let (query, start) = (at.query(), at.start());
    let target = return_to(query.one("return_to"), &start);
    if let Some(visitor) = at.visitor().await? {
        let sent = redirect(target).unwrap_or_else(super::gate::nothing);
        return Ok(with_cookie(sent, visitor.cookie));
    }
    page(at, Wish { return_to: target.to_owned(), ..Wish::default() })
}

/// `POST /login/password`: an account of the gateway's own.
pub(super) async fn password(at: At, body: Body) -> Response<Body> {
    with_password(&at, body).await.unwrap_or_else(Response::from)
}

async fn with_password(at: &At, body: Body) -> Result<Response<Body>, Refused> {
    at.knock(Door::SignIn)?;
    let form = at.own_form(body, at.had_flow().unwrap_or_default(), SIGN_IN).await?;
    let start = at.start();
    let target = return_to(form.one("return_to"), &start).to_owned();
    if !at.settings().takes_accounts() {
        let words = "Accounts of this gateway cannot be used to sign in here.";
        return Ok(pages::notice(at.base(), StatusCode::FORBIDDEN, "Sign in", &[words]));
    }
    let email: String = form.one("email").unwrap_or_default().chars().take(254).collect();
    let secret = Secret::new(form.one("password").unwrap_or_default().to_owned());
    let passwords = &at.gateway.passwords;
    let directory = &at.identity.directory;
    let signed_in = passwords.sign_in(directory, &email, &secret, Some(at.source)).await;
    let person = match signed_in {
        Ok(person) => person,
        Err(why) => {
            let problem = refused(at, &email, &why).await?;
            let wish = Wish { email, problem: Some(problem), return_to: target, asking: None };
            return page(at, wish);
        }
    };
    let new = NewSession {
        user: person.user.id.clone(),
        link: None,
        sid: None,
        auth_time: at.gateway.clock.now(),
        amr: vec!["pwd".to_owned()],
        id_token: None,
    };
    let cookie = at.sign_in(&person, new, "with a password").await?;
    Ok(with_cookie(onward(at.base(), "Signed in", &target), cookie))
}

/// Puts a refused password on record; the sentence for whoever tried.
async fn refused(at: &At, email: &str, why: &PasswordRefused) -> Result<String, Refused> {
    if let PasswordRefused::Fault(_) | PasswordRefused::Directory(_) = why {
        return Err(at.failed("a password cannot be checked", why).into());
    }
    let sentence = why.to_string();
    // Only a name that is known: what is typed in its place may be a password.
    let directory = &at.identity.directory;
    let name = email.trim().to_lowercase();
    let named = UserId::new(&name).ok().and_then(|id| directory.user(&id));
    let named = named.or_else(|| directory.by_email(&name));
    let note = match named {
        Some(person) => format!("tried as `{}`", person.user.id),
        None => "tried as nobody who is known here".to_owned(),
    };
    let event = Event { source: Some(at.source), note, ..Event::default() };
    at.note("identity:sign_in", event.unauthenticated(&sentence)).await?;
    Ok(sentence)
}

/// `GET /logout`: asks, since anybody's page could have led here.
pub(super) async fn ask_to_leave(at: At) -> Response<Body> {
    let asked = async {
        at.knock(Door::Page)?;
        let Some(visitor) = at.visitor().await? else { return Ok(gone(&at)) };
        let page = view::SignOut {
            base: at.base(),
            who: visitor.person.user.id.as_str(),
            csrf: &form_token(visitor.session.csrf.expose(), LOGOUT),
        };
        Ok(with_cookie(pages::page(StatusCode::OK, &page), visitor.cookie))
    };
    asked.await.unwrap_or_else(|refused: Refused| refused.into())
}

/// `POST /logout`: ends the session here, and at the provider where it offers that.
pub(super) async fn leave(at: At, body: Body) -> Response<Body> {
    left(&at, body).await.unwrap_or_else(Response::from)
}

async fn left(at: &At, body: Body) -> Result<Response<Body>, Refused> {
    at.knock(Door::Page)?;
    let Some(visitor) = at.visitor().await? else { return Ok(gone(at)) };
    at.own_form(body, visitor.session.csrf.expose(), LOGOUT).await?;
    let event =
        Event { caller: Some(&visitor.caller), source: Some(at.source), ..Event::default() };
    at.note("identity:sign_out", event).await?;
    let cookie = Cookie::Session.read(at.issuer(), &at.parts.headers).unwrap_or_default();
    let ended = at.identity.browsers.end_by_cookie(cookie).await;
    ended.map_err(|error| at.failed("a session cannot be ended", &error))?;
    let back = at.issuer().endpoint("/login");
    let providers = &at.identity.providers;
    let elsewhere = providers.logout_url(at.settings(), &visitor.session, &back).await;
    let answer = match elsewhere {
        Some(url) => onward(at.base(), "Signed out", &url),
        None => gone(at),
    };
    Ok(with_cookie(answer, Cookie::Session.clear(at.issuer())))
}

fn gone(at: &At) -> Response<Body> {
    let words = "You are signed out in this browser. Clients that you connected stay connected.";
    let target = format!("{}/login", at.base());
    let said: (&str, &[&str]) = ("Signed out", &[words]);
    pages::notice_with(at.base(), StatusCode::OK, said, (&target, "Sign in again"))
}
