//! A server of one tool that greets. An example to start from.

wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });

use exports::tidegate::plugin::{
    configuration,
    server::{self, Description},
    tools,
};
use serde::Deserialize;
use serde_json::json;
use tidegate::plugin::log;
use tidegate::plugin::types::{Context, Failure};

/// The configuration; the gateway has checked it against the schema before.
#[derive(Deserialize)]
struct Config {
    /// How everybody is greeted.
    #[serde(default = "hello")]
    greeting: String,
}

/// The arguments of `greet`; the gateway has checked them against the tool's schema.
#[derive(Deserialize)]
struct Greet {
    name: String,
}

fn hello() -> String {
    "Hello".into()
}

struct Plugin;
export!(Plugin);

impl configuration::Guest for Plugin {
    fn schema() -> String {
        include_str!("../schema.json").into()
    }
}

impl server::Guest for Plugin {
    fn describe(_config: String) -> Result<Description, String> {
        Ok(Description { title: "plugin-name".into(), version: "0.1.0".into(), instructions: None })
    }
}

impl tools::Guest for Plugin {
    fn list(_config: String) -> Result<Vec<String>, String> {
        let greet = json!({
            "name": "greet",
            "description": "Greets somebody by name.",
            "inputSchema": {
                "type": "object",
                "properties": { "name": { "type": "string", "minLength": 1 } },
                "required": ["name"],
                "additionalProperties": false,
            },
            "annotations": { "readOnlyHint": true },
        });
        Ok(vec![greet.to_string()])
    }

    fn call(context: Context, config: String, arguments: String) -> Result<String, Failure> {
        if context.target != "greet" {
            return Err(Failure::Unknown);
        }
        let failed = |error: serde_json::Error| Failure::Failed(error.to_string());
        let config: Config = serde_json::from_str(&config).map_err(failed)?;
        let greet: Greet = serde_json::from_str(&arguments)
            .map_err(|error| Failure::InvalidArguments(error.to_string()))?;
        log::write(log::Level::Info, "greeted somebody");
        let text = format!("{}, {}!", config.greeting, greet.name);
        Ok(json!({ "content": [{ "type": "text", "text": text }] }).to_string())
    }
}
