//! The methods of MCP, each with the eras it belongs to and who may send it.

use super::revision::Era;

/// The extension by which calls become tasks in the modern era (SEP-2663).
pub const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// How a server tells of a task in [`TASKS_EXTENSION`]: no method of the core protocol.
pub const TASK_CHANGED: &str = "notifications/tasks";

/// What a message with this method is, and from whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sender {
    /// A request of the client.
    ClientRequest,
    /// A notification of the client.
    ClientNotification,
    /// A request of the server (legacy only).
    ServerRequest,
    /// A notification of the server.
    ServerNotification,
    /// A notification that either side may send.
    AnyNotification,
    /// A request that either side may send.
    AnyRequest,
}

impl Sender {
    /// Whether it is a request, so that it has an id and is answered.
    pub const fn is_request(self) -> bool {
        matches!(self, Self::ClientRequest | Self::ServerRequest | Self::AnyRequest)
    }

    /// Whether a client may send it.
    pub const fn is_from_client(self) -> bool {
        !matches!(self, Self::ServerRequest | Self::ServerNotification)
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $sender:ident, $legacy:literal, $modern:literal;)*) => {
        /// A method of the core protocol.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Method {
            $($(#[$doc])* $variant,)*
        }

        impl Method {
            /// Every method.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The method called `name`, in any era.
            pub fn parse(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Its name on the wire.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Who sends it, as what.
            pub const fn sender(self) -> Sender {
                match self {
                    $(Self::$variant => Sender::$sender,)*
                }
            }

            /// Whether the core protocol of `era` has it.
            pub const fn is_in(self, era: Era) -> bool {
                let (legacy, modern) = match self {
                    $(Self::$variant => ($legacy, $modern),)*
                };
                match era {
                    Era::Legacy => legacy,
                    Era::Modern => modern,
                }
            }
        }
    };
}

methods! {
    /// Opens a legacy session.
    Initialize = "initialize", ClientRequest, true, false;
    /// The client has read the answer to `initialize`.
    Initialized = "notifications/initialized", ClientNotification, true, false;
    /// Asks whether the peer lives.
    Ping = "ping", AnyRequest, true, false;
    /// What the server speaks and offers.
    Discover = "server/discover", ClientRequest, false, true;
    /// The tools, a page at a time.
    ListTools = "tools/list", ClientRequest, true, true;
    /// Calls a tool.
    CallTool = "tools/call", ClientRequest, true, true;
    /// The prompts.
    ListPrompts = "prompts/list", ClientRequest, true, true;
    /// One prompt, filled in.
    GetPrompt = "prompts/get", ClientRequest, true, true;
    /// The resources.
    ListResources = "resources/list", ClientRequest, true, true;
    /// The resource templates.
    ListResourceTemplates = "resources/templates/list", ClientRequest, true, true;
    /// One resource.
    ReadResource = "resources/read", ClientRequest, true, true;
    /// Asks for updates of one resource.
    SubscribeResource = "resources/subscribe", ClientRequest, true, false;
    /// Ends that.
    UnsubscribeResource = "resources/unsubscribe", ClientRequest, true, false;
    /// Completes an argument.
    Complete = "completion/complete", ClientRequest, true, true;
    /// Sets the session's log level.
    SetLogLevel = "logging/setLevel", ClientRequest, true, false;
    /// Opens a stream of notifications.
    Listen = "subscriptions/listen", ClientRequest, false, true;
    /// What of a listen request the server agreed to.
    SubscriptionsAcknowledged = "notifications/subscriptions/acknowledged", ServerNotification, false, true;
    /// A task's state (experimental, 2025-11-25).
    GetTask = "tasks/get", AnyRequest, true, false;
    /// A task's result.
    TaskResult = "tasks/result", AnyRequest, true, false;
    /// The tasks.
    ListTasks = "tasks/list", AnyRequest, true, false;
    /// Ends a task.
    CancelTask = "tasks/cancel", AnyRequest, true, false;
    /// A task changed its state.
    TaskStatus = "notifications/tasks/status", AnyNotification, true, false;
    /// Asks the client's model.
    CreateMessage = "sampling/createMessage", ServerRequest, true, false;
    /// Asks for the client's roots.
    ListRoots = "roots/list", ServerRequest, true, false;
    /// Asks the user.
    Elicit = "elicitation/create", ServerRequest, true, false;
    /// The user has finished at a URL.
    ElicitComplete = "notifications/elicitation/complete", ServerNotification, true, false;
    /// The sender no longer waits for an answer.
    Cancelled = "notifications/cancelled", AnyNotification, true, true;
    /// How far a request is.
    Progress = "notifications/progress", AnyNotification, true, true;
    /// A log line.
    LogMessage = "notifications/message", ServerNotification, true, true;
    /// The tools have changed.
    ToolsChanged = "notifications/tools/list_changed", ServerNotification, true, true;
    /// The prompts have changed.
    PromptsChanged = "notifications/prompts/list_changed", ServerNotification, true, true;
    /// The resources have changed.
    ResourcesChanged = "notifications/resources/list_changed", ServerNotification, true, true;
    /// One resource has changed.
    ResourceUpdated = "notifications/resources/updated", ServerNotification, true, true;
    /// The client's roots have changed.
    RootsChanged = "notifications/roots/list_changed", ClientNotification, true, false;
}

/// Which member of `params` the header `Mcp-Name` mirrors in the modern era: SEP-2243, and
/// SEP-2663 for tasks.
pub fn mirrored_member(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" => Some("uri"),
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some("taskId"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_round_trip() {
        let mut seen = std::collections::HashSet::new();
        for method in Method::ALL {
            assert!(seen.insert(method.name()));
            assert_eq!(Method::parse(method.name()), Some(*method));
            let notification = method.name().starts_with("notifications/");
            assert_eq!(method.sender().is_request(), !notification, "{}", method.name());
            assert!(method.is_in(Era::Legacy) || method.is_in(Era::Modern), "{}", method.name());
        }
        assert_eq!(Method::parse("Tools/call"), None);
    }

    #[test]
    fn the_modern_era_has_no_server_requests() {
        for method in Method::ALL {
            let server_request = method.sender() == Sender::ServerRequest;
            assert!(!(server_request && method.is_in(Era::Modern)), "{}", method.name());
        }
        assert!(!Method::Initialize.is_in(Era::Modern) && !Method::Discover.is_in(Era::Legacy));
    }
}
