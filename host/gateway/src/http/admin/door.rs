//! The two doors of the admin API, and the way of one request through them.
//!
//! The socket in the data directory is the owner's, by its file mode. The public listener
//! takes an access token for the admin API, or an API key; never a cookie, and nothing from a
//! web page. Whoever is known has a row for whatever they asked, flushed to disk before they
//! are answered; whoever is not is told to sign in, the same in every organisation, there or
//! not.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::RawPathParams,
    routing::{MethodFilter, get, on},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use tidegate_governance::audit::Record;
use tidegate_identity::{Caller, Resource, method::admin_socket};
use tidegate_model::{CallId, OrgId, Refusal, RefusalCode};
use tidegate_store::log::{Log, LogHealth};
use tokio::time::timeout;

use super::{
    allowance::Allowance,
    asked::Asked,
    failed::{Failed, Failure},
    openapi,
    route::{Need, Route},
    routes::routes,
};
use crate::{
    call::refusal,
    control::{Control, organisations::Organisations},
    gateway::Gateway,
    http::{
        listener::Peer,
        mcp::{credential, source},
    },
    revision::Revision,
};

/// Largest request body on the socket.
const BODY: usize = 64 * 1024 * 1024;
/// Largest request body on the public listener.
const PUBLIC_BODY: usize = 1024 * 1024;
/// How long a request body may take.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Characters of a note in an audit row.
const NOTE: usize = 4_000;

/// Where a request came in.
#[derive(Debug, Clone)]
enum Door {
    Socket,
    Public(Arc<Allowance>),
}

/// The admin routes for the socket in the data directory.
pub(crate) fn router(organisations: &Arc<Organisations>) -> Router {
    table(organisations, &Door::Socket)
}

/// The admin routes for the public listener.
pub(crate) fn public(organisations: &Arc<Organisations>) -> Router {
    table(organisations, &Door::Public(Arc::default()))
}

fn table(organisations: &Arc<Organisations>, door: &Door) -> Router {
    let mut router = Router::new();
    for route in routes() {
        let Ok(filter) = MethodFilter::try_from(route.method.clone()) else { continue };
        let (path, route) = (route.path, Arc::new(route));
        let serve = || {
            let (organisations, door, route) =
                (Arc::clone(organisations), door.clone(), Arc::clone(&route));
            on(filter, move |parameters: RawPathParams, request: Request<Body>| {
                let parameters = parameters
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
                serve(
                    Arc::clone(&organisations),
                    door.clone(),
                    Arc::clone(&route),
                    parameters,
                    request,
                )
            })
        };
        router = router.route(path, serve()).route(&format!("/o/{{org}}{path}"), serve());
    }
    let (organisations, door) = (Arc::clone(organisations), door.clone());
    let document = move |request: Request<Body>| document(organisations, door, request);
    router
        .route(openapi::PATH, get(document.clone()))
        .route(&format!("/o/{{org}}{}", openapi::PATH), get(document))
}

/// The description of the API is the same for everybody.
async fn document(
    organisations: Arc<Organisations>,
    door: Door,
    request: Request<Body>,
) -> Response<Body> {
    let (parts, _) = request.into_parts();
    let checked = match door {
        Door::Socket => Ok(()),
        Door::Public(_) => check(&organisations.gateway, &parts),
    };
    match checked {
        Ok(()) => respond(StatusCode::OK, openapi::document().into_bytes()),
        Err(failed) => failed.respond(),
    }
}

async fn serve(
    organisations: Arc<Organisations>,
    door: Door,
    route: Arc<Route>,
    parameters: Vec<(String, String)>,
    request: Request<Body>,
) -> Response<Body> {
    let named = parameters.iter().find(|(name, _)| name == "org");
    let org = named.map_or_else(|| OrgId::default_org().to_string(), |(_, org)| org.clone());
    let (parts, body) = request.into_parts();
    let admitted = match &door {
        Door::Socket => local(&organisations, &org),
        Door::Public(allowance) => match signed_in(&organisations, &org, &parts, allowance) {
            Ok(admitted) => Ok(admitted),
            Err(Refused::SignIn(challenge)) => return unauthenticated(challenge),
            Err(Refused::Failed(failed)) => Err(*failed),
        },
    };
    let coming = Coming { organisations, parameters, parts, body, door };
    let done = match admitted {
        Ok(admitted) => recorded(admitted, &route, coming).await,
        Err(failed) => Err(failed),
    };
    match done {
        Ok(body) => respond(StatusCode::OK, body),
        Err(failed) => failed.respond(),
    }
}

