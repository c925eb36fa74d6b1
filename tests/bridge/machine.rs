//! A bridge under test, and the gateway's side of it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_model::{Clock as _, SystemClock};
use tidegate_wire::{
    hosted::{Addressee, HEADER, Head, HostedKey, Minter},
    sse,
};
use tokio::net::UnixStream;

/// How a test ends that waits for what does not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running bridge.
pub(crate) struct Machine {
    process: Child,
    /// Keys go in here; closing it ends the bridge.
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) key: HostedKey,
    pub(crate) minter: Minter,
    pub(crate) socket: PathBuf,
    pub(crate) stderr: Arc<Mutex<Vec<Value>>>,
    _dir: TempDir,
}

/// What came back.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Incoming,
}

pub(crate) fn addressee() -> Addressee {
    Addressee { org: "default".into(), connector: "echo".into(), machine: "m1".into() }
}

fn example(name: &str) -> PathBuf {
    let bridge = PathBuf::from(env!("CARGO_BIN_EXE_tidegate-bridge"));
    bridge.with_file_name("examples").join(name)
}

/// The command line of a bridge in front of `env_echo`, but for the key.
pub(crate) fn command(socket: &std::path::Path, child: &[&str], options: &[&str]) -> Command {
    let to = addressee();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate-bridge"));
    command
        .args(["--listen", &format!("unix:{}", socket.display())])
        .args(["--org", &to.org, "--connector", &to.connector, "--machine", &to.machine])
        .args(options)
        .arg("--");
    match child {
        [program, rest @ ..] if program.contains('/') => command.arg(program).args(rest),
        words => command.arg(example("env_echo")).args(words),
    };
    command.env("TIDEGATE_CANARY", "of the bridge alone");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A bridge in front of `env_echo` with these arguments, which it is ready with.
pub(crate) fn machine(child: &[&str], options: &[&str]) -> Machine {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let key = HostedKey::generate().unwrap();
    let options: Vec<_> = ["--key-stdin"].iter().chain(options).copied().collect();
    let mut process = command(&socket, child, &options).spawn().unwrap();
    let mut stdin = process.stdin.take().unwrap();
    let env = json!({"BASE": "machine", "SHARED": "yes"});
    writeln!(stdin, "{}", json!({"key": key.write().expose(), "env": env})).unwrap();
    let stderr = Arc::new(Mutex::new(Vec::new()));
    let log = BufReader::new(process.stderr.take().unwrap());
    let lines = Arc::clone(&stderr);
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
            lines.lock().unwrap().push(line);
        }
    });
    let mut ready = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap();
    assert_eq!(ready, json!({"event": "ready", "listen": format!("unix:{}", socket.display())}));
    let minter = Minter::new("gw", &addressee(), key.clone(), HEADER).unwrap();
    Machine { process, stdin: Some(stdin), key, minter, socket, stderr, _dir: dir }
}

/// A request before it is signed.
#[derive(Clone)]
pub(crate) struct Sending {
    pub(crate) method: &'static str,
    pub(crate) target: &'static str,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

pub(crate) fn header(name: &'static str, value: &str) -> (HeaderName, HeaderValue) {
    (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
}

/// A POST of a message.
pub(crate) fn post(message: &Value) -> Sending {
    let headers = vec![
        header("content-type", "application/json"),
        header("accept", "application/json, text/event-stream"),
    ];
    Sending { method: "POST", target: "/mcp", headers, body: message.to_string().into() }
}

pub(crate) fn get(target: &'static str) -> Sending {
    let headers = vec![header("accept", "application/json, text/event-stream")];
    Sending { method: "GET", target, headers, body: Bytes::new() }
}

pub(crate) fn delete(target: &'static str) -> Sending {
    Sending { method: "DELETE", target, headers: Vec::new(), body: Bytes::new() }
}

impl Sending {
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push(header(name, value));
        self
    }

    /// For the child of this key, which has this environment.
    pub(crate) fn child(self, key: &str, env: Option<&Value>) -> Self {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let sending = self.with("x-tidegate-child", key);
        match env {
            Some(env) => sending.with("x-tidegate-env", &STANDARD.encode(env.to_string())),
            None => sending,
        }
    }
}

/// A modern request.
pub(crate) fn modern(id: &Value, method: &str, mut params: Value) -> Sending {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    let name = params["name"].as_str().map(str::to_owned);
    let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    let sending =
        post(&message).with("mcp-protocol-version", "2026-07-28").with("mcp-method", method);
    match name {
        Some(name) => sending.with("mcp-name", &name),
        None => sending,
    }
}

/// A modern call of a tool.
pub(crate) fn call(id: u64, name: &str, arguments: Value) -> Sending {
    modern(&json!(id), "tools/call", json!({"name": name, "arguments": arguments}))
}

impl Machine {
    /// Sends a request with its token and waits for the head of the reply.
    pub(crate) async fn send(&self, sending: Sending) -> Reply {
        let Sending { method, target, mut headers, body } = sending;
        let head = Head { method, target };
        let token = self.minter.mint(head, &headers, &body, SystemClock.now());
        headers.push((HEADER, token));
        self.send_as_it_is(Sending { method, target, headers, body }).await
    }

