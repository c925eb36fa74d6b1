//! The admin API: one route table, every route with its Cedar action.
//!
//! Served on a Unix socket in the data directory that only the owner may open. Each request
//! is about one organisation, `default` or the one before `/api` (`/o/NAME/api/v1/…`), is
//! authorized by its policies and recorded, flushed to disk, before it is answered.

mod audit;
mod config;
mod lines;
mod payload;
mod status;

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path, pin::Pin, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::RawPathParams,
    routing::{MethodFilter, on},
};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde::{Deserialize, Serialize};
use tidegate_governance::policy::{AdminAction, RequestContext};
use tidegate_identity::method::admin_socket;
use tidegate_model::{CallId, OrgId, Refusal, RefusalCode};
use tokio::net::UnixListener;

pub(crate) use audit::Found;
pub(crate) use config::{Applied, Apply};
pub(crate) use lines::{Lines, Spoken, Wanted as WantedLines};
pub(crate) use payload::{Kept, Wanted as WantedPayloads};
pub(crate) use status::Status;

use crate::{
    call::refusal,
    control::{Control, organisations::Organisations},
};

/// The socket's name in the data directory.
pub(crate) const SOCKET: &str = "admin.sock";
/// Largest request body.
const BODY: usize = 64 * 1024 * 1024;

/// What any admin route says when it fails.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// One sentence or more, for people.
    pub(crate) error: String,
    /// A stable code.
    pub(crate) code: String,
}

/// How a route fails.
#[derive(Debug)]
struct Failed {
    status: StatusCode,
    failure: Failure,
    refusal: RefusalCode,
}

/// What a route did: its answer, and a note for the audit row.
struct Done {
    body: Vec<u8>,
    note: Option<String>,
}

type Handling = Pin<Box<dyn Future<Output = Result<Done, Failed>> + Send>>;

/// What a request is about.
struct Asked {
    /// All organisations.
    organisations: Arc<Organisations>,
    /// The one that the request named.
    control: Arc<Control>,
}

/// One admin route; there is no way to make one without its action.
struct Route {
    method: Method,
    path: &'static str,
    action: AdminAction,
    handle: fn(Asked, Bytes) -> Handling,
}

/// Every admin route.
const ROUTES: [Route; 6] = [
    Route {
        method: Method::GET,
        path: "/api/v1/status",
        action: AdminAction::Status,
        handle: |asked, _| Box::pin(async move { status::show(&asked) }),
    },
    Route {
        method: Method::GET,
        path: "/api/v1/config",
        action: AdminAction::ConfigRead,
        handle: |asked, _| Box::pin(async move { config::show(&asked.control) }),
    },
    Route {
        method: Method::POST,
        path: "/api/v1/audit/find",
        action: AdminAction::AuditRead,
        handle: |asked, body| Box::pin(audit::find(asked.control, body)),
    },
    Route {
        method: Method::POST,
        path: "/api/v1/audit/payloads",
        action: AdminAction::PayloadRead,
        handle: |asked, body| Box::pin(payload::read(asked.control, body)),
    },
    Route {
        method: Method::POST,
        path: "/api/v1/plugins/lines",
        action: AdminAction::PluginLogs,
        handle: |asked, body| Box::pin(async move { lines::read(&asked.control, &body) }),
    },
    Route {
        method: Method::POST,
        path: "/api/v1/config/apply",
        action: AdminAction::ConfigApply,
        handle: |asked, body| Box::pin(config::apply(asked.control, body)),
    },
];

/// Why the admin socket cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "the admin socket `{path}` cannot be opened; if its path is longer than 107 bytes, choose a shorter data directory"
)]
pub(crate) struct SocketError {
    path: String,
    #[source]
    source: io::Error,
}

/// Opens the admin socket in a data directory, for its owner alone. The caller holds the
/// directory's lock, so a socket that is there already is a dead one.
pub(crate) fn listen(data: &Path) -> Result<UnixListener, SocketError> {
    let path = data.join(SOCKET);
    let opened = remove_dead(&path).and_then(|()| UnixListener::bind(&path)).and_then(|listener| {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    });
    opened.map_err(|source| SocketError { path: path.display().to_string(), source })
}

