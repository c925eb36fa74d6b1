//! The sandbox against real guests, through its public interface.
//!
//! `cargo xtask guests` builds them first; without, every test here says so.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tidegate_model::{
    Call, CallId, Clock, ConnectorId, Json, Operation, OrgId, Round, Timestamp, Tool, ToolCall,
    ToolClass, ToolName, TraceContext, UserId, VmcpId,
};

use crate::{
    Allocation, Before, Binding, CacheKey, CacheSettings, CallContext, Component, Event, Failure,
    Grants, Interceptor, Interface, Limits, ListKind, Reach, Sandbox, Settings,
};

mod anything;
mod breaking;
mod caching;
mod calling;
mod chance;
mod connecting;
mod customizing;
mod emptiness;
mod events;
mod hostility;
mod intercepting;
mod loading;
mod logging;
mod memory;
mod public;
mod spares;
mod versions;
mod waiting;

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(43_200_000)
    }
}

fn guests() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/guests")
}

fn guest(name: &str) -> Bytes {
    let path = guests().join(format!("{name}.wasm"));
    match std::fs::read(&path) {
        Ok(bytes) => bytes.into(),
        Err(error) => panic!("{}: {error}: run `cargo xtask guests`", path.display()),
    }
}

fn settings() -> Settings {
    // Shared by all runs: compiling is slow in a debug build, and loading is tested on its own.
    let folder = guests().join(".cache");
    let cache = CacheSettings { folder, key: CacheKey::new([7; 32]) };
    Settings {
        allocation: Allocation::Pooling { instances: 8 },
        memory: Settings::MEMORY,
        cache: Some(cache),
        clock: Arc::new(Noon),
        moment: Instant::now,
    }
}

async fn load(name: &str) -> Component {
    Sandbox::new(settings()).unwrap().load(guest(name)).await.unwrap()
}

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

fn call(tool: &str) -> Call {
    let tool = Tool {
        connector: ConnectorId::new("crm").unwrap(),
        name: ToolName::new(tool).unwrap(),
        definition: Json::empty_object(),
        input_schema: Json::empty_object(),
        output_schema: None,
        class: ToolClass::default(),
    };
    Call {
        id: CallId::new(Timestamp::from_millis(1), [2; 10]),
        org: OrgId::default_org(),
        user: tidegate_model::UserId::new("ae@example.com").unwrap(),
        vmcp: VmcpId::new("sales").unwrap(),
        operation: Operation::CallTool(ToolCall {
            tool: Arc::new(tool),
            arguments: Json::empty_object(),
            more: Vec::new(),
        }),
        meta: None,
        given: None,
        trace: TraceContext::default(),
        deadline: Instant::now() + Duration::from_secs(60),
        pause: Default::default(),
    }
}

fn context_of(call: &Call) -> CallContext {
    let user = UserId::new("ae@example.com").unwrap();
    CallContext::new(call, &user, Arc::from(["sales".to_owned()]), Some("claude"))
}

fn context(tool: &str) -> CallContext {
    context_of(&call(tool))
}

fn binding<'a>(component: &'a Component, config: &'a Json) -> Binding<'a> {
    Binding {
        name: "hostile",
        component,
        config,
        grants: Grants::all(),
        limits: Limits::default(),
        reach: Reach::default(),
    }
}

/// A tool call, at first.
async fn before(
    plugin: &Interceptor,
    context: &CallContext,
    arguments: &Json,
) -> Result<Before, Failure> {
    plugin.before(Event::Call, context, arguments, &Round::default()).await
}

/// Small bounds, so that overruns end soon.
fn tight() -> Limits {
    Limits {
        guest_time: Duration::from_millis(100),
        memory: 16 << 20,
        output: 1 << 20,
        ..Limits::INTERCEPTOR
    }
}

fn hostile(component: &Component, act: &str, limits: Limits) -> Interceptor {
    let config = json(&format!(r#"{{"do":"{act}"}}"#));
    Interceptor::new(&Binding { limits, ..binding(component, &config) }).unwrap()
}
