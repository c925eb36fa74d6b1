//! What a virtual MCP publishes, name by name and byte for byte.

use std::collections::BTreeMap;

use tidegate_model::{
    ConnectorId, Features, OrgId, PromptName, Resource, ResourceTemplate, RevisionId, Tool,
    ToolClass, ToolName, ToolOverride, VmcpId,
};

use super::*;
use crate::catalog::{PublishedVmcp, compile};

fn id(connector: &str) -> ConnectorId {
    ConnectorId::new(connector).unwrap()
}

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

fn tool(connector: &str, name: &str, more: &str) -> Arc<Tool> {
    let name_text = serde_json::to_string(name).unwrap();
    Arc::new(Tool {
        connector: id(connector),
        name: ToolName::new(name).unwrap(),
        definition: json(&format!(r#"{{ "name" : {name_text},"inputSchema":{{}}{more} }}"#)),
        input_schema: json("{}"),
        output_schema: None,
        class: ToolClass::default(),
    })
}

fn prompt(connector: &str, name: &str) -> Arc<Prompt> {
    let name_text = serde_json::to_string(name).unwrap();
    Arc::new(Prompt {
        connector: id(connector),
        name: PromptName::new(name).unwrap(),
        definition: json(&format!(r#"{{ "x":1.0, "name" : {name_text} ,"arguments":[ ]}}"#)),
    })
}

fn resource(connector: &str, uri: &str) -> Arc<Resource> {
    let definition = json(&format!(r#"{{"name":"uri", "uri" :"{uri}","size":1e3 }}"#));
    Arc::new(Resource { connector: id(connector), uri: uri.into(), definition })
}

fn template(connector: &str, text: &str) -> Arc<ResourceTemplate> {
    let definition = json(&format!(r#"{{"name":"t","uriTemplate": "{text}", "x":[]}}"#));
    Arc::new(ResourceTemplate { connector: id(connector), template: text.into(), definition })
}

/// Two connectors, with names that meet and URIs that meet.
fn input(identity: bool, connectors: &[&str]) -> CatalogInput {
    let crm = Offer {
        tools: [
            tool("crm", "find", r#","_meta":{"ui":{"resourceUri":"ui://view","x":1.0}}"#),
            tool("crm", "do it/now", r#","_meta":{"ui/resourceUri":"ui://old"}"#),
        ]
        .into(),
        prompts: [
            prompt("crm", "summary"),
            prompt("crm", "draft an answer"),
            prompt("crm", "only"),
        ]
        .into(),
        resources: [resource("crm", "file:///a"), resource("crm", "ui://view")].into(),
        templates: [template("crm", "file:///{path}")].into(),
        features: Features { resources: true, prompts: true, ..Features::default() },
    };
    let mail = Offer {
        prompts: [prompt("mail", "summary")].into(),
        resources: [resource("mail", "file:///a")].into(),
        templates: [template("mail", "ui://{view}/x")].into(),
        features: Features { modern: true, completions: true, ..Features::default() },
        ..Offer::default()
    };
    let vmcp = VirtualMcp {
        org: OrgId::default_org(),
        id: VmcpId::new("sales").unwrap(),
        title: "Sales".into(),
        instructions: None,
        connectors: connectors.iter().map(|name| id(name)).collect(),
        identity,
        only: Vec::new(),
        overrides: Vec::new(),
        anonymous: false,
    };
    CatalogInput {
        vmcps: vec![vmcp],
        offers: BTreeMap::from([(id("crm"), Arc::new(crm)), (id("mail"), Arc::new(mail))]),
        ..CatalogInput::default()
    }
}

fn published(input: CatalogInput) -> PublishedVmcp {
    let mut compiled = compile(OrgId::default_org(), RevisionId(1), input);
    compiled.snapshot.vmcps.remove("sales").unwrap()
}

/// Every definition, in order.
fn definitions(vmcp: &PublishedVmcp) -> Vec<&str> {
    let tools = vmcp.tools.iter().map(|it| &it.definition);
    let prompts = vmcp.prompts.iter().map(|it| &it.definition);
    let resources = vmcp.resources.iter().map(|it| &it.definition);
    let templates = vmcp.templates.iter().map(|it| &it.definition);
    tools.chain(prompts).chain(resources).chain(templates).map(Json::as_str).collect()
}

#[test]
fn with_identity_every_byte_is_the_connectors() {
    let input = input(true, &["crm"]);
    let offer = Arc::clone(&input.offers["crm"]);
    let vmcp = published(input);
    let original = offer
        .tools
        .iter()
        .map(|it| &it.definition)
        .chain(offer.prompts.iter().map(|it| &it.definition))
        .chain(offer.resources.iter().map(|it| &it.definition))
        .chain(offer.templates.iter().map(|it| &it.definition));
    assert_eq!(definitions(&vmcp), original.map(Json::as_str).collect::<Vec<_>>());
    assert_eq!(vmcp.tool("do it/now").unwrap().0, 1);
    assert_eq!(vmcp.prompt("draft an answer").unwrap().0, 1);
    assert_eq!(vmcp.resource("ui://view").unwrap().0, 1);
    assert_eq!(&*vmcp.templates[0].uri_template, "file:///{path}");
    assert!(vmcp.uris.is_identity());
}

#[test]
fn with_several_connectors_only_names_and_uris_are_exchanged() {
    let vmcp = published(input(false, &["mail", "crm"]));
    assert_eq!(
        definitions(&vmcp),
        [
            r#"{ "name" : "find","inputSchema":{},"_meta":{"ui":{"resourceUri":"ui://crm/view","x":1.0}} }"#,
            r#"{ "name" : "do_it_now_dca063de","inputSchema":{},"_meta":{"ui/resourceUri":"ui://crm/old"} }"#,
            r#"{ "x":1.0, "name" : "mail__summary" ,"arguments":[ ]}"#,
            r#"{ "x":1.0, "name" : "crm__summary" ,"arguments":[ ]}"#,
            r#"{ "x":1.0, "name" : "draft_an_answer_b8190e63" ,"arguments":[ ]}"#,
            r#"{ "x":1.0, "name" : "only" ,"arguments":[ ]}"#,
            r#"{"name":"uri", "uri" :"mcp+mail:file:///a","size":1e3 }"#,
            r#"{"name":"uri", "uri" :"mcp+crm:file:///a","size":1e3 }"#,
            r#"{"name":"uri", "uri" :"ui://crm/view","size":1e3 }"#,
            r#"{"name":"t","uriTemplate": "ui://mail/{view}/x", "x":[]}"#,
            r#"{"name":"t","uriTemplate": "mcp+crm:file:///{path}", "x":[]}"#,
        ]
    );
    let (place, found) = vmcp.prompt("crm__summary").unwrap();
    assert_eq!((place, found.prompt.connector.as_str()), (1, "crm"));
    assert!(vmcp.prompt("summary").is_none());
    let (place, found) = vmcp.resource("mcp+crm:file:///a").unwrap();
    assert_eq!((place, &*found.resource.uri), (1, "file:///a"));
    assert!(vmcp.resource("file:///a").is_none());
    assert_eq!(vmcp.features.keys().map(ConnectorId::as_str).collect::<Vec<_>>(), ["crm", "mail"]);
    assert!(vmcp.features["mail"].modern && vmcp.features["crm"].resources);
}

#[test]
fn one_connector_can_be_published_as_if_there_were_more() {
    let vmcp = published(input(false, &["crm"]));
    let names: Vec<&str> = vmcp.prompts.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["summary", "draft_an_answer_b8190e63", "only"]);
    assert_eq!(&*vmcp.resources[0].uri, "mcp+crm:file:///a");
    assert_eq!(vmcp.features.len(), 1);
}

#[test]
fn an_administrator_renames_tools_under_identity_too() {
    let mut input = input(true, &["crm"]);
    let change = ToolOverride { name: Some("search".into()), ..ToolOverride::default() };
    input.vmcps[0].overrides.push((id("crm"), ToolName::new("find").unwrap(), change));
    // What was published before under a made-up name has its own back.
    let pinned = (id("crm"), ToolName::new("do it/now").unwrap());
    let pins = [(pinned, "do_it_now_dca063de".to_owned())].into();
    input.pinned.insert(VmcpId::new("sales").unwrap(), pins);
    let vmcp = published(input);
    let names: Vec<&str> = vmcp.tools.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["search", "do it/now"]);
}

#[test]
fn what_is_given_twice_is_found_once() {
    let mut input = input(true, &["crm"]);
    let crm = Offer {
        prompts: [prompt("crm", "a"), prompt("crm", "a"), prompt("crm", "b")].into(),
        resources: [resource("crm", "x:1"), resource("crm", "x:1"), resource("crm", "x:2")].into(),
        ..Offer::default()
    };
    input.offers.insert(id("crm"), Arc::new(crm));
    let vmcp = published(input);
    assert_eq!(vmcp.prompts.iter().map(|it| &*it.name).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((vmcp.resources.len(), vmcp.resource("x:1").unwrap().0), (3, 0));
}
