//! A tiny MCP client (revision 2026-07-28) over a plain socket, for the walk.
//!
//! Owns one request and its answer. Speaks to loopback only and knows nothing of tools.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// One caller at one endpoint.
#[derive(Debug, Clone)]
pub struct Client {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// The path of the virtual MCP.
    pub path: String,
    /// The API key.
    pub key: String,
}

impl Client {
    /// A request and the JSON-RPC message that answers it, with the HTTP status.
    pub fn request(&self, method: &str, mut params: Value) -> Result<(u16, Value)> {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "tidegate-demo", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let name = match params["name"].as_str() {
            Some(name) => format!("Mcp-Name: {name}\r\n"),
            None => String::new(),
        };
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.post(&format!("Mcp-Method: {method}\r\n{name}"), &body.to_string())
    }

    fn post(&self, headers: &str, body: &str) -> Result<(u16, Value)> {
        let host = self.url.strip_prefix("http://").context("the demo speaks plain HTTP")?;
        let mut stream =
            TcpStream::connect(host).with_context(|| format!("connecting to {host}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        write!(
            stream,
            "POST {} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: Bearer \
             {}\r\nContent-Type: application/json\r\nAccept: application/json, \
             text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n{headers}Content-Length: \
             {}\r\n\r\n{body}",
            self.path,
            self.key,
            body.len()
        )?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response)?;
        let response = String::from_utf8(response).context("the answer is no text")?;
        let (head, body) = response.split_once("\r\n\r\n").context("the answer has no head")?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status: u16 = status.context("the answer has no status")?;
        let head = head.to_ascii_lowercase();
        let body = if head.contains("transfer-encoding: chunked") {
            unchunked(body)?
        } else {
            body.to_owned()
        };
        let last = if head.contains("text/event-stream") { last_event(&body) } else { &body };
        let message = serde_json::from_str(last).with_context(|| format!("{status}: {body}"))?;
        Ok((status, message))
    }

    /// The names of all tools.
    pub fn tools(&self) -> Result<Vec<String>> {
        let (_, message) = self.request("tools/list", json!({}))?;
        let tools = message.pointer("/result/tools").and_then(Value::as_array);
        let tools = tools.with_context(|| format!("no list of tools: {message}"))?;
        Ok(tools.iter().filter_map(|tool| Some(tool["name"].as_str()?.to_owned())).collect())
    }

    /// One call: the text of its answer, or of the refusal.
    pub fn call(&self, tool: &str, arguments: Value) -> Result<Called> {
        let params = json!({ "name": tool, "arguments": arguments });
        let (_, message) = self.request("tools/call", params)?;
        if let Some(error) = message.get("error") {
            let text = error["message"].as_str().unwrap_or_default().to_owned();
            return Ok(Called { text, refused: true });
        }
        let Some(result) = message.get("result") else { bail!("no result: {message}") };
        let blocks = result["content"].as_array().cloned().unwrap_or_default();
        let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
        let refused = result["isError"].as_bool().unwrap_or(false);
        Ok(Called { text: texts.join("\n"), refused })
    }
}

/// How a call ended.
#[derive(Debug)]
pub struct Called {
    /// The answer, or why there is none.
    pub text: String,
    /// The call was not carried out, or the tool failed.
    pub refused: bool,
}

fn unchunked(mut body: &str) -> Result<String> {
    let mut whole = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").context("a chunk has no size")?;
        let size = usize::from_str_radix(size.trim(), 16).context("a chunk has no size")?;
        if size == 0 {
            return Ok(whole);
        }
        whole.push_str(rest.get(..size).context("a chunk is cut")?);
        body = rest.get(size + 2..).context("a chunk is cut")?;
    }
}

fn last_event(body: &str) -> &str {
    let mut data = body.lines().filter_map(|line| line.strip_prefix("data:"));
    data.next_back().unwrap_or_default().trim()
}
