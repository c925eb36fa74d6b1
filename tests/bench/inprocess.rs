//! Figures of single parts, taken in this process through the crates' public interfaces.
//!
//! Owns one Cedar decision over more and more policies; what a plugin costs is in `plugins`.
//! Knows nothing of HTTP.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use tidegate_governance::policy::{Policies, PolicyFile, PolicyInput, RequestContext, compile};
use tidegate_identity::{
    Caller,
    method::api_key::{ApiKeys, KeyRecord, generate},
};
use tidegate_model::{
    Call, CallId, ConnectorId, Json, KeyId, Offer, Operation, OrgId, RevisionId, SystemClock,
    Timestamp, Tool, ToolCall, ToolClass, ToolName, TraceContext, UserId, VirtualMcp, VmcpId,
};

use crate::{
    gateway::CONNECTOR,
    latency::Latencies,
    plugins,
    policies::{self, GROUP, PER_TOOL},
    report::Report,
    upstream::tool_name,
};

const ARGUMENTS: &str = r#"{"message":"the quick brown fox jumps over the lazy dog","count":3}"#;
const SCHEMA: &str = r#"{"type":"object","properties":{"message":{"type":"string"},"count":{"type":"integer","minimum":0}},"required":["message"]}"#;
/// Decisions timed together: one alone is near the resolution of the clock.
const BATCH: u32 = 20;

/// Adds the figures of plugins and `cedar_N_p50_us`.
pub(crate) fn measure(report: &mut Report, quick: bool) -> Result<()> {
    let rounds = if quick { 1_000 } else { 10_000 };
    plugins::measure(report, quick)?;
    for count in [10, 100, 1_000, 10_000] {
        println!("one Cedar decision over {count} policies");
        let mut decision = decisions(count, rounds / 10)?;
        report.set(&format!("cedar_{count}_p50_us"), decision.quantile_us(0.5));
    }
    Ok(())
}

/// Decisions on the first tool with `count` policies in force, caches warm as in a gateway.
fn decisions(count: usize, rounds: usize) -> Result<Latencies> {
    let policies = policies(count)?;
    let (caller, call) = (caller()?, call(&tool(0)?)?);
    let context =
        RequestContext { at: Timestamp::from_millis(1_800_000_000_000), ..Default::default() };
    let mut latencies = Latencies::with_capacity(rounds);
    for round in 0..rounds + rounds / 10 {
        let start = Instant::now();
        for _ in 0..BATCH {
            let decision = policies.authorize(&caller, call.clone(), &context);
            decision.map_err(|_| anyhow!("the bench's own call was refused"))?;
        }
        if round >= rounds / 10 {
            latencies.record(start.elapsed() / BATCH);
        }
    }
    Ok(latencies)
}

fn policies(count: usize) -> Result<Policies> {
    let tools = (0..count.div_ceil(PER_TOOL).max(1)).map(tool).collect::<Result<Vec<_>>>()?;
    let connector = ConnectorId::new(CONNECTOR)?;
    let vmcp = VirtualMcp {
        org: OrgId::default_org(),
        id: VmcpId::new("bench")?,
        title: "Bench".into(),
        instructions: None,
        connectors: vec![connector.clone()],
        identity: false,
        only: Vec::new(),
        overrides: Vec::new(),
        anonymous: false,
    };
    let text = policies::realistic(CONNECTOR, count);
    compile(&PolicyInput {
        org: &OrgId::default_org(),
        revision: RevisionId(1),
        files: &[PolicyFile { name: "bench.cedar".into(), text }],
        offers: &[(connector, Arc::new(Offer { tools: tools.into(), ..Offer::default() }))].into(),
        gone: &[],
        pending: &[],
        vmcps: &[vmcp],
    })
    .map_err(|problems| anyhow!("the bench's own policies are wrong: {problems:?}"))
}

pub(crate) fn tool(index: usize) -> Result<Arc<Tool>> {
    let name = tool_name(index);
    let schema = Json::parse(SCHEMA)?;
    Ok(Arc::new(Tool {
        connector: ConnectorId::new(CONNECTOR)?,
        definition: Json::parse(format!(r#"{{"name":"{name}","inputSchema":{SCHEMA}}}"#))?,
        name: ToolName::new(&name)?,
        input_schema: schema,
        output_schema: None,
        class: ToolClass { read_only: true, destructive: false, ..ToolClass::default() },
    }))
}

pub(crate) fn call(tool: &Arc<Tool>) -> Result<Call> {
    let operation = Operation::CallTool(ToolCall {
        tool: Arc::clone(tool),
        arguments: Json::parse(ARGUMENTS)?,
        more: Vec::new(),
    });
    Ok(Call {
        id: CallId::new(Timestamp::from_millis(1), [7; 10]),
        org: OrgId::default_org(),
        user: tidegate_model::UserId::new("ae@example.com")?,
        vmcp: VmcpId::new("bench")?,
        operation,
        trace: TraceContext::default(),
        deadline: Instant::now() + Duration::from_secs(3_600),
        meta: None,
        given: None,
        pause: Default::default(),
    })
}

pub(crate) fn caller() -> Result<Caller> {
    let id = KeyId::new("bench")?;
    let (key, hash) = generate(&id).context("no randomness")?;
    let record = KeyRecord {
        id,
        org: OrgId::default_org(),
        hash,
        user: UserId::new("bench@example.com")?,
        kind: tidegate_identity::directory::Kind::Person,
        groups: vec![GROUP.to_owned()],
        roles: Vec::new(),
        vmcps: Vec::new(),
        expires: None,
    };
    let keys = ApiKeys::new([record]);
    Ok(keys.authenticate(&OrgId::default_org(), key.expose(), &SystemClock)?)
}
