//! `vmcps/NAME.toml`: one virtual MCP.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidegate_identity::issuer::{Scope, Scopes};
use tidegate_model::{
    ConnectorId, Json, OrgId, ToolClass, ToolName, ToolOverride, VirtualMcp, VmcpId,
};

/// A `[[tool]]` table: what is different about one tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolConfig {
    /// The tool: `connector/original name`.
    pub from: String,
    /// Its published name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its published title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its published description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Not published.
    #[serde(default)]
    pub hidden: bool,
    /// Arguments set when the caller leaves them out.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub defaults: Map<String, Value>,
    /// Arguments that the caller can neither see nor change.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub locked: Map<String, Value>,
}

/// How names and URIs of connectors are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Naming {
    /// As the connector made them; for exactly one connector.
    Identity,
    /// Names made unique where they have to be, URIs with the connector in front.
    Prefixed,
}

/// What a call of a tool needs beyond the scope `mcp`, for callers with an access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepUp {
    /// Tools that are not read-only need `mcp:write`.
    Write,
    /// Destructive tools need `mcp:destructive`.
    Destructive,
    /// Tools that reach an open world need `mcp:open-world`.
    OpenWorld,
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VmcpConfig {
    /// Its name for people.
    pub title: String,
    /// Instructions for clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Its connectors, in the order of lists.
    pub connectors: Vec<String>,
    /// How names and URIs are published: `identity` when left out and there is one connector,
    /// else `prefixed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naming: Option<Naming>,
    /// The only tools to publish, as `connector/original name`; all when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// Changes to tools.
    #[serde(default, rename = "tool", skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolConfig>,
    /// Serves callers without a credential; on a loopback listener only.
    #[serde(default)]
    pub anonymous: bool,
    /// For which tools an access token needs more than the scope `mcp`, so that people are
    /// asked again before the first such call. API keys have no scopes and are not asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub step_up: Vec<StepUp>,
}

impl StepUp {
    /// The scope that a call of such a tool needs.
    pub fn needed(self, class: ToolClass) -> Option<Scope> {
        match self {
            Self::Write => (!class.read_only).then_some(Scope::Write),
            Self::Destructive => {
                (class.destructive && !class.read_only).then_some(Scope::Destructive)
            }
            Self::OpenWorld => class.open_world.then_some(Scope::OpenWorld),
        }
    }
}

impl VmcpConfig {
    /// The scopes that a call of a tool of this class needs.
    pub fn scopes(&self, class: ToolClass) -> Scopes {
        let needed = self.step_up.iter().filter_map(|step| step.needed(class));
        [Scope::Mcp].into_iter().chain(needed).collect()
    }

    /// The virtual MCP it describes, or what is wrong.
    pub fn to_model(&self, org: OrgId, id: VmcpId) -> Result<VirtualMcp, String> {
        let connectors: Result<Vec<ConnectorId>, _> =
            self.connectors.iter().map(|name| ConnectorId::new(name)).collect();
        let connectors = connectors.map_err(|bad| bad.to_string())?;
        for (at, name) in connectors.iter().enumerate() {
            if connectors.iter().skip(at + 1).any(|other| other == name) {
                return Err(format!("`connectors` lists `{name}` twice"));
            }
        }
        let identity = self.identity(connectors.len())?;
        let listed = |text: &str| {
            let (connector, tool) = tool_ref(text)?;
            if connectors.contains(&connector) {
                Ok((connector, tool))
            } else {
                Err(format!(
                    "`{text}` names connector `{connector}`, which `connectors` does not list"
                ))
            }
        };
        let only: Result<Vec<_>, String> = self.only.iter().map(|text| listed(text)).collect();
        let overrides: Result<Vec<_>, String> = self
            .tools
            .iter()
            .map(|tool| listed(&tool.from).and_then(|(c, t)| Ok((c, t, tool.to_override()?))))
            .collect();
        Ok(VirtualMcp {
            org,
            id,
            title: self.title.clone(),
            instructions: self.instructions.clone(),
            only: only?,
            overrides: overrides?,
            connectors,
            identity,
            anonymous: self.anonymous,
        })
    }

