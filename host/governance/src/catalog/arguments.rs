//! The arguments of a call: defaults, locks and the check against the tool's schema.
//!
//! Works on the text of the arguments, so that what was checked is what is forwarded; only
//! the schema check reads a tree, and it never writes one back. No remote `$ref` is ever
//! fetched.

use std::{collections::BTreeMap, sync::OnceLock};

use tidegate_model::Json;
use tidegate_wire::{
    json::{Kind, Raw},
    mcp::splice::{self, Edit},
};

/// Why arguments were refused, in words for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadArguments {
    /// The `arguments` member is no object.
    #[error("`arguments` must be an object")]
    NoObject,
    /// An argument that an administrator has fixed was sent.
    #[error("argument `{0}` is fixed by the administrator and cannot be sent")]
    Locked(String),
    /// The schema refuses them; one sentence for each of the first few faults.
    #[error("the arguments do not fit the tool's schema: {}", .0.join("; "))]
    Schema(Vec<String>),
    /// The tool's own schema is unusable, so nothing can be checked.
    #[error("the tool's input schema cannot be used: {0}")]
    BadSchema(String),
}

/// What is done to the arguments of one published tool; compiled once per revision.
#[derive(Debug, Default)]
pub struct ArgumentRules {
    defaults: BTreeMap<String, Json>,
    locked: BTreeMap<String, Json>,
    /// All of them have to be met.
    schemas: Vec<Schema>,
}

/// A schema, compiled when it is first needed.
#[derive(Debug)]
struct Schema {
    text: Json,
    validator: OnceLock<Result<jsonschema::Validator, String>>,
}

impl ArgumentRules {
    /// Rules for a tool with this input schema (as the connector declares it).
    pub fn new(
        schema: Json,
        defaults: BTreeMap<String, Json>,
        locked: BTreeMap<String, Json>,
    ) -> Self {
        Self { defaults, locked, schemas: Vec::new() }.narrowed_by([schema])
    }

    /// The same rules where these schemas have to be met as well. Whatever they say, nothing
    /// passes that did not pass before.
    #[must_use]
    pub fn narrowed_by(mut self, schemas: impl IntoIterator<Item = Json>) -> Self {
        let schemas = schemas.into_iter().filter(|schema| !is_trivial(schema));
        self.schemas.extend(schemas.map(|text| Schema { text, validator: OnceLock::new() }));
        self
    }

    /// The arguments to send upstream. Locked values replace anything a plugin put there;
    /// a caller that sends one itself is refused by [`ArgumentRules::refuse_locked`] first.
    pub fn apply(&self, arguments: &Json) -> Result<Json, BadArguments> {
        if self.defaults.is_empty() && self.locked.is_empty() {
            return if is_object(arguments) {
                Ok(arguments.clone())
            } else {
                Err(BadArguments::NoObject)
            };
        }
        let given = Raw::from_checked(arguments.as_str());
        if given.kind() != Kind::Object {
            return Err(BadArguments::NoObject);
        }
        let missing = |name: &str| given.get(name).is_none() && !self.locked.contains_key(name);
        let defaults = self.defaults.iter().filter(|(name, _)| missing(name));
        let edits: Vec<Edit<'_>> = self
            .locked
            .iter()
            .chain(defaults)
            .map(|(name, value)| Edit::set(name, Raw::from_checked(value.as_str())))
            .collect();
        splice::object(given, &edits).map_err(|_| BadArguments::NoObject)
    }

    /// Refuses a caller's arguments that name a locked one.
    pub fn refuse_locked(&self, arguments: &Json) -> Result<(), BadArguments> {
        if self.locked.is_empty() {
            return Ok(());
        }
        let mut members = Raw::from_checked(arguments.as_str()).members();
        match members.find(|member| self.locked.contains_key(&*member.key)) {
            Some(member) => Err(BadArguments::Locked(member.key.into_owned())),
            None => Ok(()),
        }
    }

    /// Checks arguments against the schemas.
    pub fn check(&self, arguments: &Json) -> Result<(), BadArguments> {
        if self.schemas.is_empty() {
            return if is_object(arguments) { Ok(()) } else { Err(BadArguments::NoObject) };
        }
        let tree: serde_json::Value =
            serde_json::from_str(arguments.as_str()).map_err(|_| BadArguments::NoObject)?;
        if !tree.is_object() {
            return Err(BadArguments::NoObject);
        }
        self.schemas.iter().try_for_each(|schema| schema.check(&tree))
    }
}

