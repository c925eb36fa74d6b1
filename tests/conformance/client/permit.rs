//! The proofs that a connector asks for, obtained as the gateway obtains them: a decision of
//! a policy, a credential and a receipt of the audit record.
//!
//! There is one caller, who may do everything, and the record is written nowhere.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use tidegate_governance::{
    audit::{Audit, AuditOptions, Durability},
    policy::{Policies, PolicyFile, PolicyInput, RequestContext, compile},
};
use tidegate_identity::{
    Caller,
    method::api_key::{ApiKeys, KeyRecord, generate},
};
use tidegate_model::{
    Call, CallId, Clock, ConnectorId, KeyId, Offer, Operation, OrgId, Pause, RevisionId,
    SystemClock, TraceContext, UserId, VirtualMcp, VmcpId,
};
use tidegate_upstream::{Armed, Connector};

const VMCP: &str = "suite";

/// Makes calls that may leave.
pub(crate) struct Permits {
    policies: Policies,
    caller: Caller,
    audit: Arc<Audit>,
    calls: AtomicU64,
}

impl Permits {
    /// For everything that the connector offers.
    pub(crate) fn new(connector: &ConnectorId, offer: &Offer) -> Result<Self> {
        let vmcp = VirtualMcp {
            org: OrgId::default_org(),
            id: VmcpId::new(VMCP)?,
            title: "Suite".into(),
            instructions: None,
            connectors: vec![connector.clone()],
            identity: true,
            only: Vec::new(),
            overrides: Vec::new(),
            anonymous: false,
        };
        let text = "permit (principal, action, resource);".to_owned();
        let policies = compile(&PolicyInput {
            org: &OrgId::default_org(),
            revision: RevisionId(1),
            files: &[PolicyFile { name: "all.cedar".into(), text }],
            offers: &[(connector.clone(), Arc::new(offer.clone()))].into(),
            gone: &[],
            pending: &[],
            vmcps: &[vmcp],
        })
        .map_err(|problems| anyhow!("the policy is wrong: {problems:?}"))?;
        let audit = Arc::new(Audit::new(AuditOptions {
            log: None,
            durability: Durability::Process,
            payloads: None,
            digest_key: [0; 32],
            clock: Arc::new(SystemClock),
        }));
        Ok(Self { policies, caller: caller()?, audit, calls: AtomicU64::new(0) })
    }

    /// The operation with all its proofs.
    pub(crate) async fn arm(
        &self,
        connector: &dyn Connector,
        operation: Operation,
        patience: Duration,
    ) -> Result<Armed> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut unique = [0; 10];
        unique.iter_mut().zip(number).for_each(|(to, from)| *to = from);
        let now = SystemClock.now();
        let call = Call {
            id: CallId::new(now, unique),
            org: OrgId::default_org(),
            user: tidegate_model::UserId::new("ae@example.com")?,
            vmcp: VmcpId::new(VMCP)?,
            operation,
            trace: TraceContext::default(),
            deadline: Instant::now() + patience,
            meta: None,
            given: None,
            pause: Pause::default(),
        };
        let (id, method) = (call.id, call.operation.method());
        let context = RequestContext { at: now, ..RequestContext::default() };
        let permitted = self.policies.authorize(&self.caller, call, &context);
        let permitted = permitted.map_err(|_| anyhow!("the policy that permits all refused"))?;
        let injection = connector.credential().obtain(&permitted).await?;
        let mut record = self.audit.open(id, OrgId::default_org(), method);
        let receipt = record.intent(&permitted).await?;
        record.done().await?;
        Ok(Armed::new(permitted, injection, receipt)?)
    }
}

fn caller() -> Result<Caller> {
    let id = KeyId::new("suite")?;
    let (key, hash) = generate(&id)?;
    let record = KeyRecord {
        id,
        org: OrgId::default_org(),
        hash,
        user: UserId::new("suite@example.com")?,
        kind: tidegate_identity::directory::Kind::Person,
        groups: Vec::new(),
        roles: Vec::new(),
        vmcps: Vec::new(),
        expires: None,
    };
    let keys = ApiKeys::new([record]);
    Ok(keys.authenticate(&OrgId::default_org(), key.expose(), &SystemClock)?)
}
