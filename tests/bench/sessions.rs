//! What an idle session of a legacy client costs in memory.
//!
//! Owns opening many of them, each used as far as a client does before it falls silent. The
//! cost is the growth of the process, shared out; what the first ones bring along with them
//! (buffers of the connection, arenas of the allocator) is not counted.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    gateway::Gateway,
    load::{Target, response_end},
    upstream::find,
};

/// Sessions that are open before anything is counted.
const BEFORE: usize = 1_000;

/// A connection over which sessions are opened.
struct Opener<'a> {
    target: &'a Target,
    stream: TcpStream,
    input: Vec<u8>,
}

/// Bytes of resident memory for each of `count` idle sessions.
pub(crate) fn bytes_each(gateway: &Gateway, count: usize) -> Result<f64> {
    let mut opener = Opener::new(&gateway.target)?;
    for _ in 0..BEFORE {
        opener.open()?;
    }
    let before = gateway.resident_mib()?;
    for _ in 0..count {
        opener.open()?;
    }
    let grown = gateway.resident_mib()? - before;
    Ok(grown * 1_048_576.0 / count as f64)
}

impl<'a> Opener<'a> {
    fn new(target: &'a Target) -> Result<Self> {
        let stream = TcpStream::connect(target.address).context("connecting")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { target, stream, input: Vec::new() })
    }

    /// Opens a session as a client does, lists the tools and calls one.
    fn open(&mut self) -> Result<()> {
        let opened = self.post(
            "",
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{"listChanged":true},"sampling":{},"elicitation":{"form":{},"url":{}}},"clientInfo":{"name":"a client of common name and length","title":"A Client","version":"1.22.333"}}}"#,
        )?;
        let id = header(&opened, "mcp-session-id: ").context("no session was opened")?;
        let session = format!("Mcp-Session-Id: {id}\r\nMCP-Protocol-Version: 2025-11-25\r\n");
        self.post(&session, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)?;
        self.post(&session, r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#)?;
        let called = self.post(
            &session,
            r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"message":"hello","count":1}}}"#,
        )?;
        if find(called.as_bytes(), b"hello").is_none() {
            bail!("a call in a session was not answered: {called}");
        }
        Ok(())
    }

    /// One request; head and body of its answer.
    fn post(&mut self, headers: &str, body: &str) -> Result<String> {
        let Target { address, path, key } = self.target;
        let key = key.as_ref().map(|key| format!("Authorization: Bearer {key}\r\n"));
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\n{}{headers}Content-Type: \
             application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: \
             {}\r\n\r\n{body}",
            key.unwrap_or_default(),
            body.len()
        );
        self.stream.write_all(request.as_bytes())?;
        let mut piece = vec![0; 64 * 1024];
        let end = loop {
            if let Some(end) = response_end(&self.input) {
                break end;
            }
            let read = self.stream.read(&mut piece).context("reading an answer")?;
            if read == 0 {
                bail!("the connection was closed: {}", String::from_utf8_lossy(&self.input));
            }
            self.input.extend_from_slice(&piece[..read]);
        };
        let answer = String::from_utf8_lossy(&self.input[..end]).into_owned();
        self.input.drain(..end);
        if !answer.starts_with("HTTP/1.1 20") {
            bail!("a request in a session was refused: {answer}");
        }
        Ok(answer)
    }
}

/// The value of a header, whose name is given in lower case.
fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| {
        let is_it = line.get(..name.len())?.eq_ignore_ascii_case(name);
        is_it.then(|| line[name.len()..].trim())
    })
}
