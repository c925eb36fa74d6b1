//! A gateway without doors and a connector that does what a test says.
//!
//! For tests of what is told and of what is on record. Everything but the connector is the
//! real thing, over a store in memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use tempfile::TempDir;
use tidegate_governance::{
    audit::{Audit, AuditOptions, Durability},
    catalog::{self, CatalogInput},
    policy::{self, PolicyFile, PolicyInput},
};
use tidegate_identity::{
    Caller,
    method::{
        anonymous,
        api_key::{ApiKeys, KeyHash, KeyRecord},
    },
};
use tidegate_model::{
    Answer, Clock, ConnectorId, Json, KeyId, OrgId, RevisionId, Timestamp, TraceContext, UserId,
    VirtualMcp, VmcpId,
};
use tidegate_store::{EmbeddedStore, FixedKeys, Store, blob::BlobArea};
use tidegate_upstream::{
    Armed, Exchange, Maintenance,
    connector::{Connector, ConnectorError, Health, List, Listed, Update},
    credential::Credential,
};
use tidegate_wasm::{Sandbox, Settings};
use tidegate_wire::{
    client::{
        Affinity, Round, Wanted,
        egress::{Egress, Resolver},
    },
    server::{HostPolicy, Listener},
};
use tokio::sync::{broadcast, watch};

use crate::{
    assembly::offers,
    call::{Context, cursor::Cursors},
    config::{ProcessConfig, Resources},
    facts::FactBook,
    gateway::{Gateway, Parts},
    organisation::{Foundation, Organisation},
    plugin::Chains,
    plugin_state::PluginState,
    records::Records,
    revision::Revision,
    seal::Seals,
    signature::Trust,
};

/// A connector that offers what it is told to and remembers what it is asked to follow.
#[derive(Debug)]
pub(crate) struct Scripted {
    id: ConnectorId,
    credential: Credential,
    asked: Mutex<Vec<Vec<String>>>,
    listed: Mutex<Listed>,
    changes: watch::Sender<u64>,
    updates: broadcast::Sender<Update>,
}

impl Scripted {
    pub(crate) fn new(id: &str) -> Arc<Self> {
        let id = ConnectorId::new(id).unwrap();
        Arc::new(Self {
            credential: Credential::none(id.clone()),
            id,
            asked: Mutex::default(),
            listed: Mutex::default(),
            changes: watch::Sender::new(0),
            updates: broadcast::Sender::new(16),
        })
    }

    /// The sets it was handed since this was asked last, task ids with a `#` in front.
    pub(crate) fn asked(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// From now on it lists what this record says.
    pub(crate) fn lists(&self, record: &str) {
        let offer = offers::approved(&self.id, &json(record), None);
        *self.listed.lock().unwrap() = Listed { offer, ..Listed::default() };
    }

    /// From now on its lists come out like this.
    pub(crate) fn lists_as(&self, change: impl FnOnce(&mut Listed)) {
        change(&mut self.listed.lock().unwrap());
    }

    /// Says something of its own accord, as connectors do.
    pub(crate) fn says(&self, update: Update) {
        let is_list = matches!(update, Update::Changed(_));
        let _ = self.updates.send(update);
        if is_list {
            self.changes.send_modify(|count| *count += 1);
        }
    }
}

impl Connector for Scripted {
    fn id(&self) -> &ConnectorId {
        &self.id
    }

    fn credential(&self) -> &Credential {
        &self.credential
    }

    fn list<'a>(&'a self, _: &'a Maintenance) -> BoxFuture<'a, Result<Listed, ConnectorError>> {
        std::future::ready(Ok(self.listed.lock().unwrap().clone())).boxed()
    }

    fn call(&self, _: Armed, _: Exchange) -> BoxFuture<'_, Result<Answer, ConnectorError>> {
        std::future::ready(Ok(Answer::Result(Json::empty_object()))).boxed()
    }

