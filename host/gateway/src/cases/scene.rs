//! Who does what where, as guests are told, for operations that nobody carries out.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tidegate_model::{
    BadName, Call, CallId, Completion, CompletionOf, ConnectorId, Json, Operation, OrgId, Pause,
    Prompt, PromptCall, PromptName, ResourceRef, Tool, ToolCall, ToolClass, ToolName, TraceContext,
    UserId, VmcpId,
};
use tidegate_wasm::{Asker, CallContext, Listing, capabilities::facts::Facts};

/// How long a trial may take at most; the limits of a binding end it earlier.
const PATIENCE: Duration = Duration::from_secs(300);

/// What an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    Tool,
    Prompt,
    Resource,
    /// An argument of a prompt, or of the template that the target is.
    Completion,
}

/// One operation as it would be told.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) id: CallId,
    pub(crate) org: OrgId,
    pub(crate) vmcp: VmcpId,
    pub(crate) connector: ConnectorId,
    /// As its connector calls it.
    pub(crate) target: String,
    pub(crate) user: UserId,
    pub(crate) groups: Arc<[String]>,
    pub(crate) client: Option<String>,
    pub(crate) trace: TraceContext,
}

impl Scene {
    /// As hooks around an operation are told of it.
    pub(crate) fn of_operation(
        &self,
        about: About,
        facts: Option<Arc<dyn Facts>>,
    ) -> Result<CallContext, BadName> {
        let call = Call {
            id: self.id,
            org: self.org.clone(),
            user: self.user.clone(),
            vmcp: self.vmcp.clone(),
            operation: self.operation(about)?,
            meta: None,
            given: None,
            trace: self.trace.clone(),
            deadline: Instant::now() + PATIENCE,
            pause: Pause::default(),
        };
        Ok(CallContext::of(&call, self.asker(facts)))
    }

    /// As hooks are told of a request for a list.
    pub(crate) fn of_listing(
        &self,
        method: &'static str,
        facts: Option<Arc<dyn Facts>>,
    ) -> CallContext {
        let listing = Listing {
            id: self.id,
            org: &self.org,
            vmcp: &self.vmcp,
            connector: &self.connector,
            method,
            trace: &self.trace,
            deadline: Instant::now() + PATIENCE,
        };
        CallContext::of_listing(&listing, self.asker(facts))
    }

    /// As hooks are told of a question that the connector asks while it works.
    pub(crate) fn of_question(
        &self,
        method: &'static str,
        facts: Option<Arc<dyn Facts>>,
    ) -> Result<CallContext, BadName> {
        // A target of any kind is passed on as it is; the method is the question's.
        let call = self.of_operation(About::Resource, facts)?;
        Ok(call.asking(method, Instant::now() + PATIENCE))
    }

    fn asker(&self, facts: Option<Arc<dyn Facts>>) -> Asker<'_> {
        let groups = Arc::clone(&self.groups);
        Asker { user: &self.user, groups, client: self.client.as_deref(), facts }
    }

    fn operation(&self, about: About) -> Result<Operation, BadName> {
        let connector = self.connector.clone();
        let resource =
            || ResourceRef { connector: self.connector.clone(), uri: self.target.as_str().into() };
        let prompt = |name: PromptName| {
            Arc::new(Prompt {
                connector: self.connector.clone(),
                name,
                definition: Json::empty_object(),
            })
        };
        Ok(match about {
            About::Tool => Operation::CallTool(ToolCall {
                tool: Arc::new(Tool {
                    connector,
                    name: ToolName::new(&self.target)?,
                    definition: Json::empty_object(),
                    input_schema: Json::empty_object(),
                    output_schema: None,
                    class: ToolClass::default(),
                }),
                arguments: Json::empty_object(),
                more: Vec::new(),
            }),
            About::Prompt => Operation::GetPrompt(PromptCall {
                prompt: prompt(PromptName::new(&self.target)?),
                arguments: None,
            }),
            About::Resource => Operation::ReadResource(resource()),
            About::Completion => Operation::Complete(Completion {
                of: match PromptName::new(&self.target) {
                    Ok(name) => CompletionOf::Prompt(prompt(name)),
                    Err(_) => CompletionOf::Template(resource()),
                },
                argument: Json::empty_object(),
                context: None,
            }),
        })
    }
}
