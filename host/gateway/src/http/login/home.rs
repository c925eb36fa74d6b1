//! The start page: who you are, what you can connect to, what acts for you.

use axum::body::Body;
use http::{Response, StatusCode};
use tidegate_governance::catalog::PublishedVmcp;
use tidegate_identity::{
    Resource,
    authorization::{Grant, GrantId},
};
use tidegate_model::Timestamp;

use crate::{
    http::{
        cookies::form_token,
        gate::{At, Refused, Visitor},
        login,
        pace::Door,
        pages::{
            self, onward,
            view::{self, ClientCard, VmcpCard},
            with_cookie,
        },
    },
    identity::trail::Event,
};

/// The forms on the start page, all of which a session's own page sends.
const REVOKE: &str = login::LOGOUT;

/// `GET /`.
pub(in crate::http) async fn show(at: At) -> Response<Body> {
    shown(&at).await.unwrap_or_else(Response::from)
}

/// `POST /grants/revoke`: one of the person's own grants, or all of them.
pub(in crate::http) async fn revoke(at: At, body: Body) -> Response<Body> {
    revoked(&at, body).await.unwrap_or_else(Response::from)
}

async fn shown(at: &At) -> Result<Response<Body>, Refused> {
    at.knock(Door::Page)?;
    let Some(visitor) = at.visitor().await? else {
        return login::page(at, login::Wish { return_to: at.start(), ..login::Wish::default() });
    };
    let user = &visitor.person.user;
    let grants = at.identity.server.grants_of(&user.id).await;
    let grants = grants.map_err(|error| at.failed("grants cannot be read", &error))?;
    let page = view::Home {
        base: at.base(),
        name: user.name.as_deref().unwrap_or(user.id.as_str()),
        who: user.id.as_str(),
        roles: &visitor.person.roles,
        vmcps: vmcps(at, &visitor),
        clients: grants.iter().map(|grant| client(at, grant)).collect(),
        csrf: &form_token(visitor.session.csrf.expose(), REVOKE),
    };
    Ok(with_cookie(pages::page(StatusCode::OK, &page), visitor.cookie))
}

/// The virtual MCPs that policy lets this person connect to and in which there is something
/// for them.
fn vmcps(at: &At, visitor: &Visitor) -> Vec<VmcpCard> {
    let circumstances = at.circumstances();
    let may = |published: &&PublishedVmcp| {
        let resource = Resource::Vmcp(published.vmcp.id.clone());
        at.revision.may_use(&visitor.caller, &resource, &circumstances).is_ok()
    };
    let card = |published: &PublishedVmcp| VmcpCard {
        id: published.vmcp.id.to_string(),
        title: published.vmcp.title.clone(),
        url: at.issuer().audience(&Resource::Vmcp(published.vmcp.id.clone())),
    };
    let mut cards: Vec<_> = at.revision.snapshot.vmcps().filter(may).map(card).collect();
    cards.sort_by(|one, other| (&one.title, &one.id).cmp(&(&other.title, &other.id)));
    cards
}

fn client(at: &At, grant: &Grant) -> ClientCard {
    let what = match &grant.resource {
        Resource::Admin => "the administration of this gateway".to_owned(),
        Resource::Vmcp(vmcp) => at
            .revision
            .snapshot
            .vmcp(vmcp.as_str())
            .map_or_else(|| vmcp.to_string(), |published| published.vmcp.title.clone()),
    };
    ClientCard {
        id: grant.id.to_string(),
        name: grant.client_name.clone(),
        what,
        created: moment(grant.created),
        used: moment(grant.last_used),
    }
}

/// Day and time in UTC.
fn moment(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).ok();
    let moment = millis.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    moment.map_or_else(String::new, |moment| moment.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

async fn revoked(at: &At, body: Body) -> Result<Response<Body>, Refused> {
    at.knock(Door::Page)?;
    let Some(visitor) = at.visitor().await? else { return login::page(at, at.wish()) };
    let form = at.own_form(body, visitor.session.csrf.expose(), REVOKE).await?;
    let user = &visitor.person.user.id;
    let server = &at.identity.server;
    let failed = |error| at.failed("a grant cannot be revoked", &error);
    let wish = form.one("grant").unwrap_or_default();
    let own = server.grants_of(user).await.map_err(failed)?;
    let chosen: Vec<GrantId> = own
        .iter()
        .map(|grant| grant.id)
        .filter(|id| wish == "all" || id.to_string() == wish)
        .collect();
    for id in chosen {
        let event = Event {
            caller: Some(&visitor.caller),
            source: Some(at.source),
            note: format!("grant {id}"),
            ..Event::default()
        };
        at.note("identity:revoke", event).await?;
        server.revoke_grant(id).await.map_err(failed)?;
    }
    if wish == "all" {
        server.forget_consents(user).await.map_err(failed)?;
    }
    Ok(onward(at.base(), "Revoked", &at.start()))
}