    fn health(&self) -> Health {
        Health::default()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn updates(&self) -> broadcast::Receiver<Update> {
        self.updates.subscribe()
    }

    fn follow(&self, wanted: Wanted) -> Round {
        let tasks = wanted.tasks.iter().map(|id| format!("#{id}"));
        let all = wanted.resources.iter().map(ToString::to_string).chain(tasks).collect();
        self.asked.lock().unwrap().push(all);
        Round::default()
    }

    fn release(&self, _: Affinity) {}

    fn roots_changed(&self, _: Affinity) {}

    fn close(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

/// A clock that a test sets.
#[derive(Debug, Default)]
pub(crate) struct Hand(AtomicU64);

impl Hand {
    /// Sets it to a moment, in milliseconds.
    pub(crate) fn set(&self, millis: u64) {
        self.0.store(millis, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A gateway whose revisions a test makes.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) gateway: Arc<Gateway>,
    /// The one organisation.
    pub(crate) org: Arc<Organisation>,
    clock: Arc<Hand>,
    revisions: AtomicU64,
    _dir: TempDir,
}

/// What a revision is to hold.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// Connectors with the text of their records.
    pub(crate) connectors: Vec<(Arc<Scripted>, String)>,
    /// Whether names and URIs stay as they are.
    pub(crate) identity: bool,
    /// Whether there is the virtual MCP `all` at all.
    pub(crate) published: bool,
    /// Whether callers without a key are served.
    pub(crate) anonymous: bool,
    /// The connector that has a process for each client.
    pub(crate) per_caller: Option<ConnectorId>,
    /// The policies.
    pub(crate) policies: String,
    /// Keys: the text, the groups, and when it expires.
    pub(crate) keys: Vec<(String, Vec<String>, Option<u64>)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            connectors: Vec::new(),
            identity: false,
            published: true,
            anonymous: false,
            per_caller: None,
            policies: "permit (principal, action, resource);".to_owned(),
            keys: vec![("key".to_owned(), Vec::new(), None)],
        }
    }
}

impl Stand {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand::default());
        let keys = Arc::new(FixedKeys::new([[7; 32]]));
        let store = EmbeddedStore::memory(keys, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        store.ensure_org(&OrgId::default_org()).await.unwrap();
        let blobs = BlobArea::open(dir.path().join("blobs"), Arc::clone(store.keyring())).unwrap();
        let audit = Audit::new(AuditOptions {
            log: None,
            payloads: None,
            durability: Durability::Process,
            digest_key: [1; 32],
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
        });
        let egress = Egress::new(Resolver::System, None).unwrap();
        let plugin_state =
            Arc::new(PluginState::new(Arc::clone(&store), Arc::clone(&clock) as Arc<dyn Clock>));
        let foundation = Foundation {
            sandbox: Sandbox::new(Settings::default()).unwrap(),
            trust: Trust::default(),
            plugin_state: Arc::clone(&plugin_state),
            egress,
            environment: BTreeMap::new(),
            machines: crate::machines::local(dir.path(), None, &BTreeMap::new()),
            url: "http://127.0.0.1:1".to_owned(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            records: Records::new(Arc::clone(&store), Arc::new(blobs)),
            figures: Arc::default(),
            page: 100,
        };
        let org = Arc::new(foundation.organisation(OrgId::default_org()));
        let gateway = Gateway::new(Parts {
            config: ProcessConfig::default(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            audit: Arc::new(audit),
            cursors: Cursors::new(&[2; 32]),
            seals: Seals::new(&[3; 32]),
            facts: FactBook::new(store, Arc::clone(&clock) as Arc<dyn Clock>),
            plugin_state,
            hosts: HostPolicy::new(Listener::Loopback),
            url: "http://127.0.0.1:1".to_owned(),
            foundation,
        });
        gateway.add(Arc::clone(&org));
        let (gateway, revisions) = (Arc::new(gateway), AtomicU64::new(0));
        org.identify(&gateway, &Arc::default()).await.unwrap();
        Self { gateway, org, clock, revisions, _dir: dir }
    }

    /// Sets the clock.
    pub(crate) fn at(&self, millis: u64) {
        self.clock.set(millis);
    }

    /// Puts a revision into effect, with these lists announced.
    pub(crate) fn revise(&self, setup: &Setup, announced: &[(&str, List)]) {
        let announced = announced.iter().map(|(id, list)| (ConnectorId::new(id).unwrap(), *list));
        self.org.install(self.revision(setup), announced.collect());
    }

    fn revision(&self, setup: &Setup) -> Revision {
        let org = OrgId::default_org();
        let id = RevisionId(self.revisions.fetch_add(1, Ordering::SeqCst) + 1);
        let offers: BTreeMap<_, _> = setup
            .connectors
            .iter()
            .map(|(scripted, record)| {
                let id = scripted.id().clone();
                (id.clone(), Arc::new(offers::approved(&id, &json(record), None)))
            })
            .collect();
        let vmcps: Vec<VirtualMcp> =
            if setup.published { vec![setup.vmcp(&org)] } else { Vec::new() };
        let input = CatalogInput {
            vmcps: vmcps.clone(),
            offers: offers.clone(),
            ..CatalogInput::default()
        };
        let compiled = catalog::compile(org.clone(), id, input);
        let file = PolicyFile { name: "test.cedar".to_owned(), text: setup.policies.clone() };
        let policies = policy::compile(&PolicyInput {
            org: &org,
            revision: id,
            files: &[file],
            offers: &offers,
            gone: &[],
            pending: &[],
            vmcps: &vmcps,
        });
        let connectors: HashMap<_, _> = setup
            .connectors
            .iter()
            .map(|(scripted, _)| {
                (scripted.id().clone(), Arc::clone(scripted) as Arc<dyn Connector>)
            })
            .collect();
        Revision {
            is_whole: true,
            id,
            offers,
            chains: Chains::default(),
            snapshot: compiled.snapshot,
            notices: compiled.notices,
            policies: policies.unwrap(),
            keys: setup.keys(&org),
            settings: Arc::default(),
            connectors,
            resources: Arc::new(setup.resources()),
            visible: crate::call::list::VisibleCache::default(),
            views: super::view::Views::default(),
            has_facts: false,
            page: 100,
        }
    }

    /// A request of whoever has this key, or of nobody, under the revision in effect.
    pub(crate) fn context(&self, key: Option<&str>) -> Context {
        let revision = self.gateway.revision("default").unwrap();
        let org = OrgId::default_org();
        let caller: Caller = match key {
            Some(key) => revision.keys.authenticate(&org, key, &*self.clock).unwrap(),
            None => anonymous::anonymous(org).unwrap(),
        };
        Context {
            revision,
            caller,
            at: self.clock.now(),
            source: None,
            client: None,
            trace: TraceContext::default(),
            deadline: Instant::now() + Duration::from_secs(60),
            authenticated_in: Duration::ZERO,
            facts: None,
        }
    }
}

impl Setup {
    fn resources(&self) -> Resources {
        let text = "kind = \"hosted\"\ncommand = \"true\"\nper_caller = true";
        let config = |id: &ConnectorId| (id.clone(), toml::from_str(text).unwrap());
        let connectors = self.per_caller.iter().map(config).collect();
        Resources { connectors, ..Resources::default() }
    }

    fn vmcp(&self, org: &OrgId) -> VirtualMcp {
        VirtualMcp {
            org: org.clone(),
            id: VmcpId::new("all").unwrap(),
            title: "All".to_owned(),
            instructions: None,
            connectors: self.connectors.iter().map(|(one, _)| one.id().clone()).collect(),
            identity: self.identity,
            only: Vec::new(),
            overrides: Vec::new(),
            anonymous: self.anonymous,
        }
    }

    fn keys(&self, org: &OrgId) -> ApiKeys {
        let record = |(text, groups, expires): &(String, Vec<String>, Option<u64>)| KeyRecord {
            id: KeyId::new(text).unwrap(),
            org: org.clone(),
            hash: KeyHash::of(text),
            user: UserId::new("ae@example.com").unwrap(),
            kind: tidegate_identity::directory::Kind::Person,
            groups: groups.clone(),
            roles: Vec::new(),
            vmcps: Vec::new(),
            expires: expires.map(Timestamp::from_millis),
        };
        ApiKeys::new(self.keys.iter().map(record))
    }
}

/// A JSON text.
pub(crate) fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}
