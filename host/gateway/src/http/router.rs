//! Every public route.
//!
//! What belongs to an organisation is at the root for `default` and under `/o/{org}` for the
//! others. Beside MCP and administration there are pages, which other web sites may not call,
//! and what any client may read or post, which does not look at cookies.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    http::Response,
    routing::{MethodRouter, any, get, post},
};

use super::{
    gate::nothing,
    listener::Peer,
    login::{self, home, notices, provider, welcome},
    mcp,
    oauth::{authorize, device, metadata, preflight, register, token},
    pages, scim,
};
use crate::gateway::Gateway;

type Routes = Router<Arc<Gateway>>;
type Served = MethodRouter<Arc<Gateway>>;
/// A path within an organisation and what serves it.
type Route = (&'static str, fn() -> Served);

/// The public listener's routes.
pub(crate) fn public(gateway: Arc<Gateway>) -> Router {
    let router = Router::new()
        .route("/mcp/{vmcp}", any(of_default_org))
        .route("/o/{org}/mcp/{vmcp}", any(of_org))
        .route("/assets/{name}", get(pages::asset));
    let router = well_known(router);
    let router = for_clients(router);
    for_people(router).fallback(missing).with_state(gateway)
}

/// Metadata, with the path of what it is about inserted (RFC 9728, RFC 8414).
fn well_known(router: Routes) -> Routes {
    const RESOURCE: &str = "/.well-known/oauth-protected-resource";
    let read = |handler: Served| handler.options(preflight);
    let mut router = router;
    for org in ["", "/o/{org}"] {
        let server = || read(get(metadata::server));
        router = router
            .route(&format!("{RESOURCE}{org}/mcp/{{vmcp}}"), read(get(metadata::of_vmcp)))
            .route(&format!("{RESOURCE}{org}/api/v1"), read(get(metadata::of_admin)))
            .route(&format!("/.well-known/oauth-authorization-server{org}"), server())
            .route(&format!("/.well-known/openid-configuration{org}"), server());
    }
    router.route("/o/{org}/.well-known/openid-configuration", read(get(metadata::server)))
}

/// What clients and providers call.
fn for_clients(router: Routes) -> Routes {
    let mut router = router;
    let routes: [Route; 9] = [
        ("/oauth/jwks", || get(metadata::jwks).options(preflight)),
        ("/oauth/token", || post(token::token).options(preflight)),
        ("/oauth/revoke", || post(token::revoke).options(preflight)),
        ("/oauth/introspect", || post(token::introspect)),
        ("/oauth/register", || post(register::register).options(preflight)),
        ("/oauth/device", || post(token::device).options(preflight)),
        ("/login/{provider}/backchannel", || post(notices::back_channel)),
        ("/login/{provider}/frontchannel", || get(notices::front_channel)),
        ("/scim/v2/{*rest}", || any(scim::serve)),
    ];
    for (path, served) in routes {
        router = of_each_org(router, path, served);
    }
    router
}

/// Pages and their forms.
fn for_people(router: Routes) -> Routes {
    let mut router = router;
    let routes: [Route; 11] = [
        ("/", || get(home::show)),
        ("/grants/revoke", || post(home::revoke)),
        ("/oauth/authorize", || get(authorize::authorize)),
        ("/oauth/consent", || post(authorize::consent)),
        ("/device", || get(device::show).post(device::decide)),
        ("/login", || get(login::show)),
        ("/login/password", || post(login::password)),
        ("/login/{provider}", || post(provider::begin)),
        ("/login/{provider}/callback", || get(provider::callback)),
        ("/logout", || get(login::ask_to_leave).post(login::leave)),
        ("/welcome/{token}", || get(welcome::show).post(welcome::accept)),
    ];
    for (path, served) in routes {
        router = of_each_org(router, path, served);
    }
    router.route("/o/{org}", get(home::show))
}

fn of_each_org(router: Routes, path: &str, served: fn() -> Served) -> Routes {
    router.route(path, served()).route(&format!("/o/{{org}}{path}"), served())
}

async fn of_default_org(
    State(gateway): State<Arc<Gateway>>,
    Path(vmcp): Path<String>,
    request: Request,
) -> Response<Body> {
    serve(gateway, "default", &vmcp, request).await
}

async fn of_org(
    State(gateway): State<Arc<Gateway>>,
    Path((org, vmcp)): Path<(String, String)>,
    request: Request,
) -> Response<Body> {
    serve(gateway, &org, &vmcp, request).await
}

async fn serve(gateway: Arc<Gateway>, org: &str, vmcp: &str, request: Request) -> Response<Body> {
    let peer = request.extensions().get::<Peer>().copied().unwrap_or_default();
    mcp::serve(gateway, mcp::Place { org, vmcp, peer }, request).await
}

async fn missing() -> Response<Body> {
    nothing()
}
