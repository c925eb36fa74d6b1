//! An MCP server (revision 2026-07-28, Streamable HTTP) that does next to nothing.
//!
//! One thread, answers prepared but for id and text, no JSON parser: what it costs is mostly
//! the system calls, so that the differences between two figures are the gateway's. Knows
//! only what the gateway and the load generator send it.

use std::{fmt::Write as _, net::Ipv4Addr, rc::Rc};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const DISCOVER: &str = r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":60000,"cacheScope":"public","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"bench","version":"1"}}}"#;
const UNKNOWN: &str = r#"{"code":-32601,"message":"unknown method"}"#;

/// Serves until the process is ended; the first line on standard output is the address.
pub(crate) fn serve(tools: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", listener.local_addr()?);
        let list: Rc<str> = tool_list(tools).into();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let list = Rc::clone(&list);
            // A connection that breaks ends its own task and nothing else.
            tokio::task::spawn_local(async move { drop(connection(stream, &list).await) });
        }
    })
}

/// Events that a call of [`STREAM`] tells before its answer.
pub(crate) const EVENTS: usize = 50;
/// Length of the text that a call of [`LARGE`] answers with.
const LARGE_TEXT: usize = 1 << 20;
/// The tool that tells of its progress.
pub(crate) const STREAM: &str = "stream";
/// The tool with the large answer.
pub(crate) const LARGE: &str = "large";

/// The `tools/list` result: `echo` and `stream` (read only), `put` (writes), `large` and
/// `tool_NNNN`.
fn tool_list(tools: usize) -> String {
    let mut list = String::from(r#"{"resultType":"complete","tools":["#);
    for index in 0..tools {
        let name = tool_name(index);
        let reads = index != 1;
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(
            list,
            r#"{comma}{{"name":"{name}","title":"Tool {index}","description":"Returns the message it was given.","inputSchema":{{"type":"object","properties":{{"message":{{"type":"string","description":"What to return"}},"count":{{"type":"integer","minimum":0}}}},"required":["message"]}},"annotations":{{"readOnlyHint":{reads},"destructiveHint":false,"openWorldHint":false}}}}"#,
        );
    }
    list.push_str(r#"],"ttlMs":60000,"cacheScope":"public"}"#);
    list
}

/// The name of the tool at `index` of the list.
pub(crate) fn tool_name(index: usize) -> String {
    match index {
        0 => "echo".into(),
        1 => "put".into(),
        2 => STREAM.into(),
        3 => LARGE.into(),
        _ => format!("tool_{index:04}"),
    }
}

async fn connection(mut stream: TcpStream, list: &str) -> std::io::Result<()> {
    let mut input = Vec::with_capacity(16 * 1024);
    let mut output = Vec::with_capacity(16 * 1024);
    loop {
        let mut begin = 0;
        while let Some((body, end)) = request(&input[begin..]) {
            let (head, message) = input[begin..begin + end].split_at(body);
            answer(head, message, list, &mut output);
            begin += end;
        }
        input.drain(..begin);
        if !output.is_empty() {
            stream.write_all(&output).await?;
            output.clear();
        }
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}

/// Where the body of the first whole request begins, and where the request ends.
fn request(input: &[u8]) -> Option<(usize, usize)> {
    let body = find(input, b"\r\n\r\n")? + 4;
    let end = body + content_length(&input[..body]).unwrap_or(0);
    (input.len() >= end).then_some((body, end))
}

/// The value of `content-length` in a head, in whatever case it is spelled.
pub(crate) fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    head.split(|&byte| byte == b'\n').find_map(|line| {
        let value = line.get(NAME.len()..)?;
        let named = line[..NAME.len()].eq_ignore_ascii_case(NAME);
        named.then(|| std::str::from_utf8(value).ok()?.trim().parse().ok()).flatten()
    })
}

/// The first place of `needle`.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    loop {
        let at = from + haystack.get(from..)?.iter().position(|&byte| byte == first)?;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
}

fn answer(head: &[u8], message: &[u8], list: &str, output: &mut Vec<u8>) {
    if !head.starts_with(b"POST ") {
        output.extend_from_slice(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n");
        return;
    }
    let Some(id) = member(message, b"\"id\":") else {
        output.extend_from_slice(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n");
        return;
    };
    if contains(message, b"\"name\":\"stream\"") {
        stream(message, id, output);
    } else if contains(message, b"\"tools/call\"") {
        let large = contains(message, b"\"name\":\"large\"");
        let filler = if large { "x".repeat(LARGE_TEXT) } else { String::new() };
        let text = text_member(message, b"\"message\":\"");
        let parts = [
            br#","result":{"resultType":"complete","content":[{"type":"text","text":""#.as_slice(),
            text,
            filler.as_bytes(),
            br#""}],"isError":false}}"#,
        ];
        respond(output, "200 OK", id, &parts);
    } else if contains(message, b"\"tools/list\"") {
        respond(output, "200 OK", id, &[b",\"result\":", list.as_bytes(), b"}"]);
    } else if contains(message, b"\"server/discover\"") {
        respond(output, "200 OK", id, &[b",\"result\":", DISCOVER.as_bytes(), b"}"]);
    } else {
        respond(output, "404 Not Found", id, &[b",\"error\":", UNKNOWN.as_bytes(), b"}"]);
    }
}

/// An answer with progress in front of it, in one piece, so that what is measured is the
/// relaying of events and not the waiting for them.
fn stream(message: &[u8], id: &[u8], output: &mut Vec<u8>) {
    let token = member(message, b"\"progressToken\":").unwrap_or(b"0");
    let token = String::from_utf8_lossy(token);
    let text = String::from_utf8_lossy(text_member(message, b"\"message\":\"")).into_owned();
    let id = String::from_utf8_lossy(id);
    let mut body = String::with_capacity(EVENTS * 192);
    for at in 1..=EVENTS {
        let _ = write!(
            body,
            "data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progressToken\":{token},\"progress\":{at},\"total\":{EVENTS},\"message\":\"step {at}\"}}}}\n\n"
        );
    }
    let _ = write!(
        body,
        "data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"resultType\":\"complete\",\"content\":[{{\"type\":\"text\",\"text\":\"{text}\"}}],\"isError\":false}}}}\n\n"
    );
    output.extend_from_slice(
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .as_bytes(),
    );
    output.extend_from_slice(body.as_bytes());
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    find(haystack, needle).is_some()
}

/// The text of a member whose value is a number or a string without commas.
fn member<'a>(message: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = &message[find(message, name)? + name.len()..];
    let end = value.iter().position(|byte| matches!(byte, b',' | b'}'))?;
    Some(value[..end].trim_ascii())
}

/// The text of a string member without escapes.
fn text_member<'a>(message: &'a [u8], name: &[u8]) -> &'a [u8] {
    let Some(at) = find(message, name) else { return b"" };
    let value = &message[at + name.len()..];
    &value[..value.iter().position(|&byte| byte == b'"').unwrap_or(0)]
}

fn respond(output: &mut Vec<u8>, status: &str, id: &[u8], parts: &[&[u8]]) {
    const OPEN: &[u8] = br#"{"jsonrpc":"2.0","id":"#;
    let length = OPEN.len() + id.len() + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut head = String::with_capacity(96);
    let _ = write!(
        head,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    output.extend_from_slice(head.as_bytes());
    output.extend_from_slice(OPEN);
    output.extend_from_slice(id);
    for part in parts {
        output.extend_from_slice(part);
    }
}
