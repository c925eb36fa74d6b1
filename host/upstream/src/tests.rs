//! What the tests of several modules need: a call without a gateway around it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tidegate_model::{
    Call, CallId, ConnectorId, Json, Operation, OrgId, Timestamp, Tool, ToolCall, ToolClass,
    ToolName, TraceContext, UserId, VmcpId,
};

/// A call of `tool` with an id of its own and half a minute to live.
pub(crate) fn a_call(connector: &str, tool: &str, arguments: &str) -> Call {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let at = Timestamp::from_millis(NEXT.fetch_add(1, Ordering::Relaxed));
    let tool = Tool {
        connector: ConnectorId::new(connector).unwrap(),
        name: ToolName::new(tool).unwrap(),
        definition: Json::empty_object(),
        input_schema: Json::empty_object(),
        output_schema: None,
        class: ToolClass::default(),
    };
    let arguments = Json::parse(arguments.to_owned()).unwrap();
    Call {
        id: CallId::new(at, [0; 10]),
        org: OrgId::default_org(),
        user: UserId::new("ae@example.com").unwrap(),
        vmcp: VmcpId::new("sales").unwrap(),
        operation: Operation::CallTool(ToolCall {
            tool: Arc::new(tool),
            arguments,
            more: Vec::new(),
        }),
        meta: None,
        given: None,
        trace: TraceContext::default(),
        deadline: Instant::now() + Duration::from_secs(30),
        pause: Default::default(),
    }
}
