//! What decisions cost: microseconds at 10, 100, 1,000 and 10,000 policies.
//!
//! `cargo run -p tidegate-governance --example policy_cost`; figures worth quoting need
//! `--release`. *spread*: policies for 200 groups and 1,000 tools, a quarter of them looking
//! at arguments; the caller is in five groups, and one open policy in 200 is theirs. *crowded*: every policy applies to the call
//! and looks at its arguments, the worst that slices cannot help with.
#![expect(clippy::print_stdout, reason = "printing figures is what this is for")]

use std::{
    collections::BTreeMap,
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use identity::{
    Caller,
    method::api_key::{ApiKeys, KeyRecord, generate},
};
use model::{
    Call, CallId, ConnectorId, Json, KeyId, Offer, Operation, OrgId, RevisionId, SystemClock,
    Timestamp, Tool, ToolCall, ToolClass, ToolName, TraceContext, UserId, VirtualMcp, VmcpId,
};
use tidegate_governance::policy::{
    Policies, PolicyFile, PolicyInput, Problem, RequestContext, compile,
};
use tidegate_identity as identity;
use tidegate_model as model;

const TOOLS: usize = 1_000;
const ROUNDS: u32 = 2_000;
const SCHEMA: &str = r#"{"type":"object","properties":{"query":{"type":"string"},
    "amount":{"type":"integer"},"limit":{"type":"integer"}},"required":["query"]}"#;

type Fallible<T> = Result<T, Box<dyn Error>>;
type Offers = BTreeMap<ConnectorId, Arc<Offer>>;
type Kind = fn(usize) -> String;

fn offers() -> Fallible<Offers> {
    let connector = |c: usize| -> Fallible<(ConnectorId, Arc<Offer>)> {
        let id = ConnectorId::new(&format!("c{c}"))?;
        let tool = |t: usize| -> Fallible<Arc<Tool>> {
            Ok(Arc::new(Tool {
                connector: id.clone(),
                name: ToolName::new(&format!("t{t}"))?,
                definition: Json::empty_object(),
                input_schema: Json::parse(SCHEMA)?,
                output_schema: None,
                class: ToolClass { read_only: t.is_multiple_of(2), ..ToolClass::default() },
            }))
        };
        let tools: Fallible<Vec<Arc<Tool>>> = (0..TOOLS / 10).map(tool).collect();
        Ok((id.clone(), Arc::new(Offer { tools: tools?.into(), ..Offer::default() })))
    };
    (0..10).map(connector).collect()
}

fn caller() -> Fallible<Caller> {
    let id = KeyId::new("k")?;
    let (key, hash) = generate(&id)?;
    let record = KeyRecord {
        id,
        org: OrgId::default_org(),
        hash,
        user: UserId::new("someone@example.com")?,
        kind: tidegate_identity::directory::Kind::Person,
        groups: (0..5).map(|g| format!("g{g}")).collect(),
        roles: Vec::new(),
        vmcps: Vec::new(),
        expires: None,
    };
    let keys = ApiKeys::new([record]);
    Ok(keys.authenticate(&OrgId::default_org(), key.expose(), &SystemClock)?)
}

fn spread(n: usize) -> String {
    let (group, connector, tool) = (n % 200, n / 4 % 10, n / 40 % (TOOLS / 10));
    match n % 4 {
        0 => format!(
            "permit(principal in Group::\"g{group}\", action in Action::\"call_tool\", \
             resource in Connector::\"c{connector}\");\n"
        ),
        1 => format!(
            "permit(principal in Group::\"g{group}\", action == Action::\"c{connector}/t{tool}\", \
             resource);\n"
        ),
        2 => format!(
            "forbid(principal, action == Action::\"c{connector}/t{tool}\", resource) \
             unless {{ principal in Group::\"g{group}\" }};\n"
        ),
        _ => format!(
            "forbid(principal in Group::\"g{group}\", action in Action::\"call_tool\", \
             resource in Connector::\"c{connector}\") \
             when {{ context.input has amount && context.input.amount > {n}000 }};\n"
        ),
    }
}