impl Schema {
    fn check(&self, tree: &serde_json::Value) -> Result<(), BadArguments> {
        let validator = self.validator.get_or_init(|| compile(&self.text));
        let validator = validator.as_ref().map_err(|why| BadArguments::BadSchema(why.clone()))?;
        if validator.is_valid(tree) {
            return Ok(());
        }
        let faults = validator.iter_errors(tree).take(3).map(|fault| {
            let path = fault.instance_path().to_string();
            let text = fault.to_string().replace(['\n', '\r'], " ");
            let text: String = text.chars().take(200).collect();
            if path.is_empty() { text } else { format!("at `{path}`: {text}") }
        });
        Err(BadArguments::Schema(faults.collect()))
    }
}

/// Compiles a schema (JSON Schema 2020-12 unless `$schema` names another dialect); never
/// fetches anything.
fn compile(schema: &Json) -> Result<jsonschema::Validator, String> {
    let tree: serde_json::Value = schema.read().map_err(|fault| fault.to_string())?;
    jsonschema::options()
        .build(&tree)
        .map_err(|fault| fault.to_string().chars().take(200).collect())
}

/// A schema that accepts every object needs no validator.
fn is_trivial(schema: &Json) -> bool {
    let schema = Raw::from_checked(schema.as_str());
    schema.kind() == Kind::Object
        && schema.members().all(|member| match &*member.key {
            "type" => member.value.as_str() == "\"object\"",
            "properties" | "$defs" => member.value.members().next().is_none(),
            "$schema" | "title" | "description" | "$comment" => true,
            "additionalProperties" => member.value.boolean() == Some(true),
            _ => false,
        })
}

fn is_object(json: &Json) -> bool {
    Raw::from_checked(json.as_str()).kind() == Kind::Object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text.to_owned()).unwrap()
    }

    fn rules(schema: &str, defaults: &[(&str, &str)], locked: &[(&str, &str)]) -> ArgumentRules {
        let map =
            |list: &[(&str, &str)]| list.iter().map(|(k, v)| ((*k).into(), json(v))).collect();
        ArgumentRules::new(json(schema), map(defaults), map(locked))
    }

    #[test]
    fn untouched_arguments_stay_byte_for_byte() {
        let text = r#"{ "a" : 1.0,"b":12345678901234567890 }"#;
        assert_eq!(rules("{}", &[], &[]).apply(&json(text)).unwrap().as_str(), text);
    }

    #[test]
    fn defaults_fill_and_locks_replace() {
        let rules = rules("{}", &[("limit", "10"), ("q", "\"*\"")], &[("region", "\"eu\"")]);
        for (given, sent) in [
            ("{}", r#"{"region":"eu","limit":10,"q":"*"}"#),
            (r#"{"limit": 5}"#, r#"{"limit": 5,"region":"eu","q":"*"}"#),
            (r#"{"region":"us"}"#, r#"{"region":"eu","limit":10,"q":"*"}"#),
        ] {
            assert_eq!(rules.apply(&json(given)).unwrap().as_str(), sent);
        }
        let sent = rules.refuse_locked(&json(r#"{"region":"us"}"#));
        assert_eq!(sent, Err(BadArguments::Locked("region".into())));
    }

    #[test]
    fn the_schema_decides() {
        let schema = r#"{"type":"object","properties":{"n":{"type":"integer","maximum":3}},"required":["n"]}"#;
        let rules = rules(schema, &[], &[]);
        assert_eq!(rules.check(&json(r#"{"n":3}"#)), Ok(()));
        for bad in ["{}", r#"{"n":4}"#, r#"{"n":"3"}"#, r#"{"n":1e400}"#, "[]"] {
            assert!(rules.check(&json(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_narrows_holds_and_loosens_nothing() {
        let narrow = r#"{"properties":{"n":{"maximum":3},"m":{}},"required":["m"]}"#;
        let rules = rules(r#"{"properties":{"n":{"minimum":1},"m":false}}"#, &[], &[]);
        assert_eq!(rules.check(&json(r#"{"n":9}"#)), Ok(()));
        let rules = rules.narrowed_by([json(narrow)]);
        for bad in [r#"{"n":9}"#, r#"{"n":0}"#, r#"{"n":2}"#, r#"{"n":2,"m":1}"#, "[]"] {
            assert!(rules.check(&json(bad)).is_err(), "{bad}");
        }
        let rules = self::rules("{}", &[], &[]).narrowed_by([json(narrow)]);
        assert_eq!(rules.check(&json(r#"{"n":2,"m":1}"#)), Ok(()));
        assert!(rules.check(&json(r#"{"n":4,"m":1}"#)).is_err());
    }

    #[test]
    fn a_schema_that_points_elsewhere_is_refused_not_fetched() {
        let rules = rules(r#"{"$ref":"https://127.0.0.1:1/x.json"}"#, &[], &[]);
        assert!(matches!(rules.check(&json("{}")), Err(BadArguments::BadSchema(_))));
    }
}
