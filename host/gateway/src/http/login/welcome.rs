//! A link by which somebody gets their first password: the first owner, or whoever is invited.

use axum::body::Body;
use http::{Response, StatusCode};
use tidegate_identity::login::{
    NewSession,
    bootstrap::{Invited, WelcomeRefused},
    password::PasswordRefused,
};
use tidegate_model::{RefusalCode, Secret};

use crate::{
    http::{
        cookies::form_token,
        gate::{At, Refused},
        pace::Door,
        pages::{self, Said, onward, view, with_cookie},
    },
    identity::trail::Event,
};

/// The form on this page.
const FORM: &str = "welcome";

/// `GET /welcome/{token}`.
pub(in crate::http) async fn show(at: At) -> Response<Body> {
    let shown = async {
        at.knock(Door::SignIn)?;
        page(&at, "", None).await
    };
    shown.await.unwrap_or_else(Response::from)
}

/// `POST /welcome/{token}`.
pub(in crate::http) async fn accept(at: At, body: Body) -> Response<Body> {
    accepted(&at, body).await.unwrap_or_else(Response::from)
}

async fn page(at: &At, email: &str, problem: Option<&str>) -> Result<Response<Body>, Refused> {
    let token = at.param("token");
    let invited = at.identity.welcome.look(at.settings(), token).await;
    let invited = match invited {
        Ok(invited) => invited,
        Err(why) => return Err(refused(at, &why).into()),
    };
    let flow = at.flow()?;
    let page = view::Welcome {
        base: at.base(),
        token,
        problem: problem.map(Said::new),
        csrf: &form_token(&flow.holds, FORM),
        email,
        who: match &invited {
            Invited::FirstOwner => None,
            Invited::User(id) => Some(id.as_str()),
        },
    };
    let status = if page.problem.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    Ok(with_cookie(pages::page(status, &page), flow.cookie))
}

async fn accepted(at: &At, body: Body) -> Result<Response<Body>, Refused> {
    at.knock(Door::SignIn)?;
    let form = at.own_form(body, at.had_flow().unwrap_or_default(), FORM).await?;
    let email = form.one("email").unwrap_or_default();
    let password = Secret::new(form.one("password").unwrap_or_default().to_owned());
    let (settings, token) = (at.settings(), at.param("token"));
    let by = (settings, &*at.gateway.passwords);
    let done = at.identity.welcome.accept(by, token, Some(email), &password).await;
    let person = match done {
        Ok(person) => person,
        // What can be mended is asked for again.
        Err(
            why @ (WelcomeRefused::NoEmail
            | WelcomeRefused::Directory(_)
            | WelcomeRefused::Password(PasswordRefused::Weak(_) | PasswordRefused::Busy)),
        ) => return page(at, email, Some(&why.to_string())).await,
        Err(why) => {
            let event = Event {
                source: Some(at.source),
                refused: Some((RefusalCode::Unauthenticated, why.to_string())),
                ..Event::default()
            };
            at.note("identity:welcome", event).await?;
            return Err(refused(at, &why).into());
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
    let cookie = at.sign_in(&person, new, "by a welcome link, with a new password").await?;
    Ok(with_cookie(onward(at.base(), "Welcome", &at.start()), cookie))
}

fn refused(at: &At, why: &WelcomeRefused) -> Response<Body> {
    let sentence = match why {
        // The heading has said the rest.
        WelcomeRefused::Unknown => {
            "It was used before, or it is too old. Ask for a new one.".into()
        }
        WelcomeRefused::NoAccounts => why.to_string(),
        why => return at.failed("a welcome link cannot be used", why),
    };
    pages::notice(at.base(), StatusCode::NOT_FOUND, "This link does not work", &[&sentence])
}
