//! What this service provider can do, in its own words (RFC 7643, sections 5 to 7).

use serde_json::{Value, json};

use super::{GROUP, USER, query::MOST};

/// `ServiceProviderConfig`.
pub(super) fn provider(base: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": MOST },
        "changePassword": { "supported": false },
        "sort": { "supported": false },
        "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "The token whose SHA-256 stands in the gateway's settings",
            "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{base}/ServiceProviderConfig"),
        },
    })
}

/// `ResourceTypes`, all of them.
pub(super) fn resource_types(base: &str) -> Vec<Value> {
    let one = |name: &str, path: &str, schema: &str, words: &str| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
            "id": name,
            "name": name,
            "endpoint": path,
            "description": words,
            "schema": schema,
            "meta": {
                "resourceType": "ResourceType",
                "location": format!("{base}/ResourceTypes/{name}"),
            },
        })
    };
    vec![
        one("User", "/Users", USER, "People; agents are not provisioned"),
        one("Group", "/Groups", GROUP, "Groups, which policies name by displayName"),
    ]
}

/// `Schemas`, all of them: what is kept, and nothing else.
pub(super) fn schemas(base: &str) -> Vec<Value> {
    let one = |id: &str, name: &str, attributes: Vec<Value>| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
            "id": id,
            "name": name,
            "attributes": attributes,
            "meta": { "resourceType": "Schema", "location": format!("{base}/Schemas/{id}") },
        })
    };
    vec![one(USER, "User", user()), one(GROUP, "Group", group())]
}

/// A text; `rules` changes what differs from the usual.
fn text(name: &str, description: &str, rules: Value) -> Value {
    let mut attribute = json!({
        "name": name,
        "type": "string",
        "multiValued": false,
        "description": description,
        "required": false,
        "caseExact": false,
        "mutability": "readWrite",
        "returned": "default",
        "uniqueness": "none",
    });
    if let (Some(attribute), Value::Object(rules)) = (attribute.as_object_mut(), rules) {
        attribute.extend(rules);
    }
    attribute
}

fn user() -> Vec<Value> {
    let plain = |name: &str, words: &str| text(name, words, json!({}));
    let many = |name: &str, words: &str, more: Value, parts: Vec<Value>| {
        let mut rules = json!({ "type": "complex", "multiValued": true, "subAttributes": parts });
        if let (Some(rules), Value::Object(more)) = (rules.as_object_mut(), more) {
            rules.extend(more);
        }
        text(name, words, rules)
    };
    let read_only = || json!({ "mutability": "readOnly" });
    vec![
        text(
            "userName",
            "How policies name the user, in lower case; never changes",
            json!({ "required": true, "mutability": "immutable", "uniqueness": "server" }),
        ),
        text(
            "name",
            "The parts of the user's name",
            json!({ "type": "complex", "subAttributes": [
                plain("formatted", "The whole name"),
                plain("givenName", "The given name"),
                plain("familyName", "The family name"),
            ] }),
        ),
        plain("displayName", "The name that is shown"),
        text(
            "active",
            "Whether the user may use anything; taking it away ends sessions, tokens and keys",
            json!({ "type": "boolean" }),
        ),
        many(
            "emails",
            "One address: the primary one, else the one for work, else the first",
            json!({ "uniqueness": "server" }),
            vec![
                plain("value", "The address, in lower case"),
                text("type", "Always `work`", read_only()),
                text(
                    "primary",
                    "Always true",
                    json!({ "type": "boolean", "mutability": "readOnly" }),
                ),
            ],
        ),
        many(
            "roles",
            "Roles of the gateway, without `owner`",
            json!({}),
            vec![plain("value", "The name of the role")],
        ),
        many(
            "groups",
            "The groups that list the user",
            read_only(),
            vec![
                text("value", "The id of the group", read_only()),
                text("display", "The name of the group", read_only()),
            ],
        ),
    ]
}

fn group() -> Vec<Value> {
    vec![
        text(
            "displayName",
            "How policies name the group: another name is another group to them",
            json!({ "required": true, "caseExact": true, "uniqueness": "server" }),
        ),
        text(
            "members",
            "The users in it",
            json!({ "type": "complex", "multiValued": true, "subAttributes": [
                text("value", "The id of the user", json!({ "mutability": "immutable" })),
                text("type", "Always `User`", json!({ "mutability": "immutable" })),
            ] }),
        ),
    ]
}
