//! The scripted server over HTTP+SSE: one stream for all that it says, posts for the rest.

use std::collections::HashMap;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use super::*;

/// Everything that one server has open.
struct Open {
    server: Server,
    streams: HashMap<u32, (Later, UnboundedSender<String>)>,
    next: u32,
}

/// Serves it for as long as the test runs; the URL of its stream.
pub(in super::super) async fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/sse", listener.local_addr().unwrap());
    let server = Server::new(Speaks::Legacy);
    let open = Arc::new(Mutex::new(Open { server, streams: HashMap::new(), next: 1 }));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, Arc::clone(&open)));
        }
    });
    url
}

async fn connection(stream: TcpStream, open: Arc<Mutex<Open>>) {
    let mut stream = BufReader::new(stream);
    while let Some((line, body)) = request(&mut stream).await {
        let reply = if line.starts_with("GET /sse ") {
            let (says, said) = unbounded_channel();
            let at = open.lock().unwrap().open(says);
            return tell(stream.into_inner(), at, said).await;
        } else if let Some(at) = line.strip_prefix("POST /post/") {
            let at = at.split(' ').next().unwrap().parse().unwrap();
            if open.lock().unwrap().take(at, &body) { "202 Accepted" } else { "404 Not Found" }
        } else {
            // The stream's URL takes no messages.
            "405 Method Not Allowed"
        };
        let reply = format!("HTTP/1.1 {reply}\r\ncontent-length: 0\r\n\r\n");
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// One stream, from its endpoint to its end.
async fn tell(mut stream: TcpStream, at: u32, mut said: UnboundedReceiver<String>) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let first = format!("{head}event: endpoint\ndata: /post/{at}\n\n");
    if stream.write_all(first.as_bytes()).await.is_err() {
        return;
    }
    while let Some(text) = said.recv().await {
        let event = format!("event: message\ndata: {text}\n\n");
        if stream.write_all(event.as_bytes()).await.is_err() {
            return;
        }
    }
}

impl Open {
    fn open(&mut self, says: UnboundedSender<String>) -> u32 {
        let at = self.next;
        self.next += 1;
        self.streams.insert(at, (Later::default(), says));
        at
    }

    /// Whether there is such a stream.
    fn take(&mut self, at: u32, body: &str) -> bool {
        let Some((later, says)) = self.streams.get_mut(&at) else { return false };
        let message: Value = serde_json::from_str(body).unwrap();
        let steps = self.server.take(&message);
        for step in later.now(&message, steps) {
            match step {
                // That nobody reads any more shows when the next message is posted.
                Step::Say(message) => drop(says.send(message.to_string())),
                Step::Junk(text) => drop(says.send(text)),
                Step::Die => {
                    self.streams.remove(&at);
                    return true;
                }
                Step::Hang | Step::Answered(_) => {}
            }
        }
        true
    }
}

/// The first line of a request, and its body.
async fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let (mut first, mut length) = (String::new(), 0);
    stream.read_line(&mut first).await.ok().filter(|read| *read > 0)?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((first, String::from_utf8(body).unwrap()))
}