    fn identity(&self, connectors: usize) -> Result<bool, String> {
        match self.naming {
            Some(Naming::Prefixed) => Ok(false),
            Some(Naming::Identity) if connectors > 1 => Err(format!(
                "`naming = \"identity\"` needs a single connector and `connectors` lists {connectors}; \
                 use `naming = \"prefixed\"` or leave it out"
            )),
            Some(Naming::Identity) => Ok(true),
            None => Ok(connectors == 1),
        }
    }
}

impl ToolConfig {
    fn to_override(&self) -> Result<ToolOverride, String> {
        let texts = |map: &Map<String, Value>| {
            map.iter()
                .map(|(name, value)| Json::of(value).map(|json| (name.clone(), json)))
                .collect::<Result<_, _>>()
                .map_err(|fault| fault.to_string())
        };
        Ok(ToolOverride {
            name: self.name.clone(),
            title: self.title.clone(),
            description: self.description.clone(),
            hidden: self.hidden,
            defaults: texts(&self.defaults)?,
            locked: texts(&self.locked)?,
        })
    }
}

/// Reads `connector/original name`.
pub fn tool_ref(text: &str) -> Result<(ConnectorId, ToolName), String> {
    let (connector, tool) = text
        .split_once('/')
        .ok_or_else(|| format!("`{text}` is not of the form `connector/tool`"))?;
    let connector = ConnectorId::new(connector).map_err(|bad| bad.to_string())?;
    let tool = ToolName::new(tool).map_err(|bad| bad.to_string())?;
    Ok((connector, tool))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether names and URIs stay, or what is wrong.
    fn identity(connectors: &[&str], naming: &str) -> Result<bool, String> {
        let file = format!("title = \"Sales\"\nconnectors = {connectors:?}\n{naming}");
        let config: VmcpConfig = toml::from_str(&file).map_err(|fault| fault.to_string())?;
        let id = VmcpId::new("sales").unwrap();
        config.to_model(OrgId::default_org(), id).map(|vmcp| vmcp.identity)
    }

    #[test]
    fn scopes_follow_from_the_class_of_a_tool() {
        let class = |read_only, destructive, open_world| ToolClass {
            read_only,
            destructive,
            idempotent: false,
            open_world,
        };
        let all = "step_up = [\"write\", \"destructive\", \"open_world\"]";
        for (step_up, class, scopes) in [
            ("", class(false, true, true), "mcp"),
            ("step_up = [\"write\"]", class(false, true, true), "mcp mcp:write"),
            ("step_up = [\"destructive\"]", class(false, false, true), "mcp"),
            (all, class(false, true, true), "mcp mcp:write mcp:destructive mcp:open-world"),
            // The specification's hints besides mean nothing of a tool that only reads.
            (all, class(true, true, false), "mcp"),
            (all, class(true, false, true), "mcp mcp:open-world"),
        ] {
            let file = format!("title = \"x\"\nconnectors = []\n{step_up}");
            let config: VmcpConfig = toml::from_str(&file).unwrap();
            assert_eq!(config.scopes(class).to_string(), scopes, "{step_up} {class:?}");
        }
    }

    #[test]
    fn naming_follows_from_the_number_of_connectors_unless_it_is_said() {
        const IDENTITY: &str = "naming = \"identity\"";
        const PREFIXED: &str = "naming = \"prefixed\"";
        for (connectors, naming, expected) in [
            (&["crm"][..], "", true),
            (&["crm", "mail"], "", false),
            (&[], "", false),
            (&["crm"], IDENTITY, true),
            (&["crm"], PREFIXED, false),
            (&["crm", "mail"], PREFIXED, false),
        ] {
            assert_eq!(identity(connectors, naming), Ok(expected), "{connectors:?} {naming}");
        }
        let refused = identity(&["crm", "mail"], IDENTITY).unwrap_err();
        assert_eq!(
            refused,
            "`naming = \"identity\"` needs a single connector and `connectors` lists 2; use \
             `naming = \"prefixed\"` or leave it out"
        );
        let unknown = identity(&["crm"], "naming = \"original\"").unwrap_err();
        assert!(unknown.contains("`identity` or `prefixed`"), "{unknown}");
    }
}
