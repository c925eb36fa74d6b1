//! The same as a server.

use tidegate_plugin::{Connector, Context, Description, Failure, host, serde_json::Value};

use crate::{Hostile, SCHEMA};

impl Connector for Hostile {
    const SCHEMA: &'static str = SCHEMA;

    fn configure(config: &str) -> Result<Self, String> {
        tidegate_plugin::read(config)
    }

    fn describe(&self) -> Description {
        if self.act == "no_description" {
            crate::core::arch_unreachable();
        }
        Description { title: "Hostile".into(), version: "0".into(), instructions: None }
    }

    fn tools(&self) -> Vec<String> {
        match self.act.as_str() {
            "bad_tools" => vec!["{".into()],
            _ => vec![r#"{"name":"act","inputSchema":{"type":"object"}}"#.into()],
        }
    }

    fn prompts(&self) -> Vec<String> {
        vec![r#"{"name":"greet","arguments":[{"name":"city","required":true}]}"#.into()]
    }

    fn prompt(&self, _context: &Context, arguments: &str) -> Result<String, Failure> {
        Ok(format!(
            r#"{{"messages":[{{"role":"user","content":{{"type":"text","text":{}}}}}]}}"#,
            Value::from(arguments)
        ))
    }

    fn resources(&self) -> Vec<String> {
        vec![r#"{"uri":"note://one","name":"one"}"#.into()]
    }

    fn read(&self, context: &Context) -> Result<String, Failure> {
        Ok(format!(r#"{{"contents":[{{"uri":"{}","text":"a note for Eve"}}]}}"#, context.target))
    }

    fn call(&self, _context: &Context, arguments: &str) -> Result<String, Failure> {
        match self.act.as_str() {
            "echo" => Ok(format!(
                r#"{{"content":[{{"type":"text","text":{}}}]}}"#,
                Value::from(arguments)
            )),
            "unknown_tool" => Err(Failure::Unknown),
            "invalid" => Err(Failure::InvalidArguments(arguments.into())),
            "failed" => Err(Failure::Failed("out of order".into())),
            "progress" => {
                for step in 1..=3 {
                    host::progress(f64::from(step), Some(3.0), Some("working"));
                }
                Ok("{}".into())
            }
            _ => Ok(self.act()),
        }
    }
}
