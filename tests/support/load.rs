//! Callers that call without pause until they no longer can.
//!
//! Each call carries a trace id of its own, which the audit row repeats, so that every answer
//! can be matched with what the upstream saw and with what stands in the log.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinSet};

use super::{Client, modern_params, patiently};

/// Callers at work, each on one connection that it keeps.
#[derive(Debug)]
pub(crate) struct Load {
    answered: mpsc::UnboundedReceiver<String>,
    callers: JoinSet<()>,
}

impl Load {
    /// Sets `callers` to calling `tools` in turn. `round` makes their trace ids differ from
    /// those of every other load.
    pub(crate) fn start(client: &Client, tools: &[&str], callers: u32, round: u32) -> Self {
        let (answers, answered) = mpsc::unbounded_channel();
        let mut set = JoinSet::new();
        for caller in 0..callers {
            let (client, answers) = (client.clone(), answers.clone());
            let tools: Vec<String> = tools.iter().map(|&tool| tool.to_owned()).collect();
            let name = u64::from(round) << 32 | u64::from(caller);
            set.spawn(async move {
                // Whatever ends a connection ends its caller; what counts is what it was told.
                let _: Option<()> = call_on(&client, &tools, name, &answers).await;
            });
        }
        Self { answered, callers: set }
    }

    /// Waits for that many answers, and gives their trace ids.
    pub(crate) async fn answers(&mut self, count: usize) -> Vec<String> {
        let mut all = Vec::with_capacity(count);
        while all.len() < count {
            let next = patiently("an answer under load", self.answered.recv()).await;
            all.push(next.expect("every caller has stopped"));
        }
        all
    }

    /// Waits until no caller is left, and gives the trace ids of the answers not given yet.
    pub(crate) async fn rest(mut self) -> Vec<String> {
        patiently("the callers' end", async {
            while let Some(ended) = self.callers.join_next().await {
                ended.unwrap();
            }
        })
        .await;
        let mut all = Vec::new();
        while let Ok(trace) = self.answered.try_recv() {
            all.push(trace);
        }
        all
    }
}

/// The trace id in a request that a mock received.
pub(crate) fn trace_of(message: &Value) -> Option<&str> {
    message.pointer("/params/_meta/traceparent")?.as_str()?.split('-').nth(1)
}

async fn connect(address: SocketAddr) -> Option<SendRequest<Full<Bytes>>> {
    let stream = tokio::net::TcpStream::connect(address).await.ok()?;
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    Some(sender)
}

/// Calls until the gateway does not answer any more, or answers that it will not.
async fn call_on(
    client: &Client,
    tools: &[String],
    caller: u64,
    answers: &mpsc::UnboundedSender<String>,
) -> Option<()> {
    let mut sender = connect(client.address).await?;
    for (number, tool) in (1_u64..).zip(tools.iter().cycle()) {
        let trace = format!("{caller:016x}{number:016x}");
        let params = modern_params(json!({
            "name": tool,
            "arguments": { "message": trace },
            "_meta": { "traceparent": format!("00-{trace}-00000000000000aa-01") },
        }));
        let body =
            json!({ "jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params });
        let mut request = Request::post(&client.path)
            .header("host", client.address.to_string())
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("authorization", format!("Bearer {}", client.key.as_deref()?));
        for (name, value) in Client::modern_headers("tools/call", &params) {
            request = request.header(name, value);
        }
        sender.ready().await.ok()?;
        let response =
            sender.send_request(request.body(body.to_string().into()).ok()?).await.ok()?;
        let status = response.status();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return None;
        }
        let answer: Value = serde_json::from_slice(&body).unwrap();
        let text = answer.pointer("/result/content/0/text").and_then(Value::as_str);
        assert!(text.is_some_and(|text| text.contains(&trace)), "{status} {answer}");
        answers.send(trace).ok()?;
    }
    None
}
