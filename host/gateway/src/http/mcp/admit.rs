//! Who may come in: credential, virtual MCP, session.
//!
//! An unknown virtual MCP, one of another organisation and one the caller may not use look
//! the same. Without a credential nobody learns which virtual MCPs exist.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, StatusCode, header, request::Parts};
use tidegate_governance::catalog::PublishedVmcp;
use tidegate_identity::{Caller, Resource, method::anonymous};
use tidegate_model::{OrgId, VmcpId};
use tidegate_wire::{
    mcp::code,
    server::{self, Rejection},
};

use super::Place;
use crate::{
    call::Context, facts::SessionFacts, gateway::Gateway, identity::KEY, revision::Revision,
    session::Session,
};

/// A caller who may use this virtual MCP.
#[derive(Debug, Clone)]
pub(super) struct Admitted {
    pub(super) context: Context,
    pub(super) vmcp: VmcpId,
}

/// Why somebody may not come in.
pub(super) enum NotAdmitted {
    /// No credential, or none that is good.
    SignIn {
        /// Whether one was presented.
        presented: bool,
    },
    /// Nothing of that name for this caller.
    Nothing,
}

impl Admitted {
    /// The virtual MCP.
    pub(super) fn published(&self) -> Result<&PublishedVmcp, Rejection> {
        self.context.revision.snapshot.vmcp(self.vmcp.as_str()).ok_or_else(nothing_here)
    }

    /// The legacy session that the request names, and what is known of it.
    pub(super) fn session(
        &self,
        gateway: &Gateway,
        parts: &Parts,
    ) -> Result<(Option<Arc<Session>>, server::Session), Rejection> {
        let Some(id) = server::session_id(parts)? else {
            return Ok((None, server::Session::Absent));
        };
        let found = gateway.sessions.find(id, &self.context.caller, &self.vmcp, self.context.at);
        let known = found
            .as_ref()
            .map_or(server::Session::Unknown, |session| server::Session::Known(session.revision));
        Ok((found, known))
    }
}

/// Nothing of that name, or nothing this caller may know of.
pub(super) fn nothing_here() -> Rejection {
    Rejection::new(
        StatusCode::NOT_FOUND,
        code::INVALID_REQUEST,
        "there is no such virtual MCP here",
    )
}

/// Finds out who calls and whether they may use this virtual MCP.
pub(super) async fn admit(
    gateway: &Gateway,
    place: Place<'_>,
    parts: &Parts,
) -> Result<Admitted, NotAdmitted> {
    let began = Instant::now();
    let revision = gateway.revision(place.org);
    let (caller, revision) = match (credential(&parts.headers), revision) {
        (Some(credential), Some(revision)) => {
            let caller = known(gateway, &revision, place, credential);
            (caller.ok_or(NotAdmitted::SignIn { presented: true })?, revision)
        }
        // A credential that is none of ours is refused, not passed over.
        (None, _) if parts.headers.contains_key(header::AUTHORIZATION) => {
            return Err(NotAdmitted::SignIn { presented: true });
        }
        (None, Some(revision)) => (nobody(&revision, gateway, place)?, revision),
        (presented, None) => {
            return Err(NotAdmitted::SignIn { presented: presented.is_some() });
        }
    };
    let vmcp = revision.snapshot.vmcp(place.vmcp).ok_or(NotAdmitted::Nothing)?.vmcp.id.clone();
    if !caller.reaches(&vmcp) {
        return Err(NotAdmitted::Nothing);
    }
    let at = gateway.clock.now();
    let facts = facts(gateway, &revision, &caller, &vmcp).await;
    let context = Context {
        caller,
        at,
        source: Some(source(gateway, place.peer.address, &parts.headers)),
        client: None,
        trace: tidegate_model::TraceContext::default(),
        deadline: began + Duration::from_millis(gateway.config.limits.call_ms),
        authenticated_in: began.elapsed(),
        facts,
        revision,
    };
    // A policy that forbids connecting counts; that none permits it does not, since a caller
    // without rights sees an empty list anyway.
    let connect = context.revision.policies.authorize_connect(
        &context.caller,
        &vmcp,
        &context.circumstances(),
    );
    match connect {
        Err(denial) if !denial.policies.is_empty() => Err(NotAdmitted::Nothing),
        _ => Ok(Admitted { context, vmcp }),
    }
}

/// What plugins noted of the caller's session, where anybody looks at it. Where it cannot be
/// read, policies that look at it refuse.
async fn facts(
    gateway: &Gateway,
    revision: &Revision,
    caller: &Caller,
    vmcp: &VmcpId,
) -> Option<Arc<SessionFacts>> {
    if !revision.has_facts {
        return None;
    }
    match gateway.facts.of(caller.org(), caller.user(), vmcp).await {
        Ok(facts) => Some(facts),
        Err(error) => {
            tracing::error!(%error, "a request is judged without the facts of its session");
            None
        }
    }
}

/// Whose credential this is. A token is for one virtual MCP and refused at every other.
fn known(
    gateway: &Gateway,
    revision: &Revision,
    place: Place<'_>,
    credential: &str,
) -> Option<Caller> {
    let identity = gateway.identity(place.org)?;
    let vmcp = VmcpId::new(place.vmcp).ok();
    // A key is judged the same wherever it is presented, so that nobody learns what exists.
    let resource = vmcp.map_or(Resource::Admin, Resource::Vmcp);
    if resource == Resource::Admin && !credential.starts_with(KEY) {
        return None;
    }
    identity.authenticate(revision, credential, &resource)
}

/// The anonymous caller, where the virtual MCP serves them and the listener is loopback.
fn nobody(revision: &Revision, gateway: &Gateway, place: Place<'_>) -> Result<Caller, NotAdmitted> {
    let serves = revision.snapshot.vmcp(place.vmcp).is_some_and(|vmcp| vmcp.vmcp.anonymous);
    // Behind a proxy everybody comes from this machine.
    let is_direct = gateway.config.trusted_proxies.is_empty();
    let is_local = gateway.config.listen.ip().is_loopback() && place.peer.address.is_loopback();
    if serves && is_local && is_direct {
        let none = || NotAdmitted::SignIn { presented: false };
        let org = OrgId::new(place.org).map_err(|_| none())?;
        return anonymous::anonymous(org).map_err(|_| none());
    }
    Err(NotAdmitted::SignIn { presented: false })
}

/// The bearer credential, if there is exactly one.
pub(in crate::http) fn credential(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, credential) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(credential.trim())
}

/// The caller's address: the socket's, or what trusted proxies say, read from the right.
pub(in crate::http) fn source(gateway: &Gateway, socket: IpAddr, headers: &HeaderMap) -> IpAddr {
    let trusted = |address: &IpAddr| gateway.config.trusted_proxies.contains(address);
    if !trusted(&socket) {
        return socket;
    }
    let mut hops = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|hop| hop.trim().parse::<IpAddr>().ok().map(|address| address.to_canonical()))
        .collect::<Vec<_>>();
    while let Some(hop) = hops.pop() {
        match hop {
            Some(address) if trusted(&address) => {}
            Some(address) => return address,
            None => break,
        }
    }
    socket
}
