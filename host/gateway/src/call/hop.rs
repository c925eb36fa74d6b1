//! `_meta` across the gateway: what a server says there about its own hop ends here.
//!
//! Knows which members belong to one hop and that a task has another id on each side. All
//! other members are the client's to read and keep their bytes.

use tidegate_model::Json;
use tidegate_wire::{
    json::{Raw, write_string},
    mcp::{
        peek::key,
        splice::{self, Edit},
    },
};

/// The id of the task that a message is related to (2025-11-25), as the client knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Related<'t> {
    /// It stands in the message already.
    Published,
    /// It is this one.
    Is(&'t str),
    /// There is none: the relation is left out, since the server's own id reaches nothing.
    Unknown,
}

/// Parameters or a result without what a server says of its own hop, for the client.
pub(crate) fn past(object: Json, related: Related<'_>) -> Json {
    let raw = Raw::from(&object);
    // Nearly all of it is without: a search of the text says so.
    let meta = if raw.may_say("_meta") { raw.get("_meta") } else { None };
    let Some(meta) = meta else { return object };
    let mut id = Vec::new();
    if let Related::Is(published) = related {
        write_string(&mut id, published);
    }
    let id = Json::from_checked(id.into());
    let its_id = [Edit::set("taskId", Raw::from(&id))];
    let mut edits = Vec::new();
    for member in meta.members() {
        if let Some(key) = key::OF_ONE_HOP.iter().find(|key| **key == member.key) {
            edits.push(Edit::remove(key));
        } else if member.key == key::RELATED_TASK {
            match related {
                Related::Published => {}
                Related::Is(_) => edits.push(Edit::within(key::RELATED_TASK, &its_id)),
                Related::Unknown => edits.push(Edit::remove(key::RELATED_TASK)),
            }
        }
    }
    if edits.is_empty() {
        return object;
    }
    let edited = splice::object(raw, &[Edit::within("_meta", &edits)]);
    edited.unwrap_or(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn what_is_of_one_hop_ends_here_however_it_is_spelled() {
        let all = key::OF_ONE_HOP.map(|key| format!(r#""{key}": {{"x":[1]}}"#)).join(" , ");
        let object = json(&format!(r#"{{"a" :1e2, "_meta": {{{all}, "com.example/x" : 1.0}}}}"#));
        let past_it = past(object, Related::Unknown);
        assert_eq!(past_it.as_str(), r#"{"a" :1e2, "_meta": {"com.example/x" : 1.0}}"#);

        let escaped = r#"{"\u005fmeta":{"io.modelcontextprotocol\/server\u0049nfo":{},"y":2}}"#;
        let past_it = past(json(escaped), Related::Published);
        assert_eq!(past_it.as_str(), r#"{"\u005fmeta":{"y":2}}"#);
    }

    #[test]
    fn all_else_keeps_its_bytes() {
        for text in [
            r#"{ "_meta" : {"vendor/serverInfo":{}, "traceparent":"x" } }"#,
            r#"{"_meta":null}"#,
            r#"{"_meta":[{"progressToken":1}]}"#,
            r#"{"content":[{"type":"text","_meta":{"progressToken":1},"text":"_meta"}]}"#,
            r#"{"io.modelcontextprotocol/serverInfo":{}}"#,
            "{}",
        ] {
            assert_eq!(past(json(text), Related::Unknown).as_str(), text);
        }
    }

    #[test]
    fn a_task_is_named_as_the_client_knows_it_or_not_at_all() {
        let text = r#"{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"bare","n":1}}}"#;
        assert_eq!(past(json(text), Related::Published).as_str(), text);
        assert_eq!(past(json(text), Related::Unknown).as_str(), r#"{"_meta":{}}"#);
        let sealed = past(json(text), Related::Is("sea\"led"));
        assert_eq!(sealed.as_str(), text.replace("bare", r#"sea\"led"#));
        let odd = r#"{"_meta":{"io.modelcontextprotocol/related-task":"bare"}}"#;
        let sealed = past(json(odd), Related::Is("sealed"));
        assert!(!sealed.as_str().contains("bare"), "{}", sealed.as_str());
    }
}
