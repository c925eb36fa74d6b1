//! Questions of servers on their way to a client.
//!
//! Owns the row that each leaves in the audit log before anybody is asked, whichever era the
//! client speaks, and the form in which a modern client is asked.

use serde_json::Value;
use tidegate_model::{Answer, ConnectorId, Json, Refusal, VmcpId};
use tidegate_wire::{
    client::{Profile, Question},
    json::{Raw, write_string},
    mcp::{
        method::Method,
        splice::{self, Edit},
    },
};

use super::{
    super::hop::{self, Related},
    Context, refusal,
};
use crate::gateway::Gateway;

/// Who asks a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    /// The connector, where it is known.
    pub(crate) connector: Option<&'a ConnectorId>,
    /// The plugin that asks in its place.
    pub(crate) by: Option<&'a str>,
}

/// Puts on record that a server, or a plugin in its place, asks the client, under the question's own method; as durable
/// as configured when it returns. Nobody may be asked before that.
pub(crate) async fn on_record(
    gateway: &Gateway,
    context: &Context,
    vmcp: &VmcpId,
    asker: Asker<'_>,
    method: Method,
) -> Result<(), Refusal> {
    let mut record = gateway.open_record(context, vmcp, method.name());
    match asker {
        Asker { by: Some(plugin), .. } => record.note(format!("asked by plugin `{plugin}`")),
        Asker { connector: Some(connector), .. } => record.connector(connector),
        _ => {}
    }
    record.done().await.map_err(refusal::audit)
}

/// The answer to a server whose question cannot be put to the client.
pub(crate) fn unasked(words: &str) -> Answer {
    let code = tidegate_wire::mcp::code::INTERNAL_ERROR;
    let error = serde_json::json!({"code": code, "message": words});
    Answer::Error(Json::of(&error).unwrap_or_default())
}

/// A question that waits for its response.
#[derive(Debug)]
pub(crate) struct Open {
    /// Its name in `inputRequests`.
    pub(super) key: String,
    pub(super) question: Question,
}

impl Open {
    /// Whether the server does not wait for it any more.
    pub(super) fn is_moot(&self) -> bool {
        self.question.reply.is_closed()
    }

    /// Whether a client with this profile can be asked; if not, the words for the server.
    pub(super) fn is_for(&self, profile: Profile) -> Result<(), &'static str> {
        let Question { method, params, .. } = &self.question;
        profile.allows(*method, Raw::from(params)).map_err(|(_, words)| words)
    }

    /// Answers the server.
    pub(super) fn answer(self, answer: Answer) {
        // One that stopped waiting in this moment needs no answer.
        drop(self.question.reply.send(answer));
    }

    /// Appends the entry of `inputRequests`.
    fn write(&self, out: &mut Vec<u8>) {
        let params = modern(self.question.method, &self.question.params);
        entry(out, &self.key, self.question.method, &params);
    }
}

/// The `inputRequests` object of these questions.
pub(super) fn requests<'a>(open: impl IntoIterator<Item = &'a Open>) -> Vec<u8> {
    let mut out = vec![b'{'];
    open.into_iter().for_each(|question| question.write(&mut out));
    out.push(b'}');
    out
}

/// Appends one entry of an `inputRequests` object that has been opened.
pub(super) fn entry(out: &mut Vec<u8>, key: &str, method: Method, params: &Json) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    write_string(out, key);
    out.extend_from_slice(br#":{"method":"#);
    write_string(out, method.name());
    out.extend_from_slice(br#","params":"#);
    out.extend_from_slice(params.bytes());
    out.push(b'}');
}

/// The parameters of a legacy server's question in the words of the modern era: without the
/// id of a URL elicitation, which is gone there, and without what belongs to one hop or to a
/// task, which is not carried between the eras.
fn modern(method: Method, params: &Json) -> Json {
    let params = hop::past(params.clone(), Related::Unknown);
    if method != Method::Elicit {
        return params;
    }
    let edited = splice::object(Raw::from(&params), &[Edit::remove("elicitationId")]);
    edited.unwrap_or(params)
}

/// An `input_required` result.
pub(super) fn input_required(requests: &[u8], state: &str) -> Json {
    let mut text = Vec::with_capacity(requests.len() + state.len() + 96);
    text.extend_from_slice(br#"{"resultType":"input_required","inputRequests":"#);
    text.extend_from_slice(requests);
    text.extend_from_slice(br#","requestState":"#);
    text.extend_from_slice(Value::from(state).to_string().as_bytes());
    text.push(b'}');
    Json::from_checked(text.into())
}
