//! A server over HTTP with server sent events whose every move is the test's.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
};

/// What arrives at it, in two queues.
pub(super) struct Server {
    pub(super) url: String,
    gets: mpsc::UnboundedReceiver<Stream>,
    posts: mpsc::UnboundedReceiver<Posted>,
}

/// A GET; whatever is written goes back.
pub(super) struct Stream {
    pub(super) head: String,
    socket: TcpStream,
}

/// A POST that waits for its status.
pub(super) struct Posted {
    pub(super) head: String,
    pub(super) body: Value,
    reply: oneshot::Sender<u16>,
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/base/sse", listener.local_addr().unwrap());
        let (get, gets) = mpsc::unbounded_channel();
        let (post, posts) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, get.clone(), post.clone()));
            }
        });
        Self { url, gets, posts }
    }

    pub(super) async fn get(&mut self) -> Stream {
        self.gets.recv().await.unwrap()
    }

    /// The next message that was posted; it still waits for its status.
    pub(super) async fn posted(&mut self) -> Posted {
        self.posts.recv().await.unwrap()
    }

    /// The next message that was posted, taken at once.
    pub(super) async fn taken(&mut self) -> Value {
        let posted = self.posted().await;
        posted.reply.send(202).unwrap();
        posted.body
    }

    /// A whole set-up; the answer to `initialize` says that the server is called `name`.
    pub(super) async fn session(&mut self, name: &str, capabilities: Value) -> Stream {
        let mut stream = self.get().await;
        stream.open().await;
        stream.event("endpoint", &format!("/messages?s={name}")).await;
        let initialize = self.taken().await;
        assert_eq!(initialize["method"], "initialize");
        let result = json!({
            "protocolVersion": "2024-11-05",
            "capabilities": capabilities,
            "serverInfo": {"name": name, "version": "1"},
        });
        stream.answer(&initialize, result).await;
        assert_eq!(self.taken().await["method"], "notifications/initialized");
        stream
    }
}

impl Stream {
    pub(super) async fn write(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).await.unwrap();
    }

    /// Writes to one who may have closed it by then.
    pub(super) async fn write_if_open(&mut self, text: &str) {
        let _ = self.socket.write_all(text.as_bytes()).await;
    }

    pub(super) async fn open(&mut self) {
        self.write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n")
            .await;
    }

    pub(super) async fn event(&mut self, name: &str, data: &str) {
        self.write(&format!(": keep-alive\n\nevent: {name}\ndata: {data}\n\n")).await;
    }

    pub(super) async fn say(&mut self, message: &Value) {
        self.event("message", &message.to_string()).await;
    }

    pub(super) async fn answer(&mut self, request: &Value, result: Value) {
        self.say(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result})).await;
    }

    /// Waits until the other side has closed it.
    pub(super) async fn gone(&mut self) {
        let mut rest = [0; 64];
        while matches!(self.socket.read(&mut rest).await, Ok(1..)) {}
    }
}

impl Posted {
    pub(super) fn status(self, status: u16) -> Value {
        self.reply.send(status).unwrap();
        self.body
    }

    /// Waits until nobody wants its status any more.
    pub(super) async fn abandoned(mut self) {
        self.reply.closed().await;
    }
}

async fn serve(
    mut socket: TcpStream,
    get: mpsc::UnboundedSender<Stream>,
    post: mpsc::UnboundedSender<Posted>,
) {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if !matches!(socket.read_buf(&mut buffer).await, Ok(1..)) {
                return;
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        if head.starts_with("get ") {
            get.send(Stream { head, socket }).ok();
            return;
        }
        let length =
            head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let length: usize = length.unwrap().parse().unwrap();
        while buffer.len() < end + length {
            if !matches!(socket.read_buf(&mut buffer).await, Ok(1..)) {
                return;
            }
        }
        let body = serde_json::from_slice(&buffer[end..end + length]).unwrap();
        buffer.drain(..end + length);
        let (reply, status) = oneshot::channel();
        post.send(Posted { head, body, reply }).ok();
        let mut nothing = [0; 1];
        let status = tokio::select! {
            status = status => status,
            // Nothing else comes before the status: this is the end of the connection.
            _ = socket.peek(&mut nothing) => return,
        };
        let Ok(status) = status else { return };
        let reply = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
        if socket.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}
