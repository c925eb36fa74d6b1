//! Documents that clients find their way by: RFC 9728, RFC 8414, OpenID Connect Discovery.
//!
//! The same for everybody. What a virtual MCP's says depends on its name alone, so that nobody
//! learns which there are.

use axum::body::Body;
use http::{Response, StatusCode};
use serde_json::json;
use tidegate_identity::{Resource, Scope};
use tidegate_model::VmcpId;

use super::json;
use crate::http::gate::{At, Open, nothing};

/// `GET /.well-known/oauth-protected-resource/mcp/{vmcp}`.
pub(in crate::http) async fn of_vmcp(Open(at): Open) -> Response<Body> {
    match VmcpId::new(at.param("vmcp")) {
        Ok(vmcp) => resource(&at, &Resource::Vmcp(vmcp), Scope::Mcp),
        Err(_) => nothing(),
    }
}

/// `GET /.well-known/oauth-protected-resource/api/v1`.
pub(in crate::http) async fn of_admin(Open(at): Open) -> Response<Body> {
    resource(&at, &Resource::Admin, Scope::Admin)
}

/// The metadata of a protected resource. It names the least scope: what more a tool needs is
/// said when it is called.
fn resource(at: &At, resource: &Resource, scope: Scope) -> Response<Body> {
    let document = json!({
        "resource": at.issuer().audience(resource),
        "authorization_servers": [at.issuer().to_string()],
        "scopes_supported": [scope.name()],
        "bearer_methods_supported": ["header"],
    });
    json(StatusCode::OK, document.to_string())
}

/// `GET /.well-known/oauth-authorization-server` and `/.well-known/openid-configuration`.
pub(in crate::http) async fn server(Open(at): Open) -> Response<Body> {
    json(StatusCode::OK, at.identity.server.metadata(at.settings()))
}

/// `GET /oauth/jwks`.
pub(in crate::http) async fn jwks(Open(at): Open) -> Response<Body> {
    json(StatusCode::OK, at.identity.server.jwks())
}
