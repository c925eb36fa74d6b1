//! An OpenAPI 3 document as a connector: one tool for each of its operations.
//!
//! The document is part of the configuration, JSON as an object or as text. Secrets are
//! attached by handle and never seen here; where requests may go is the host's list.

mod answer;
mod document;
mod operation;
mod request;
mod schema;
mod settings;
mod style;
mod tool;

use std::mem::ManuallyDrop;

use serde_json::{Map, Value};
use tidegate_plugin::{
    Connector, Context, Description, Failure,
    connector::{arguments, problem},
};

use answer::Content;
use settings::Settings;

struct OpenApi {
    /// Never taken apart: the memory ends with the instance, and a document has many parts.
    settings: ManuallyDrop<Settings>,
}

impl Connector for OpenApi {
    const SCHEMA: &'static str = include_str!("../schema.json");

    fn configure(config: &str) -> Result<Self, String> {
        Settings::read(config).map(|settings| Self { settings: ManuallyDrop::new(settings) })
    }

    fn describe(&self) -> Description {
        let document = &self.settings.document;
        let left_out = tool::left_out(&tool::tools(&self.settings), &self.settings);
        let about = document.info("description").map(str::to_owned);
        let missing = (!left_out.is_empty())
            .then(|| format!("Operations that are no tools here: {}.", left_out.join("; ")));
        let instructions: Vec<String> = about.into_iter().chain(missing).collect();
        Description {
            title: document.info("title").unwrap_or("OpenAPI").to_owned(),
            version: document.info("version").unwrap_or("0").to_owned(),
            instructions: (!instructions.is_empty()).then(|| instructions.join("\n\n")),
        }
    }

    fn tools(&self) -> Vec<String> {
        let tools = tool::tools(&self.settings);
        let definitions = tools.iter().filter_map(|tool| tool.definition(&self.settings).ok());
        definitions.map(|definition| definition.to_string()).collect()
    }

    fn call(&self, context: &Context, json: &str) -> Result<String, Failure> {
        let tool = tool::tool(&self.settings, &context.target);
        let tool = tool.filter(|tool| tool.definition(&self.settings).is_ok());
        let operation =
            tool.as_ref().and_then(|tool| tool.operation.as_ref().ok()).ok_or(Failure::Unknown)?;
        let arguments: Map<String, Value> = arguments(json)?;
        let request = request::request(&self.settings, operation, &arguments)?;
        let wrapped = self.settings.output_schemas
            && operation
                .answer(&self.settings.document)
                .is_some_and(|schema| !tool::is_object(schema, &self.settings));
        let content = if wrapped { Content::Wrapped } else { Content::Body };
        match outgoing::send(&request) {
            Ok(response) => {
                let url = request.url.split('?').next().unwrap_or_default();
                Ok(answer::result(&response, content, url))
            }
            Err(outgoing::Error::TooLarge) => Ok(problem(&format!(
                "The answer is larger than {} KiB. Ask for less of it.",
                self.settings.most / 1024
            ))),
            Err(error) => Err(Failure::Failed(format!("The service could not be asked: {error}."))),
        }
    }
}

tidegate_plugin::export!(connector OpenApi);

#[cfg(test)]
mod tests;
