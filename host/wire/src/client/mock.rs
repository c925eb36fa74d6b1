//! A scripted HTTP/1.1 server on loopback, for tests only.
//!
//! Speaks just enough HTTP to be told to do everything wrong. Also included by the tests of
//! `upstream`, so it depends on nothing of this crate.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A member of the body, by JSON pointer.
    pub(crate) fn at(&self, pointer: &str) -> serde_json::Value {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        body.pointer(pointer).cloned().unwrap_or_default()
    }
}

/// What to do with a request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// These bytes, as they are.
    Raw(Vec<u8>),
    /// Nothing more until the client has posted a response with this id.
    Answered(String),
    /// Nothing more until such a request has arrived.
    Met(fn(&Seen) -> bool),
    /// Nothing more until the client goes away.
    Hang,
    /// Close the connection.
    Close,
    /// Close it with a reset.
    Reset,
}

impl Act {
    pub(crate) fn raw(text: impl Into<Vec<u8>>) -> Self {
        Self::Raw(text.into())
    }

    /// A whole response.
    pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let mut out = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        out.push_str("\r\n");
        out.push_str(body);
        Self::raw(out)
    }

    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::reply(status, &[("content-type", "application/json")], body)
    }

    pub(crate) fn accepted() -> Self {
        Self::reply(202, &[], "")
    }

    /// The head of an event stream without length: it ends with the connection.
    pub(crate) fn stream() -> Self {
        Self::raw(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        )
    }

    /// One chunk of it.
    pub(crate) fn chunk(text: &str) -> Self {
        Self::raw(format!("{:x}\r\n{text}\r\n", text.len()))
    }

    pub(crate) fn event(data: &str) -> Self {
        Self::chunk(&format!("event: message\ndata: {data}\n\n"))
    }

    /// Its proper end.
    pub(crate) fn end() -> Self {
        Self::raw("0\r\n\r\n")
    }
}

type Script = dyn Fn(&Seen, &Mock) -> Vec<Act> + Send + Sync;

/// A running server; ends when dropped.
#[derive(Clone)]
pub(crate) struct Mock(Arc<State>);

struct State {
    address: SocketAddr,
    script: Box<Script>,
    seen: Mutex<Vec<Seen>>,
    accepted: AtomicUsize,
    gone: AtomicUsize,
    news: Notify,
}

impl Mock {
    pub(crate) async fn start(
        script: impl Fn(&Seen, &Mock) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mock = Self(Arc::new(State {
            address: listener.local_addr().unwrap(),
            script: Box::new(script),
            seen: Mutex::default(),
            accepted: AtomicUsize::new(0),
            gone: AtomicUsize::new(0),
            news: Notify::new(),
        }));
        let server = mock.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                server.0.accepted.fetch_add(1, Ordering::SeqCst);
                let server = server.clone();
                tokio::spawn(async move {
                    server.serve(stream).await;
                    server.0.gone.fetch_add(1, Ordering::SeqCst);
                    server.0.news.notify_waiters();
                });
            }
        });
        mock
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.0.address)
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.0.seen.lock().unwrap().clone()
    }

    /// The bodies' methods so far.
    pub(crate) fn methods(&self) -> Vec<String> {
        let name = |seen: &Seen| match seen.at("/method") {
            serde_json::Value::String(name) => name,
            _ => seen.method.clone(),
        };
        self.seen().iter().map(name).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.0.accepted.load(Ordering::SeqCst)
    }

    /// Waits until `done` holds of what has happened so far.
    pub(crate) async fn until(&self, done: impl Fn(&Self) -> bool) {
        loop {
            let news = self.0.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if done(self) {
                return;
            }
            news.await;
        }
    }

    /// Connections that are over.
    pub(crate) fn gone(&self) -> usize {
        self.0.gone.load(Ordering::SeqCst)
    }

    async fn serve(&self, mut stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let mut buffer = Vec::new();
        while let Some(seen) = read_request(&mut stream, &mut buffer).await {
            self.0.seen.lock().unwrap().push(seen.clone());
            self.0.news.notify_waiters();
            for act in (self.0.script)(&seen, self) {
                match act {
                    Act::Raw(bytes) => {
                        if stream.write_all(&bytes).await.is_err() {
                            return;
                        }
                    }
                    Act::Answered(id) => {
                        let is_it = |seen: &Seen| {
                            seen.at("/id") == id.as_str() && seen.at("/method").is_null()
                        };
                        self.until(|mock| mock.seen().iter().any(is_it)).await;
                    }
                    Act::Met(is_it) => self.until(|mock| mock.seen().iter().any(is_it)).await,
                    Act::Hang => {
                        let mut end = [0; 64];
                        while matches!(stream.read(&mut end).await, Ok(1..)) {}
                        return;
                    }
                    Act::Close => return,
                    Act::Reset => {
                        let _ = stream.set_zero_linger();
                        return;
                    }
                }
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    loop {
        if let Some((seen, used)) = parse(buffer) {
            buffer.drain(..used);
            return Some(seen);
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn parse(buffer: &[u8]) -> Option<(Seen, usize)> {
    let end = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
    let body = buffer.get(end..end + length)?;
    let body = String::from_utf8_lossy(body).into_owned();
    Some((Seen { method, path, headers, body }, end + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Posts a body over a connection of its own, and leaves that open.
    async fn post(mock: &Mock, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(mock.address()).await.unwrap();
        let head = format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn a_script_goes_on_when_what_it_waits_for_has_come() {
        let mock = Mock::start(|seen, _| match seen.at("/method").as_str() {
            Some("wait") => {
                let go = |seen: &Seen| seen.at("/method") == "go";
                vec![Act::Answered("q".into()), Act::raw("1"), Act::Met(go), Act::raw("2")]
            }
            _ => vec![Act::accepted()],
        })
        .await;
        let mut waiting = post(&mock, r#"{"id":1,"method":"wait"}"#).await;
        let _others = [
            post(&mock, r#"{"id":"q","method":"ping"}"#).await,
            post(&mock, r#"{"id":"p","result":{}}"#).await,
        ];
        mock.until(|mock| mock.seen().len() == 3).await;
        let mut none = [0; 1];
        assert!(waiting.try_read(&mut none).is_err(), "neither is the answer");
        let _answer = post(&mock, r#"{"id":"q","result":{}}"#).await;
        assert_eq!(waiting.read_u8().await.unwrap(), b'1');
        let _go = post(&mock, r#"{"method":"go"}"#).await;
        assert_eq!(waiting.read_u8().await.unwrap(), b'2');
    }
}