/// Somebody who may ask, whatever the answer.
struct Admitted {
    control: Arc<Control>,
    caller: Caller,
    /// None while the organisation is out of service, which only the owner is told.
    revision: Option<Arc<Revision>>,
}

/// What has come in and is not looked at yet.
struct Coming {
    organisations: Arc<Organisations>,
    parameters: Vec<(String, String)>,
    parts: Parts,
    body: Body,
    door: Door,
}

/// Why nobody was admitted.
enum Refused {
    /// The challenge, where there is one for this place.
    SignIn(Option<String>),
    Failed(Box<Failed>),
}

impl From<Failed> for Refused {
    fn from(failed: Failed) -> Self {
        Self::Failed(Box::new(failed))
    }
}

/// The owner, on the socket.
fn local(organisations: &Organisations, org: &str) -> Result<Admitted, Failed> {
    let control = organisations.of(org).ok_or_else(|| Failed::no_organisation(org))?;
    let caller = admin_socket::owner(control.org.id.clone());
    let caller = caller.map_err(|error| Failed::internal(&error))?;
    let revision = control.org.revision();
    Ok(Admitted { control, caller, revision })
}

/// Whoever presents a good credential, on the public listener.
fn signed_in(
    organisations: &Organisations,
    org: &str,
    parts: &Parts,
    allowance: &Allowance,
) -> Result<Admitted, Refused> {
    let gateway = &organisations.gateway;
    check(gateway, parts)?;
    let id = OrgId::new(org).map_err(|_| Refused::SignIn(None))?;
    let challenge = gateway.challenge(&id, &Resource::Admin);
    let is_presented = parts.headers.contains_key(header::AUTHORIZATION);
    let sign_in = || {
        let text = challenge.as_ref();
        let text = text.map(|it| if is_presented { it.invalid() } else { it.missing() });
        Refused::SignIn(text)
    };
    let presented = credential(&parts.headers).ok_or_else(sign_in)?;
    let control = organisations.of(org).ok_or_else(sign_in)?;
    let revision = control.org.revision().ok_or_else(sign_in)?;
    let identity = control.org.identity().ok_or_else(sign_in)?;
    let caller =
        identity.authenticate(&revision, presented, &Resource::Admin).ok_or_else(sign_in)?;
    if !allowance.take(&caller) {
        tracing::warn!(user = %caller.user(), "somebody asks the admin API too often");
        return Err(Failed::too_often().into());
    }
    Ok(Admitted { control, caller, revision: Some(revision) })
}

/// Refuses what did not come to this host, and what a web page sent.
fn check(gateway: &Gateway, parts: &Parts) -> Result<(), Failed> {
    let refused =
        |status, words: &str| Failed::new(status, RefusalCode::InvalidRequest, words.into());
    gateway
        .hosts
        .check(parts)
        .map_err(|rejection| refused(rejection.status, &rejection.message))?;
    let headers = &parts.headers;
    let is_page = headers.contains_key(header::ORIGIN)
        || headers.get("sec-fetch-site").is_some_and(|site| site != "none");
    if is_page {
        return Err(refused(StatusCode::FORBIDDEN, "web pages cannot use the admin API"));
    }
    if gateway.stopping.is_cancelled() {
        let words = "the gateway is stopping; try again in a moment".to_owned();
        return Err(Failed::new(StatusCode::SERVICE_UNAVAILABLE, RefusalCode::Draining, words));
    }
    Ok(())
}

/// Authorizes, handles and records one request.
async fn recorded(admitted: Admitted, route: &Route, coming: Coming) -> Result<Vec<u8>, Failed> {
    let gateway = Arc::clone(&admitted.control.gateway);
    let mut record = open(&gateway, &admitted, route, &coming)?;
    let about = format!("{} {}", coming.parts.method, coming.parts.uri.path());
    let done = handled(&gateway, admitted, route, coming, &mut record).await;
    let closed = match &done {
        Ok(done) => {
            if let Some(note) = &done.note {
                record.note(note.chars().take(NOTE).collect());
            }
            record.done().await
        }
        Err(failed) => {
            record.remark(&about);
            record.refused(&Refusal::new(failed.refusal, failed.failure.error.clone())).await
        }
    };
    closed.map_err(|error| Failed::from_refusal(&refusal::audit(error)))?;
    done.map(|done| done.answer)
}