    pub(crate) async fn send_as_it_is(&self, sending: Sending) -> Reply {
        let mut request = Request::builder().method(sending.method).uri(sending.target);
        request = request.header("host", "localhost");
        for (name, value) in &sending.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(sending.body)).unwrap();
        let response = within(self.exchange(request)).await;
        let (parts, body) = response.into_parts();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        // Whoever gives up waiting takes the connection along.
        let guard = AbortOnDrop(connection);
        let response = sender.send_request(request).await.unwrap();
        std::mem::forget(guard);
        response
    }

    /// The result of a call, as the value that the child put into its text.
    pub(crate) async fn called(&self, sending: Sending) -> Value {
        self.send(sending).await.value().await
    }

    /// Opens a legacy session whose client has these capabilities, for the child of `key`.
    pub(crate) async fn session(&self, capabilities: Value, key: Option<(&str, Value)>) -> String {
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": capabilities,
            "clientInfo": {"name": "test", "version": "1"}});
        let message =
            json!({"jsonrpc": "2.0", "id": "i", "method": "initialize", "params": params});
        let sending = post(&message);
        let sending = match &key {
            Some((key, env)) => sending.child(key, Some(env)),
            None => sending,
        };
        let reply = self.send(sending).await;
        assert_eq!(reply.status, StatusCode::OK);
        let session = reply.headers["mcp-session-id"].to_str().unwrap().to_owned();
        let answer = reply.json().await;
        assert_eq!(answer["id"], "i");
        assert_eq!(answer["result"]["serverInfo"]["name"], "env-echo");
        let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let mut sending = post(&done).with("mcp-session-id", &session);
        if let Some((key, _)) = &key {
            sending = sending.child(key, None);
        }
        assert_eq!(self.send(sending).await.status, StatusCode::ACCEPTED);
        session
    }

    /// A legacy call within a session.
    pub(crate) fn legacy(&self, session: &str, id: u64, name: &str, arguments: Value) -> Sending {
        let params = json!({"name": name, "arguments": arguments});
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        post(&message).with("mcp-session-id", session)
    }

    /// How the bridge says that it is.
    pub(crate) async fn health(&self) -> Value {
        self.send(get("/healthz")).await.json().await
    }

    /// Waits until the bridge says this of itself.
    pub(crate) async fn until(&self, what: impl Fn(&Value) -> bool) {
        eventually(async || what(&self.health().await)).await;
    }

    /// Waits for a line on stderr.
    pub(crate) async fn logged(&self, what: impl Fn(&Value) -> bool) {
        eventually(async || self.stderr.lock().unwrap().iter().any(&what)).await;
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn terminate(&self) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Waits for the end of the bridge; whether it ended well.
    pub(crate) async fn ended(&mut self) -> bool {
        let mut status = None;
        eventually(async || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap().success()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Closing stdin ends bridge and child; if it does not, the kill ends the bridge.
        drop(self.stdin.take());
        if std::thread::panicking() {
            eprintln!("{:#?}", self.stderr.lock().unwrap_or_else(|error| error.into_inner()));
        }
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Reply {
    pub(crate) async fn bytes(self) -> Bytes {
        within(self.body.collect()).await.unwrap().to_bytes()
    }

    pub(crate) async fn json(self) -> Value {
        serde_json::from_slice(&self.bytes().await).unwrap()
    }

    /// The value in the text of a call's result.
    pub(crate) async fn value(self) -> Value {
        let answer = self.json().await;
        text(&answer)
    }

    /// The message of an error.
    pub(crate) async fn error(self) -> String {
        let answer = self.json().await;
        answer["error"]["message"].as_str().expect("an error").to_owned()
    }

    /// All events up to the end of the stream.
    pub(crate) async fn events(mut self) -> Vec<Value> {
        assert_eq!(self.headers["content-type"], "text/event-stream");
        let mut events = Vec::new();
        let mut reader = Events::default();
        while let Some(event) = reader.next(&mut self.body).await {
            events.push(event);
        }
        events
    }
}

/// Reads a stream event by event.
#[derive(Default)]
pub(crate) struct Events {
    decoder: Option<sse::Decoder>,
    ready: std::collections::VecDeque<Value>,
}

impl Events {
    /// The next event; none at the end.
    pub(crate) async fn next(&mut self, body: &mut Incoming) -> Option<Value> {
        let decoder = self.decoder.get_or_insert_with(|| sse::Decoder::new(16 << 20));
        while self.ready.is_empty() {
            let frame = within(body.frame()).await?;
            let Ok(data) = frame.ok()?.into_data() else { continue };
            let mut events = Vec::new();
            decoder.feed(&data, &mut events).unwrap();
            let values = events.iter().map(|event| serde_json::from_slice(&event.data).unwrap());
            self.ready.extend(values);
        }
        self.ready.pop_front()
    }
}

/// The value in the text of a call's result.
pub(crate) fn text(answer: &Value) -> Value {
    let text = answer["result"]["content"][0]["text"].as_str();
    serde_json::from_str(text.unwrap_or_else(|| panic!("{answer}"))).unwrap()
}

/// Waits for a condition that another task or process brings about.
pub(crate) async fn eventually(mut what: impl AsyncFnMut() -> bool) {
    within(async {
        while !what().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it takes too long")
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
