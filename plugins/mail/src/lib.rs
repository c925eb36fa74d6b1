//! A mailbox for demonstrations. Nothing is ever sent anywhere. The tools stand in
//! `tools.json`, the messages in `data.json`.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_plugin::{
    Connector, Context, Description, Failure,
    connector::{arguments, each, problem, structured},
};

struct Mail;

#[derive(Deserialize, Serialize)]
struct Message {
    id: String,
    from: String,
    to: Vec<String>,
    subject: String,
    date: String,
    body: String,
}

#[derive(Deserialize)]
struct Search {
    query: String,
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct ById {
    message_id: String,
}

#[derive(Deserialize)]
struct Compose {
    to: Vec<String>,
    subject: String,
    body: String,
}

fn messages() -> Result<Vec<Message>, Failure> {
    serde_json::from_str(include_str!("../data.json"))
        .map_err(|error| Failure::Failed(error.to_string()))
}

impl Connector for Mail {
    fn configure(_config: &str) -> Result<Self, String> {
        Ok(Self)
    }

    fn describe(&self) -> Description {
        Description {
            title: "Mail".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            instructions: Some("The mailbox of the person who is signed in.".into()),
        }
    }

    fn tools(&self) -> Vec<String> {
        each(include_str!("../tools.json"))
    }

    fn call(&self, context: &Context, json: &str) -> Result<String, Failure> {
        match context.target.as_str() {
            "search_messages" => search(&arguments(json)?),
            "read_message" => read(&arguments(json)?),
            "draft_message" => draft(&arguments(json)?),
            "send_message" => send(&arguments(json)?),
            _ => Err(Failure::Unknown),
        }
    }
}

fn search(search: &Search) -> Result<String, Failure> {
    let query = search.query.to_lowercase();
    let messages = messages()?;
    let found: Vec<_> = messages
        .iter()
        .filter(|message| {
            [&message.from, &message.subject, &message.body]
                .iter()
                .any(|text| text.to_lowercase().contains(&query))
        })
        .map(|message| {
            json!({
                "id": message.id, "from": message.from, "to": message.to,
                "subject": message.subject, "date": message.date,
                "snippet": message.body.chars().take(80).collect::<String>(),
            })
        })
        .collect();
    let shown: Vec<_> = found.iter().take(search.limit.unwrap_or(10)).collect();
    structured(&json!({ "messages": shown, "total": found.len() }))
}

fn read(by: &ById) -> Result<String, Failure> {
    match messages()?.iter().find(|message| message.id == by.message_id) {
        Some(message) => structured(message),
        None => Ok(problem("No such message. Find one with search_messages.")),
    }
}

fn draft(compose: &Compose) -> Result<String, Failure> {
    let preview =
        format!("To: {}\nSubject: {}\n\n{}", compose.to.join(", "), compose.subject, compose.body);
    structured(&json!({ "draft_id": number("drf", compose), "preview": preview }))
}

fn send(compose: &Compose) -> Result<String, Failure> {
    if let Some(bad) = compose.to.iter().find(|address| !address.contains('@')) {
        return Ok(problem(&format!("`{bad}` is no e-mail address.")));
    }
    structured(&json!({ "message_id": number("out", compose), "accepted": compose.to.len() }))
}

/// The same message has the same number: FNV-1a over what was written.
fn number(prefix: &str, compose: &Compose) -> String {
    let parts = compose.to.iter().chain([&compose.subject, &compose.body]);
    let bytes = parts.flat_map(|part| part.bytes());
    let hash = bytes
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{prefix}-{hash:08x}")
}

tidegate_plugin::export!(connector Mail);

#[cfg(test)]
mod tests;