fn open(
    gateway: &Gateway,
    admitted: &Admitted,
    route: &Route,
    coming: &Coming,
) -> Result<Record, Failed> {
    let at = gateway.clock.now();
    let mut random = [0_u8; 10];
    getrandom::fill(&mut random).map_err(|error| Failed::internal(&error))?;
    let org = admitted.control.org.id.clone();
    let mut record = gateway.audit.open(CallId::new(at, random), org, route.need.name());
    record.always_on_disk();
    record.caller(&admitted.caller);
    record.origin(coming.source(gateway), admitted.caller.client());
    if let Some(revision) = &admitted.revision {
        record.revision(revision.id);
    }
    Ok(record)
}

async fn handled(
    gateway: &Gateway,
    admitted: Admitted,
    route: &Route,
    coming: Coming,
    record: &mut Record,
) -> Result<super::route::Done<Vec<u8>>, Failed> {
    let Admitted { control, caller, revision } = admitted;
    let (Some(revision), Some(identity)) = (revision, control.org.identity()) else {
        return Err(Failed::out_of_service(&control));
    };
    let source = coming.source(gateway);
    let limit = match coming.door {
        Door::Socket => BODY,
        Door::Public(_) => PUBLIC_BODY,
    };
    let mut asked = Asked {
        organisations: coming.organisations,
        at: gateway.clock.now(),
        parameters: coming.parameters,
        uri: coming.parts.uri,
        body: Bytes::new(),
        control,
        revision,
        identity,
        caller,
        source,
    };
    permit(&asked, route.need, record)?;
    if route.method != Method::GET && !is_ready(gateway.audit.log()) {
        // Nothing is changed that could not be put on record.
        let words = "the audit log takes no rows, so nothing can be changed".to_owned();
        let (status, code) = (StatusCode::SERVICE_UNAVAILABLE, RefusalCode::AuditUnavailable);
        return Err(Failed::new(status, code, words));
    }
    asked.body = body(coming.body, &coming.parts.headers, limit).await?;
    (route.handle)(asked).await
}

/// Asks policies, or makes sure that the credential is for this API at all.
fn permit(asked: &Asked, need: Need, record: &mut Record) -> Result<(), Failed> {
    match need {
        Need::Own(_) if asked.caller.reaches_admin() => Ok(()),
        Need::Own(_) => Err(Failed::denied("this API key is for virtual MCPs only")),
        Need::Action(action) => {
            let context = asked.circumstances();
            match asked.revision.policies.authorize_admin(&asked.caller, action, &context) {
                Ok(permitted) => {
                    record.permitted(&permitted);
                    Ok(())
                }
                Err(denial) => {
                    record.denied(&denial.policies, &denial.shadow);
                    Err(Failed::denied(&denial.reason))
                }
            }
        }
    }
}

fn is_ready(log: Option<&Log>) -> bool {
    log.is_none_or(|log| matches!(log.health(), LogHealth::Ready))
}

async fn body(body: Body, headers: &HeaderMap, limit: usize) -> Result<Bytes, Failed> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Failed::bad_request("an encoded body is not taken"));
    }
    let collected = timeout(BODY_TIME, Limited::new(body, limit).collect()).await;
    let slow = |_| Failed::bad_request("the body took too long to arrive");
    let collected = collected.map_err(slow)?.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            let words = format!("the body is larger than {limit} bytes");
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            return Failed::new(status, RefusalCode::InvalidRequest, words);
        }
        Failed::bad_request("the body could not be read")
    })?;
    Ok(collected.to_bytes())
}

impl Coming {
    /// The address it came from; the socket has none.
    fn source(&self, gateway: &Gateway) -> Option<std::net::IpAddr> {
        match self.door {
            Door::Socket => None,
            Door::Public(_) => {
                let peer = self.parts.extensions.get::<Peer>().copied().unwrap_or_default();
                Some(source(gateway, peer.address, &self.parts.headers))
            }
        }
    }
}

/// 401, the same for every reason.
fn unauthenticated(challenge: Option<String>) -> Response<Body> {
    let words = "sign in first: an access token for this API, or an API key, is needed in \
                 `Authorization: Bearer`";
    let failure =
        Failure { error: words.to_owned(), code: RefusalCode::Unauthenticated.name().to_owned() };
    let body = serde_json::to_vec(&failure).unwrap_or_default();
    let mut response = respond(StatusCode::UNAUTHORIZED, body);
    let challenge = challenge.and_then(|text| HeaderValue::from_str(&text).ok());
    let challenge = challenge.unwrap_or(HeaderValue::from_static("Bearer"));
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

impl Failed {
    fn respond(self) -> Response<Body> {
        let body = serde_json::to_vec(&self.failure).unwrap_or_default();
        let mut response = respond(self.status, body);
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn respond(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
