//! Bound connectors: components that are a server.

use std::{fmt, sync::Arc};

use tidegate_model::Json;

use crate::{
    BindError, Binding, CallContext, Counts, Exports, Failure, Interface, Line, ListKind, Trap,
    counters::Said,
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
    /// The component has nothing of this name or URI.
    #[error("there is no such thing")]
    Unknown,
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
    exports: Exports,
}

impl fmt::Debug for GuestConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GuestConnector").field(&self.prepared.name).finish()
    }
}

impl GuestConnector {
    /// Links the component.
    pub fn new(binding: &Binding<'_>) -> Result<Self, BindError> {
        let prepared = binding.prepare(
            "connector",
            "`tools`, `prompts` or `resources`",
            Exports::is_connector,
        )?;
        Ok(Self { prepared, exports: binding.component.exports() })
    }

    /// The binding's name.
    pub fn name(&self) -> &str {
        &self.prepared.name
    }

    /// How often it ran.
    pub fn counts(&self) -> Counts {
        self.prepared.counts()
    }

    /// What it said last, in lines with numbers above `since`, oldest first.
    pub fn lines(&self, since: u64) -> Vec<Line> {
        self.prepared.lines(since)
    }

    /// What it offers: `tools`, `prompts`, `resources`.
    pub fn exports(&self) -> Exports {
        self.exports
    }

    /// What it is; an error of the guest's is a [`Trap::BadOutput`] with its text.
    pub async fn describe(&self) -> Result<Description, Failure> {
        let prepared = &self.prepared;
        if !self.exports.has(Interface::Server) {
            let title = prepared.name.to_string();
            return Ok(Description { title, version: "0".to_owned(), instructions: None });
        }
        run!(prepared, None, None, describe(prepared.config.as_str()), |said| {
            Ok((Said::Done, said.map_err(|text| refused(prepared, text))?))
        })
    }

    /// What it offers of a kind: MCP objects as the guest wrote them; none of a kind that it
    /// does not export.
    pub async fn list(&self, kind: ListKind) -> Result<Vec<Json>, Failure> {
        let prepared = &self.prepared;
        let interface = match kind {
            ListKind::Tools => Interface::Tools,
            ListKind::Prompts => Interface::Prompts,
            ListKind::Resources | ListKind::Templates => Interface::Resources,
        };
        if !self.exports.has(interface) {
            return Ok(Vec::new());
        }
        run!(prepared, None, None, list(kind, prepared.config.as_str()), |said| {
            let items = said.map_err(|text| refused(prepared, text))?.into_iter();
            let items = items.map(|text| output::json(prepared, text, Shape::Object));
            Ok((Said::Done, items.collect::<Result<_, _>>()?))
        })
    }

    /// Carries out the tool that `call` names. Dropping the future stops the guest.
    pub async fn call(
        &self,
        call: &CallContext,
        arguments: &Json,
        progress: Option<ProgressSink>,
    ) -> Result<Json, CallError> {
        let prepared = &self.prepared;
        if !self.exports.has(Interface::Tools) {
            return Err(CallError::Unknown);
        }
        let (config, arguments) = (prepared.config.as_str(), arguments.as_str());
        run!(prepared, Some(call), progress, call(call, config, arguments), |said| {
            result(prepared, said)
        })?
    }

    /// Fetches the prompt that `call` names.
    pub async fn prompt(&self, call: &CallContext, arguments: &Json) -> Result<Json, CallError> {
        let prepared = &self.prepared;
        if !self.exports.has(Interface::Prompts) {
            return Err(CallError::Unknown);
        }
        let (config, arguments) = (prepared.config.as_str(), arguments.as_str());
        run!(prepared, Some(call), None, prompt(call, config, arguments), |said| {
            result(prepared, said)
        })?
    }

    /// Reads the resource whose URI is the target of `call`.
    pub async fn read(&self, call: &CallContext) -> Result<Json, CallError> {
        let prepared = &self.prepared;
        if !self.exports.has(Interface::Resources) {
            return Err(CallError::Unknown);
        }
        let config = prepared.config.as_str();
        run!(prepared, Some(call), None, read(call, config), |said| result(prepared, said))?
    }
}

/// Its own words for a failure are an answer; a result that is none is a fault.
fn result(
    prepared: &Prepared,
    said: Result<String, CallError>,
) -> Result<(Said, Result<Json, CallError>), Failure> {
    Ok(match said {
        Ok(text) => (Said::Done, Ok(output::json(prepared, text, Shape::Object)?)),
        Err(words) => (Said::Failed, Err(words)),
    })
}

fn refused(prepared: &Prepared, text: String) -> Failure {
    prepared.fault(Trap::BadOutput(text))
}
