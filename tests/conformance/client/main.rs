//! The gateway's connector as the client that the conformance suite looks at.
//!
//! The harness starts this program for each scenario, with the URL of its server as the last
//! argument. Owns the walk: list everything, use everything once, answer what is asked.
//! Which era is spoken is found out by the connector itself, as in a gateway.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tidegate_model::{ConnectorId, Offer, Operation, PromptCall, ResourceRef, Tool, ToolCall};
use tidegate_upstream::{
    Affinity, Connector, ConnectorSpec, Duty, Event, Exchange, Maintenance, Parts, Profile,
    connector::RemoteSpec, open,
};
use tidegate_wire::client::egress::{AddressPolicy, Egress, Resolver};

use crate::permit::Permits;

mod answers;
mod permit;

/// How long anything may take; the harness gives up a little later.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the harness says about the scenario, beside the URL.
struct Scenario {
    name: String,
    /// Calls that are to be made with exactly these arguments.
    calls: Vec<(String, Value)>,
}

impl Scenario {
    #[expect(clippy::disallowed_methods, reason = "this is how the harness speaks to a client")]
    fn read() -> Result<Self> {
        let name = std::env::var("MCP_CONFORMANCE_SCENARIO").unwrap_or_default();
        let context = match std::env::var("MCP_CONFORMANCE_CONTEXT") {
            Ok(text) => serde_json::from_str(&text).context("the context is no JSON")?,
            Err(_) => Value::Null,
        };
        let calls = context.get("toolCalls").and_then(Value::as_array).into_iter().flatten();
        let call = |call: &Value| {
            let name = call.get("name")?.as_str()?.to_owned();
            Some((name, call.get("arguments").cloned().unwrap_or_else(|| json!({}))))
        };
        Ok(Self { name, calls: calls.filter_map(call).collect() })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let url = std::env::args().next_back().context("the URL of the server is missing")?;
    let scenario = Scenario::read()?;
    let id = ConnectorId::new("suite")?;
    let allow = AddressPolicy { loopback: true, ..AddressPolicy::default() };
    let spec = ConnectorSpec::Remote(RemoteSpec { allow, ..RemoteSpec::at(&url) });
    let parts = Parts {
        egress: Egress::new(Resolver::System, None)?,
        secrets: BTreeMap::new(),
        environment: BTreeMap::new(),
        vault: None,
        org: "suite".to_owned(),
        machines: None,
    };
    let connector = open(id.clone(), &spec, &parts)?;
    let listed = connector
        .list(&Maintenance::new(Duty::Sync, Instant::now() + PATIENCE))
        .await
        .with_context(|| format!("listing for `{}`", scenario.name))?;
    let walk = Walk { permits: Permits::new(&id, &listed.offer)?, connector, offer: listed.offer };
    let walked = walk.everything(&scenario).await;
    walk.connector.close().await;
    walked
}

struct Walk {
    connector: Arc<dyn Connector>,
    offer: Offer,
    permits: Permits,
}

impl Walk {
    async fn everything(&self, scenario: &Scenario) -> Result<()> {
        for (name, arguments) in &scenario.calls {
            let found = self.offer.tools.iter().find(|tool| tool.name.as_str() == name);
            let tool = found.with_context(|| format!("there is no tool `{name}`"))?;
            self.tool(tool, arguments).await?;
        }
        if scenario.calls.is_empty() {
            for tool in self.offer.tools.iter() {
                self.tool(tool, &answers::arguments(tool, &self.offer)?).await?;
            }
        }
        for prompt in self.offer.prompts.iter() {
            let call = PromptCall { prompt: Arc::clone(prompt), arguments: None };
            self.use_once(Operation::GetPrompt(call)).await?;
        }
        for resource in self.offer.resources.iter() {
            let uri = resource.uri.clone();
            let reference = ResourceRef { connector: resource.connector.clone(), uri };
            self.use_once(Operation::ReadResource(reference)).await?;
        }
        Ok(())
    }

    async fn tool(&self, tool: &Arc<Tool>, arguments: &Value) -> Result<()> {
        let arguments = tidegate_model::Json::of(arguments)?;
        let call = ToolCall { tool: Arc::clone(tool), arguments, more: Vec::new() };
        self.use_once(Operation::CallTool(call)).await
    }

    /// One operation; questions of the server are answered on the way.
    async fn use_once(&self, operation: Operation) -> Result<()> {
        let named = format!("{} of `{}`", operation.method(), operation.target());
        let armed = self.permits.arm(&*self.connector, operation, PATIENCE).await?;
        let (sender, mut events) = tokio::sync::mpsc::channel(16);
        let mut exchange = Exchange { progress: true, events: Some(sender), ..Exchange::default() };
        exchange.affinity = Some(Affinity(1));
        exchange.can.profile = Profile::ALL;
        exchange.patience = PATIENCE;
        let answering = async {
            while let Some(event) = events.recv().await {
                if let Event::Question(question) = event {
                    // Nobody waits any more: the call is over.
                    let _ = question.reply.send(answers::to(question.method, &question.params));
                }
            }
        };
        let call = self.connector.call(armed, exchange);
        let (answer, ()) = tokio::join!(call, answering);
        match answer {
            Ok(answer) => {
                tracing::info!("{named}: {}", answer.json().as_str());
                Ok(())
            }
            Err(error) => bail!("{named}: {error}"),
        }
    }
}