fn remove_dead(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The admin routes.
pub(crate) fn router(organisations: &Arc<Organisations>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let Ok(filter) = MethodFilter::try_from(route.method.clone()) else { continue };
        let serve = |of_other: bool| {
            let organisations = Arc::clone(organisations);
            let Route { action, handle, .. } = route;
            move |params: RawPathParams, request: Request<Body>| {
                let org = of_other.then(|| params.iter().next().map(|(_, org)| org.to_owned()));
                let org = org.flatten().unwrap_or_else(|| OrgId::default_org().to_string());
                serve(organisations.clone(), org, action, handle, request)
            }
        };
        router = router
            .route(route.path, on(filter, serve(false)))
            .route(&format!("/o/{{org}}{}", route.path), on(filter, serve(true)));
    }
    router
}

async fn serve(
    organisations: Arc<Organisations>,
    org: String,
    action: AdminAction,
    handle: fn(Asked, Bytes) -> Handling,
    request: Request<Body>,
) -> Response<Body> {
    let done = match organisations.of(&org) {
        Some(control) => recorded(Asked { organisations, control }, action, handle, request).await,
        None => Err(Failed::no_organisation(&org)),
    };
    match done {
        Ok(body) => respond(StatusCode::OK, body),
        Err(failed) => {
            respond(failed.status, serde_json::to_vec(&failed.failure).unwrap_or_default())
        }
    }
}

/// Authorizes, handles and records one request.
async fn recorded(
    asked: Asked,
    action: AdminAction,
    handle: fn(Asked, Bytes) -> Handling,
    request: Request<Body>,
) -> Result<Vec<u8>, Failed> {
    let control = Arc::clone(&asked.control);
    let gateway = &control.gateway;
    let org = control.org.id.clone();
    let caller = admin_socket::owner(org.clone()).map_err(|error| Failed::internal(&error))?;
    let at = gateway.clock.now();
    let mut random = [0_u8; 10];
    getrandom::fill(&mut random).map_err(|error| Failed::internal(&error))?;
    let mut record = gateway.audit.open(CallId::new(at, random), org, action.name());
    record.always_on_disk();
    record.caller(&caller);
    let done = match control.org.revision() {
        None => Err(Failed::out_of_service(&control)),
        Some(revision) => {
            record.revision(revision.id);
            let circumstances = RequestContext { at, ..RequestContext::default() };
            match revision.policies.authorize_admin(&caller, action, &circumstances) {
                Err(denial) => Err(Failed::denied(&denial.reason)),
                Ok(permitted) => {
                    record.permitted(&permitted);
                    match body(request).await {
                        Ok(body) => handle(asked, body).await,
                        Err(failed) => Err(failed),
                    }
                }
            }
        }
    };
    let closed = match &done {
        Ok(Done { note, .. }) => {
            if let Some(note) = note {
                record.note(note.clone());
            }
            record.done().await
        }
        Err(failed) => {
            record.refused(&Refusal::new(failed.refusal, failed.failure.error.clone())).await
        }
    };
    closed.map_err(|error| Failed::from_refusal(&refusal::audit(error)))?;
    done.map(|done| done.body)
}

async fn body(request: Request<Body>) -> Result<Bytes, Failed> {
    let collected = Limited::new(request.into_body(), BODY).collect().await;
    let collected = collected.map_err(|error| Failed::bad_request(&error.to_string()))?;
    Ok(collected.to_bytes())
}

fn respond(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

impl Failed {
    fn new(status: StatusCode, refusal: RefusalCode, error: String) -> Self {
        Self { status, failure: Failure { error, code: refusal.name().to_owned() }, refusal }
    }

    fn bad_request(error: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, RefusalCode::InvalidRequest, error.to_owned())
    }

    fn denied(reason: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, RefusalCode::PolicyDenied, reason.to_owned())
    }

    fn unready() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            RefusalCode::Draining,
            "the gateway has no configuration yet".to_owned(),
        )
    }

    fn no_organisation(org: &str) -> Self {
        let words = format!(
            "there is no organisation `{org}` here; `tidegate status` shows those that there are, \
             and a folder `orgs/NAME` in the configuration directory adds one"
        );
        Self::new(StatusCode::NOT_FOUND, RefusalCode::InvalidRequest, words)
    }

    fn out_of_service(control: &Control) -> Self {
        let mut words = format!("the organisation `{}` is out of service", control.org.id);
        for problem in control.problems() {
            words.push_str(&format!("\n{problem}"));
        }
        Self::new(StatusCode::SERVICE_UNAVAILABLE, RefusalCode::Draining, words)
    }

    fn from_refusal(refused: &Refusal) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, refused.code, refusal::sentence(refused))
    }

    fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "an admin request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            RefusalCode::Internal,
            "the gateway failed".to_owned(),
        )
    }
}
