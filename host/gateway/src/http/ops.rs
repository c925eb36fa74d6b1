//! Health and metrics, on a listener of their own.
//!
//! `/healthz` says that the process lives, `/readyz` that store, log and policies can be
//! used. Labels hold no text that a user chose.

use std::sync::Arc;

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use http::{StatusCode, header};
use tidegate_store::{Health, log::LogHealth};

use crate::gateway::Gateway;

/// The ops listener's routes.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(gateway)
}

async fn ready(State(gateway): State<Arc<Gateway>>) -> impl IntoResponse {
    match unready(&gateway) {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}

fn unready(gateway: &Gateway) -> Option<&'static str> {
    if gateway.stopping.is_cancelled() {
        return Some("the process is stopping");
    }
    if gateway.revision("default").is_none() {
        return Some("there is no configuration yet");
    }
    let log = gateway.audit.log().map(tidegate_store::log::Log::health);
    if log.is_some_and(|health| !matches!(health, LogHealth::Ready | LogHealth::Low(_))) {
        return Some("the audit log takes no rows");
    }
    match gateway.records().health() {
        Health::Failed(_) => Some("the store has failed"),
        _ => None,
    }
}

async fn metrics(State(gateway): State<Arc<Gateway>>) -> impl IntoResponse {
    let text = gateway.metrics.encode(&gateway);
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}
