//! The load generator: keep-alive connections, one call at a time on each.
//!
//! Owns the request bytes and the check that every answer is the answer to its request. One
//! caller uses a blocking socket, more share one thread; both do as little beside the system
//! calls as they can. Knows nothing of what stands behind the address.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    latency::Latencies,
    upstream::{STREAM, content_length, find},
};

/// Digits of the request id, so that every request has the same length.
const ID_DIGITS: usize = 10;

/// Where the calls go, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The listener.
    pub(crate) address: SocketAddr,
    /// The path of the endpoint.
    pub(crate) path: String,
    /// An API key, towards a gateway.
    pub(crate) key: Option<String>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask<'a> {
    /// One call of this tool.
    Call(&'a str),
    /// The list of tools.
    List,
}

/// One request with a place for its id.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    id_at: usize,
    expect: Vec<u8>,
}

impl Request {
    /// Writes it out for `target`.
    pub(crate) fn new(target: &Target, ask: Ask<'_>) -> Self {
        const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;
        const TEXT: &str = "the quick brown fox jumps over the lazy dog";
        // Events are told to those who ask for them.
        let token = match ask {
            Ask::Call(STREAM) => r#""_meta":{"progressToken":7,"#,
            _ => r#""_meta":{"#,
        };
        let meta = META.replacen(r#""_meta":{"#, token, 1);
        let id = "1".repeat(ID_DIGITS);
        let (method, name, params, expect) = match ask {
            Ask::Call(tool) => (
                "tools/call",
                format!("Mcp-Name: {tool}\r\n"),
                format!(r#""name":"{tool}","arguments":{{"message":"{TEXT}","count":3}},{meta}"#),
                TEXT.as_bytes().to_vec(),
            ),
            Ask::List => ("tools/list", String::new(), meta, b"\"tools\":".to_vec()),
        };
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}}}}}"#);
        let key = match &target.key {
            Some(key) => format!("Authorization: Bearer {key}\r\n"),
            None => String::new(),
        };
        let bytes = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\n{key}Content-Type: application/json\r\nAccept: \
             application/json, text/event-stream\r\nMCP-Protocol-Version: \
             2026-07-28\r\nMcp-Method: {method}\r\n{name}Content-Length: {}\r\n\r\n{body}",
            target.path,
            target.address,
            body.len()
        )
        .into_bytes();
        let id_at = find(&bytes, b"\"id\":").map_or(0, |at| at + b"\"id\":".len());
        Self { bytes, id_at, expect }
    }

    fn number(&mut self, id: u64) -> &[u8] {
        let digits = format!("{:0ID_DIGITS$}", 1_000_000_000 + id);
        self.bytes[self.id_at..self.id_at + ID_DIGITS].copy_from_slice(digits.as_bytes());
        &self.bytes
    }

    /// Fails unless `answer` is a success with this request's id and content.
    fn check(&self, answer: &[u8]) -> Result<()> {
        let id = &self.bytes[self.id_at..self.id_at + ID_DIGITS];
        let right = answer.starts_with(b"HTTP/1.1 200")
            && find(answer, id).is_some()
            && find(answer, &self.expect).is_some();
        if right {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(2_000)]);
        bail!("a call was not answered as it should have been: {shown}")
    }
}

/// The length of the first whole response in `input`.
pub(crate) fn response_end(input: &[u8]) -> Option<usize> {
    let body = find(input, b"\r\n\r\n")? + 4;
    let head = &input[..body];
    if let Some(length) = content_length(head) {
        return (input.len() >= body + length).then_some(body + length);
    }
    // Chunked, as a streamed answer is: it ends with the empty chunk.
    let mut at = body;
    loop {
        let line = find(&input[at..], b"\r\n")?;
        let size = std::str::from_utf8(&input[at..at + line]).ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        at += line + 2 + size + 2;
        if at > input.len() {
            return None;
        }
        if size == 0 {
            return Some(at);
        }
    }
}

/// `calls` calls one after the other, after `warm_up` that do not count.
pub(crate) fn sequential(
    target: &Target,
    ask: Ask<'_>,
    warm_up: usize,
    calls: usize,
) -> Result<Latencies> {
    let mut request = Request::new(target, ask);
    let mut stream = TcpStream::connect(target.address).context("connecting")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut input = Vec::with_capacity(1 << 20);
    let mut piece = vec![0_u8; 256 * 1024];
    let mut latencies = Latencies::with_capacity(calls);
    for id in 0..warm_up + calls {
        let bytes = request.number(id as u64);
        let start = Instant::now();
        stream.write_all(bytes)?;
        let end = loop {
            let read = stream.read(&mut piece).context("reading an answer")?;
            if read == 0 {
                bail!("the connection was closed: {}", String::from_utf8_lossy(&input));
            }
            input.extend_from_slice(&piece[..read]);
            if let Some(end) = response_end(&input) {
                break end;
            }
        };
        let latency = start.elapsed();
        request.check(&input[..end])?;
        input.drain(..end);
        if id >= warm_up {
            latencies.record(latency);
        }
    }
    Ok(latencies)
}

/// Calls per second over `time` with `callers` connections, after a quarter of that to warm up.
pub(crate) fn concurrent(
    target: &Target,
    ask: Ask<'_>,
    callers: usize,
    time: Duration,
) -> Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let begin = Instant::now() + time / 4;
        let end = begin + time;
        let mut callers: Vec<_> = (0..callers)
            .map(|_| {
                let (request, address) = (Request::new(target, ask), target.address);
                tokio::task::spawn_local(caller(address, request, begin, end))
            })
            .collect();
        let mut calls = 0_u64;
        for caller in callers.drain(..) {
            calls += caller.await??;
        }
        Ok(calls as f64 / time.as_secs_f64())
    })
}

/// Calls until `end`; the number answered between `begin` and `end`.
async fn caller(
    address: SocketAddr,
    mut request: Request,
    begin: Instant,
    end: Instant,
) -> Result<u64> {
    let mut stream = tokio::net::TcpStream::connect(address).await.context("connecting")?;
    stream.set_nodelay(true)?;
    let mut input = Vec::with_capacity(16 * 1024);
    let mut counted = 0;
    for id in 0.. {
        stream.write_all(request.number(id)).await?;
        let whole = loop {
            let read = stream.read_buf(&mut input).await?;
            if read == 0 {
                bail!("the connection was closed: {}", String::from_utf8_lossy(&input));
            }
            if let Some(whole) = response_end(&input) {
                break whole;
            }
        };
        request.check(&input[..whole])?;
        input.drain(..whole);
        let now = Instant::now();
        if now >= end {
            break;
        }
        if now >= begin {
            counted += 1;
        }
    }
    Ok(counted)
}
