//! Outgoing requests to named hosts: `wasi:http/outgoing-handler`, through the egress guard.
//!
//! The interface is wasmtime's, the way out is Tidegate's own: hosts by the binding's list
//! ([`hosts`]), judged and sent in `send`, bodies streamed both ways in `body`. Secrets
//! are put in and taken out by [`super::credential`]. Redirects are the guest's business.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tidegate_wire::client::egress::{
    AddressPolicy, Destination, Egress, EgressError, Origin, Rules,
};
use wasmtime::{Result, component::Linker};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView, p2};

use crate::{
    capabilities::{credential::Keyring, wasi::Wasi},
    state::State,
};

mod body;
mod errors;
pub mod hosts;
mod send;

pub use hosts::{BadHost, HostPattern, Hosts};

use send::Outgoing;

/// The interfaces that are there.
pub(crate) const PACKAGES: [&str; 2] = ["wasi:http/outgoing-handler@0.2.", "wasi:http/types@0.2."];

/// Bytes of the headers that a guest may put together, bookkeeping included.
const FIELDS: usize = 32 << 10;
/// Destinations whose connections are kept for the next hook.
const DESTINATIONS: usize = 64;

/// Where a binding's requests may go. Shared by all its instances, with the connections.
#[derive(Debug)]
pub struct HttpReach {
    egress: Arc<Egress>,
    allow: AddressPolicy,
    hosts: Hosts,
    /// Who answers instead of the hosts, where a component is tried.
    stand_in: Option<SocketAddr>,
    /// Oldest first.
    known: Mutex<VecDeque<((Origin, Care), Destination)>>,
}

/// What a request asks of the way to its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Care {
    /// No more than the administrator's rules.
    Usual,
    /// It carries a secret without encryption, so it must not leave this machine.
    Local,
}

impl HttpReach {
    /// Requests go out through `egress`, to `hosts` only, and to addresses beyond the public
    /// internet, or without encryption, only as `allow` says.
    pub fn new(egress: Arc<Egress>, allow: AddressPolicy, hosts: Hosts) -> Self {
        Self { egress, allow, hosts, stand_in: None, known: Mutex::default() }
    }

    /// For trying a component without a network: requests to `hosts` all go to a server on
    /// this machine, with the header `tidegate-origin` for where they were meant to go.
    pub fn stand_in(egress: Arc<Egress>, server: SocketAddr, hosts: Hosts) -> Self {
        let allow = AddressPolicy { loopback: true, ..AddressPolicy::default() };
        Self { stand_in: Some(server), ..Self::new(egress, allow, hosts) }
    }

    /// The hosts.
    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    fn destination(&self, origin: &Origin, care: Care) -> Result<Destination, EgressError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let way = (origin.clone(), care);
        if let Some((_, destination)) = known.iter().find(|(known, _)| *known == way) {
            return Ok(destination.clone());
        }
        let allow = match care {
            Care::Usual => self.allow.clone(),
            Care::Local => {
                AddressPolicy { loopback: self.allow.loopback, ..AddressPolicy::default() }
            }
        };
        let rules = Rules { allow, ..Rules::default() };
        let url = match self.stand_in {
            Some(server) => format!("http://{server}/"),
            None => format!("{origin}/"),
        };
        let destination = self.egress.destination(&url, rules)?;
        // A wildcard leads to any number of hosts: beyond the bound the oldest makes room.
        if known.len() >= DESTINATIONS {
            known.pop_front();
        }
        known.push_back((way, destination.clone()));
        Ok(destination)
    }
}

/// One instance's way out.
pub(crate) struct Http {
    context: WasiHttpCtx,
    outgoing: Outgoing,
}

/// Adds the two interfaces. What they share with WASI is [`super::wasi::link`]'s.
pub(crate) fn link(linker: &mut Linker<State>) -> Result<()> {
    p2::add_only_http_to_linker_async(linker)
}

impl Http {
    fn new(state: &State) -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(FIELDS);
        Self { context, outgoing: Outgoing::new(state) }
    }

    /// This instance's, made on first use: most guests never ask.
    pub(crate) fn of(state: &mut State) -> &mut Self {
        let http = match Wasi::of(state).http.take() {
            Some(http) => http,
            None => Box::new(Self::new(state)),
        };
        Wasi::of(state).http.insert(http)
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.outgoing.keyring
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let is_spent = self.host_call().is_err();
        let mut http = match Wasi::of(self).http.take() {
            Some(http) => http,
            None => Box::new(Http::new(self)),
        };
        http.outgoing.serves(self);
        let wasi = Wasi::of(self);
        let http = wasi.http.insert(http);
        WasiHttpCtxView {
            hooks: &mut http.outgoing,
            // Every function of the interface needs the table, and traps with an empty one.
            table: if is_spent { &mut wasi.spent } else { &mut wasi.table },
            ctx: &mut http.context,
        }
    }
}

#[cfg(test)]
mod tests;
