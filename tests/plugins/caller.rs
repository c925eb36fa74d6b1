//! One caller in either era, who answers what it is asked and keeps the questions.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{Client, Session, TestGateway, modern_params};

/// What a caller can be asked.
fn able() -> Value {
    json!({ "elicitation": { "form": {}, "url": {} }, "sampling": {}, "roots": {} })
}

/// A caller of one era.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    Modern(Client, Value),
    Legacy(Arc<Session>),
}

/// How a request ended, and what was asked before.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    /// The last message.
    pub(super) message: Value,
    /// The questions: `method` and `params` of each.
    pub(super) asked: Vec<Value>,
}

impl Ended {
    /// The refusal code of the gateway, whichever form the refusal has.
    pub(super) fn code(&self) -> &str {
        let places = ["/result/_meta/tidegate~1refusal/code", "/error/data/code"];
        let code = places.iter().find_map(|place| self.message.pointer(place)?.as_str());
        code.unwrap_or("none")
    }

    /// The whole message as text.
    pub(super) fn text(&self) -> String {
        self.message.to_string()
    }

    /// The message of the only question.
    pub(super) fn question(&self) -> &str {
        assert_eq!(self.asked.len(), 1, "{self:?}");
        self.asked[0]["params"]["message"].as_str().unwrap_or_default()
    }
}

impl Caller {
    /// Alice in both eras, able to answer everything.
    pub(super) async fn both(gateway: &TestGateway, vmcp: &str) -> [(&'static str, Self); 2] {
        Self::both_as(gateway, vmcp, able()).await
    }

    /// The same with other capabilities.
    pub(super) async fn both_as(
        gateway: &TestGateway,
        vmcp: &str,
        can: Value,
    ) -> [(&'static str, Self); 2] {
        let client = gateway.client("alice", vmcp);
        let session = Session::open_as(client.clone(), "2025-11-25", can.clone()).await;
        [("modern", Self::Modern(client, can)), ("legacy", Self::Legacy(Arc::new(session)))]
    }

    /// Carries a request to its end; every question gets this result.
    pub(super) async fn request(&self, method: &str, params: Value, reply: &Value) -> Ended {
        match self {
            Self::Modern(client, can) => modern((client, can), method, params, reply).await,
            Self::Legacy(session) => legacy(session, method, params, reply).await,
        }
    }

    /// The entries of the first page of a list.
    pub(super) async fn list(&self, method: &str, member: &str) -> Vec<Value> {
        let ended = self.request(method, json!({}), &Value::Null).await;
        let entries = ended.message["result"][member].as_array().cloned();
        entries.unwrap_or_else(|| panic!("no list: {ended:?}"))
    }
}

async fn modern(
    (client, can): (&Client, &Value),
    method: &str,
    params: Value,
    reply: &Value,
) -> Ended {
    let mut asked = Vec::new();
    let mut sent = params.clone();
    // More rounds than any test needs.
    for _ in 0..12 {
        sent["_meta"]["io.modelcontextprotocol/clientCapabilities"] = can.clone();
        let answer = client.request(method, modern_params(sent.clone())).await;
        if answer.message["result"]["resultType"] != "input_required" {
            return Ended { message: answer.message, asked };
        }
        let result = answer.result();
        let mut responses = json!({});
        for (key, request) in result["inputRequests"].as_object().unwrap() {
            asked.push(request.clone());
            responses[key] = reply.clone();
        }
        sent = params.clone();
        sent["requestState"] = result["requestState"].clone();
        sent["inputResponses"] = responses;
    }
    panic!("it never ends: {asked:?}");
}

async fn legacy(session: &Session, method: &str, params: Value, reply: &Value) -> Ended {
    let mut stream = session.request_stream(method, params).await;
    let mut asked = Vec::new();
    let is_json = stream.headers.get("content-type").is_some_and(|it| it == "application/json");
    if is_json {
        return Ended { message: stream.whole().await, asked };
    }
    while let Some(message) = stream.next().await {
        if message.get("result").is_some() || message.get("error").is_some() {
            return Ended { message, asked };
        }
        if message.get("id").is_some() {
            let taken = session.answer(&message, json!({ "result": reply })).await;
            assert_eq!(taken.status.as_u16(), 202, "{message}");
            asked.push(json!({ "method": message["method"], "params": message["params"] }));
        }
    }
    panic!("no answer: {asked:?}");
}
