//! Bound connectors: components that are a server.

use std::{fmt, sync::Arc};

use tidegate_model::Json;

use crate::{
    BindError, Binding, CallContext, Counts, Failure, Trap,
    hook::{Prepared, run},
    output::{self, Shape},
};

/// What a connector says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its name for people.
    pub title: String,
    /// Its own version.
    pub version: String,
    /// How a client is to use it.
    pub instructions: Option<String>,
}

/// One report of progress, as `notifications/progress` carries it.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// How far; finite.
    pub progress: f64,
    /// The end, where it is known; finite.
    pub total: Option<f64>,
    /// At most 1 KiB.
    pub message: Option<String>,
}

/// Takes reports while the guest runs; must not block.
pub type ProgressSink = Arc<dyn Fn(Progress) + Send + Sync>;

/// Why a call of a connector has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The component has no such tool.
    #[error("there is no such tool")]
    UnknownTool,
    /// The arguments do not fit, in the component's words.
    #[error("invalid arguments: {0}")]
    InvalidArguments(String),
    /// It went wrong, in the component's words.
    #[error("{0}")]
    Failed(String),
    /// It gave no answer at all.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// A component bound as a connector.
pub struct GuestConnector {
    prepared: Prepared,
}

impl fmt::Debug for GuestConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GuestConnector").field(&self.prepared.name).finish()
    }
}

impl GuestConnector {
    /// Links the component.
    pub fn new(binding: &Binding<'_>) -> Result<Self, BindError> {
        let prepared = binding.prepare("connector", "`tools`", |it| it.tools)?;
        Ok(Self { prepared })
    }

    /// The binding's name.
    pub fn name(&self) -> &str {
        &self.prepared.name
    }

    /// How often it ran.
    pub fn counts(&self) -> Counts {
        self.prepared.counts()
    }

    /// What it is; an error of the guest's is a [`Trap::BadOutput`] with its text.
    pub async fn describe(&self) -> Result<Description, Failure> {
        let prepared = &self.prepared;
        run!(prepared, None, None, describe(prepared.config.as_str()))?
            .map_err(|text| refused(prepared, text))
    }

    /// Its tools: MCP `Tool` objects as the guest wrote them.
    pub async fn list_tools(&self) -> Result<Vec<Json>, Failure> {
        let prepared = &self.prepared;
        let tools = run!(prepared, None, None, list(prepared.config.as_str()))?
            .map_err(|text| refused(prepared, text))?;
        tools.into_iter().map(|text| output::json(prepared, text, Shape::Object)).collect()
    }

    /// Carries out the tool that `call` names. Dropping the future stops the guest.
    pub async fn call(
        &self,
        call: &CallContext,
        arguments: &Json,
        progress: Option<ProgressSink>,
    ) -> Result<Json, CallError> {
        let prepared = &self.prepared;
        let (config, arguments) = (prepared.config.as_str(), arguments.as_str());
        let text = run!(prepared, Some(call), progress, call(call, config, arguments))??;
        Ok(output::json(prepared, text, Shape::Object)?)
    }
}

fn refused(prepared: &Prepared, text: String) -> Failure {
    Failure::trap(&prepared.name, Trap::BadOutput(text))
}