fn crowded(n: usize) -> String {
    format!(
        "permit(principal in Group::\"g{}\", action in Action::\"call_tool\", resource) \
         when {{ context.input has amount && context.input.amount == {n} }};\n",
        n % 5
    )
}

fn compiled(offers: &Offers, text: String) -> Fallible<(Policies, Duration)> {
    let vmcp = VirtualMcp {
        org: OrgId::default_org(),
        id: VmcpId::new("all")?,
        title: "All".into(),
        instructions: None,
        connectors: offers.keys().cloned().collect(),
        identity: false,
        only: Vec::new(),
        overrides: Vec::new(),
        anonymous: false,
    };
    let begin = Instant::now();
    let policies = compile(&PolicyInput {
        org: &OrgId::default_org(),
        revision: RevisionId(1),
        files: &[PolicyFile { name: "bench.cedar".into(), text }],
        offers,
        gone: &[],
        pending: &[],
        vmcps: &[vmcp],
    });
    let first = |problems: Vec<Problem>| problems.into_iter().next().map(Box::<dyn Error>::from);
    let policies = policies.map_err(|problems| first(problems).unwrap_or_else(|| "?".into()))?;
    Ok((policies, begin.elapsed()))
}

fn call(tool: &Arc<Tool>) -> Fallible<Call> {
    Ok(Call {
        id: CallId::new(Timestamp::from_millis(0), [0; 10]),
        org: OrgId::default_org(),
        user: tidegate_model::UserId::new("ae@example.com")?,
        vmcp: VmcpId::new("all")?,
        operation: Operation::CallTool(ToolCall {
            tool: Arc::clone(tool),
            arguments: Json::parse(r#"{"query":"someone","amount":9}"#)?,
            more: Vec::new(),
        }),
        meta: None,
        given: None,
        trace: TraceContext::default(),
        deadline: Instant::now(),
        pause: Default::default(),
    })
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn main() -> Fallible<()> {
    let offers = offers()?;
    let caller = caller()?;
    let all: Vec<&Arc<Tool>> = offers.values().flat_map(|offer| offer.tools.iter()).collect();
    let context = RequestContext::default();
    println!(
        "kind     policies  compile_ms  schema_ms  first_us  decision_p50_us  list_cold_us  list_warm_us  permitted"
    );
    let kinds: [(&str, Kind); 2] = [("spread", spread), ("crowded", crowded)];
    for (name, kind) in kinds {
        for count in [10, 100, 1_000, 10_000] {
            let (policies, compiling) = compiled(&offers, (0..count).map(kind).collect())?;
            let begin = Instant::now();
            policies.schema()?;
            let schema = begin.elapsed();
            let tool = all.first().ok_or("there are no tools")?;
            let vmcp = VmcpId::new("all")?;
            let begin = Instant::now();
            let permitted = policies.authorize(&caller, call(tool)?, &context).is_ok();
            let first = begin.elapsed();
            let mut times = Vec::new();
            let rounds = if count > 1_000 { ROUNDS / 10 } else { ROUNDS };
            for _ in 0..rounds {
                let call = call(tool)?;
                let begin = Instant::now();
                let decision = policies.authorize(&caller, call, &context);
                times.push(begin.elapsed());
                drop(decision);
            }
            times.sort_unstable();
            let median = times.get(times.len() / 2).copied().unwrap_or_default();
            let list = || {
                let begin = Instant::now();
                let seen = all.iter().filter(|tool| policies.visible(&caller, &vmcp, tool));
                let seen = seen.count();
                (begin.elapsed(), seen)
            };
            let ((cold, _), (warm, _)) = (list(), list());
            println!(
                "{name:8} {count:8}  {:10.1}  {:9.1}  {:8.1}  {:15.2}  {:12.1}  {:12.1}  {permitted}",
                micros(compiling) / 1e3,
                micros(schema) / 1e3,
                micros(first),
                micros(median),
                micros(cold),
                micros(warm),
            );
        }
    }
    Ok(())
}
