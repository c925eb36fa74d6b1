//! What a plugin asks the person: the same way to the client as a server's question.
//!
//! The guest is gone while the person thinks; its next round is a new instance. The message
//! says which plugin asks, so that nobody takes it for the connector.

use tidegate_model::{Answer, Ask, Json, Refusal, RefusalCode, Reply};
use tidegate_upstream::Exchange;
use tidegate_wire::{
    client::{Asking, Profile},
    json::{Kind, Raw, write_string},
    mcp::{method::Method, peek::ErrorObject},
};

use super::{Bound, form, refused};

/// Most questions of one hook.
const MOST: u8 = 3;
/// Characters of a question that a refusal repeats.
const SHOWN: usize = 500;

/// Puts a plugin's question to the client and waits for the reply; `number` is how many it
/// has asked before.
pub(super) async fn put(
    bound: &Bound,
    ask: &Ask,
    number: u8,
    exchange: &Exchange,
) -> Result<Reply, Refusal> {
    let plugin = &bound.plugin;
    if number >= MOST {
        let words = format!("the plugin `{plugin}` asked {MOST} times and wants to ask again");
        return Err(refused(words).with_next("try again, or ask an administrator to look at it"));
    }
    let asked: String = ask.message.chars().take(SHOWN).collect();
    if exchange.events.is_none() || !exchange.can.profile.has(Profile::FORM) {
        let words = format!("the plugin `{plugin}` wants to ask you first: {asked}");
        return Err(refused(words).with_next(
            "your client cannot ask you (it does not offer form elicitation here): use one that can",
        ));
    }
    // The connector has not been reached: what waits for it does not count this question.
    let exchange = Exchange { asking: Asking::default(), ..exchange.clone() };
    let answer = exchange.ask_by(plugin.as_str(), Method::Elicit, params(plugin.as_str(), ask));
    let said = match answer.await {
        Answer::Result(said) => said,
        Answer::Error(error) => {
            let why = ErrorObject::read(Raw::from(&error)).map(|error| error.message.into_owned());
            let why: String = why.unwrap_or_default().chars().take(SHOWN).collect();
            let words = format!("the plugin `{plugin}` asked and got no answer: {asked} ({why})");
            return Err(refused(words).with_next("try again and answer the question"));
        }
    };
    read(&said, &ask.schema).map_err(|why| {
        let words = format!("what was replied to the plugin `{plugin}` does not fit: {why}");
        Refusal::new(RefusalCode::InvalidArguments, words).with_next("try again")
    })
}

/// The word for a reply in audit rows.
pub(super) const fn word(reply: &Reply) -> &'static str {
    match reply {
        Reply::Accept(_) => "accept",
        Reply::Decline => "decline",
        Reply::Cancel => "cancel",
    }
}

/// The parameters of the question (MCP form elicitation).
fn params(plugin: &str, ask: &Ask) -> Json {
    let mut text = br#"{"mode":"form","message":"#.to_vec();
    write_string(&mut text, &format!("plugin {plugin} of the gateway: {}", ask.message));
    text.extend_from_slice(br#","requestedSchema":"#);
    text.extend_from_slice(ask.schema.bytes());
    text.push(b'}');
    Json::from_checked(text.into())
}

/// Reads an `ElicitResult`; what was filled in has to fit the schema.
fn read(said: &Json, schema: &Json) -> Result<Reply, String> {
    let raw = Raw::from(said);
    match raw.get("action").and_then(Raw::string).as_deref() {
        Some("accept") => {
            let content = raw.get("content").filter(|content| !content.is_null());
            let content = match content {
                None => Json::empty_object(),
                Some(content) if content.kind() == Kind::Object => content.within(said),
                Some(_) => return Err("`content` is no object".to_owned()),
            };
            form::check(schema, &content)?;
            Ok(Reply::Accept(content))
        }
        Some("decline") => Ok(Reply::Decline),
        Some("cancel") => Ok(Reply::Cancel),
        _ => Err("`action` is none that the protocol knows".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn a_reply_is_read_and_held_to_the_schema() {
        let schema =
            json(r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}"#);
        for (said, expected) in [
            (r#"{"action":"accept","content":{"n":1}}"#, Some(Reply::Accept(json(r#"{"n":1}"#)))),
            (r#"{"action":"decline","content":{"n":"x"}}"#, Some(Reply::Decline)),
            (r#"{"action":"cancel"}"#, Some(Reply::Cancel)),
            (r#"{"action":"accept","content":{"n":"1"}}"#, None),
            (r#"{"action":"accept"}"#, None),
            (r#"{"action":"accept","content":[]}"#, None),
            (r#"{"action":"perhaps"}"#, None),
            (r#"{}"#, None),
        ] {
            assert_eq!(read(&json(said), &schema).ok(), expected, "{said}");
        }
    }

    #[test]
    fn the_person_is_told_which_plugin_asks() {
        let ask = Ask { message: "Sure?\n\"yes\"".into(), schema: json(r#"{"type":"object"}"#) };
        let asked: serde_json::Value = params("confirm", &ask).read().unwrap();
        assert_eq!(asked["message"], "plugin confirm of the gateway: Sure?\n\"yes\"");
        assert_eq!(asked["requestedSchema"]["type"], "object");
    }
}
