//! The description of the admin API (OpenAPI 3.1), made from the route table.
//!
//! Everything in it comes from the routes and from the types that they take and answer, so
//! that it cannot say anything else than they do.

use std::{collections::BTreeMap, sync::OnceLock};

use serde_json::{Map, Value, json};

use super::{
    failed::Failure,
    route::{Need, Route, Schemas, reference},
    routes::routes,
};

/// Where it is served, to everybody.
pub(super) const PATH: &str = "/api/v1/openapi.json";

/// What the API is, for people.
const ABOUT: &str = "Administration of one organisation of a Tidegate gateway. Every operation \
    names the action that policies permit or forbid (`x-tidegate-action`); operations without \
    one are about the caller's own. Each request has a row in the audit log. For another \
    organisation than `default`, `/o/NAME` stands before every path.";

/// The places of paths, and what stands there.
const PLACES: [(&str, &str); 7] = [
    ("client", "The client's id, percent-encoded where it is a URL."),
    ("grant", "The grant's id."),
    ("group", "The group's id, or its name."),
    ("key", "The key's id."),
    ("provider", "The provider's name in the settings."),
    ("session", "The session's id."),
    ("user", "The user's id."),
];

/// The document, as text with a final line break. The same for every gateway of one version.
pub(crate) fn document() -> String {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(made).clone()
}

fn made() -> String {
    let mut schemas = Schemas::new();
    let failure = reference::<Failure>(&mut schemas);
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in routes() {
        let operation = operation(&route, &mut schemas);
        let item = paths.entry(route.path).or_default();
        item.insert(route.method.as_str().to_lowercase(), operation);
    }
    let schemas: BTreeMap<String, Value> = schemas
        .into_iter()
        .map(|(name, schema)| (name, serde_json::to_value(schema).unwrap_or_default()))
        .collect();
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tidegate admin API",
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "version": env!("CARGO_PKG_VERSION"),
        },
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": { "Failure": {
                "description": "It was refused, or failed: one sentence for people and a code.",
                "content": { "application/json": { "schema": failure } },
            } },
            "securitySchemes": { "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "An access token for this API (a 401 says where one is had), or \
                    an API key that is good for more than virtual MCPs.",
            } },
        },
    });
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

fn operation(route: &Route, schemas: &mut Schemas) -> Value {
    let mut operation = (route.takes)(schemas);
    let answer = (route.answers)(schemas);
    let mut parameters: Vec<Value> = places(route.path).map(place).collect();
    if let Some(more) = operation.get("parameters").and_then(Value::as_array) {
        parameters.extend(more.iter().cloned());
    }
    let (tag, _) = route.handler.split_once('_').unwrap_or((route.handler, ""));
    let rest = json!({
        "operationId": route.handler,
        "summary": route.summary,
        "tags": [tag],
        "responses": {
            "200": {
                "description": "Done.",
                "content": { "application/json": { "schema": answer } },
            },
            "default": { "$ref": "#/components/responses/Failure" },
        },
    });
    if let (Some(members), Value::Object(rest)) = (operation.as_object_mut(), rest) {
        members.extend(rest);
        if !parameters.is_empty() {
            members.insert("parameters".into(), parameters.into());
        }
        if let Need::Action(action) = route.need {
            members.insert("x-tidegate-action".into(), action.name().into());
        }
    }
    operation
}

/// The names in braces.
fn places(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn place(name: &str) -> Value {
    let known = PLACES.iter().find(|(known, _)| *known == name);
    json!({
        "name": name,
        "in": "path",
        "required": true,
        "description": known.map(|(_, text)| *text),
        "schema": { "type": "string" },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_checked_in_document_is_the_generated_one() {
        let path = format!("{}/schemas/openapi.json", env!("CARGO_MANIFEST_DIR"));
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == document(),
            "run `tidegate schema openapi > host/gateway/schemas/openapi.json`"
        );
    }

    #[test]
    fn no_two_types_share_a_name() {
        let mut schemas = Schemas::new();
        for route in routes() {
            (route.takes)(&mut schemas);
            (route.answers)(&mut schemas);
        }
        let mut known: BTreeMap<String, Value> = BTreeMap::new();
        for (name, schema) in schemas {
            let schema = serde_json::to_value(schema).unwrap();
            let other = known.insert(name.clone(), schema.clone());
            assert!(other.is_none_or(|other| other == schema), "two types are called {name}");
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_route_is_described() {
        let document: Value = serde_json::from_str(&document()).unwrap();
        let mut open = vec![&document];
        while let Some(value) = open.pop() {
            if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{reference}");
            }
            match value {
                Value::Object(members) => open.extend(members.values()),
                Value::Array(items) => open.extend(items),
                _ => {}
            }
        }
        let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
        for route in routes() {
            assert!(ids.insert(route.handler), "{} twice", route.handler);
            assert!(route.path.starts_with("/api/v1/"), "{}", route.path);
            places.extend(super::places(route.path));
            let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
            assert_eq!(operation["operationId"], route.handler);
            let is_text = |text: &str| !text.is_empty() && !text.ends_with('.');
            assert!(operation["summary"].as_str().is_some_and(is_text), "{}", route.handler);
            let action = operation["x-tidegate-action"].as_str();
            match route.need {
                Need::Action(need) => assert_eq!(action, Some(need.name())),
                Need::Own(name) => {
                    assert!(name.starts_with("own:") && route.path.starts_with("/api/v1/me"));
                    assert_eq!(action, None);
                }
            }
        }
        assert!(PLACES.iter().map(|(name, _)| *name).eq(places), "the places of paths");
    }
}
