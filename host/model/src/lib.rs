//! NOUNS: the words every other crate speaks.
//!
//! Owns identifiers, the tool, virtual MCP, call, outcome and verdict types, the secret
//! wrapper and the clock. Does no IO, knows no protocol bytes, no store, no policy engine
//! and no guest. If a type is needed by two crates and means something to an
//! administrator, it lives here.

pub mod call;
pub mod clock;
pub mod id;
pub mod json;
pub mod offer;
pub mod outcome;
pub mod secret;
pub mod stage;
pub mod tool;
pub mod verdict;
pub mod vmcp;

pub use call::{
    Call, Completion, CompletionOf, Given, Operation, Pause, PromptCall, ResourceRef, TaskCall,
    TaskMethod, ToolCall, TraceContext,
};
pub use clock::{Clock, SystemClock, Timestamp};
pub use id::{
    BadName, CallId, ConnectorId, KeyId, OrgId, PluginId, PromptName, RevisionId, ToolName, UserId,
    VmcpId,
};
pub use json::Json;
pub use offer::{Features, Offer, Prompt, Resource, ResourceTemplate};
pub use outcome::{Answer, Outcome, Refusal, RefusalCode};
pub use secret::Secret;
pub use stage::{Stage, Timings};
pub use tool::{Tool, ToolClass};
pub use verdict::{Ask, Reply, Round, Verdict};
pub use vmcp::{ToolOverride, VirtualMcp};
