//! Every public route.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};

use super::{listener::Peer, mcp};
use crate::gateway::Gateway;

/// The public listener's routes.
pub(crate) fn public(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/mcp/{vmcp}", any(of_default_org))
        .route("/o/{org}/mcp/{vmcp}", any(of_org))
        .fallback(missing)
        .with_state(gateway)
}

async fn of_default_org(
    State(gateway): State<Arc<Gateway>>,
    Path(vmcp): Path<String>,
    request: Request,
) -> Response {
    serve(gateway, "default", &vmcp, request).await
}

async fn of_org(
    State(gateway): State<Arc<Gateway>>,
    Path((org, vmcp)): Path<(String, String)>,
    request: Request,
) -> Response {
    serve(gateway, &org, &vmcp, request).await
}

async fn serve(gateway: Arc<Gateway>, org: &str, vmcp: &str, request: Request) -> Response {
    let peer = request.extensions().get::<Peer>().copied().unwrap_or_default();
    mcp::serve(gateway, mcp::Place { org, vmcp, peer }, request).await
}

async fn missing() -> Response {
    let body = "there is nothing here; MCP endpoints are at /mcp/<virtual MCP>\n";
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from(body))
        .into_response()
}
