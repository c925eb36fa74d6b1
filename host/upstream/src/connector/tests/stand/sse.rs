//! The scripted server over HTTP+SSE: one stream for all that it says, posts for the rest.

use std::collections::HashMap;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use super::{server::Server as Script, *};

/// A running server; ends with the test.
pub(in super::super) struct Server {
    /// Where its stream is.
    pub(in super::super) url: String,
    open: Arc<Mutex<Open>>,
}

/// Everything that it has open.
struct Open {
    script: Script,
    streams: HashMap<u32, (Later, UnboundedSender<String>)>,
    next: u32,
    moved: bool,
    refused: usize,
}

impl Server {
    pub(in super::super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/sse", listener.local_addr().unwrap());
        let (script, streams) = (Script::new(Speaks::Legacy), HashMap::new());
        let open = Open { script, streams, next: 1, moved: false, refused: 0 };
        let open = Arc::new(Mutex::new(open));
        let shared = Arc::clone(&open);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, Arc::clone(&shared)));
            }
        });
        Self { url, open }
    }

    /// From now on it speaks Streamable HTTP at the same URL.
    pub(in super::super) fn move_on(&self) {
        let mut open = self.open.lock().unwrap();
        open.moved = true;
        open.streams.clear();
    }

    /// Messages to the URL of the stream that were refused.
    pub(in super::super) fn refused(&self) -> usize {
        self.open.lock().unwrap().refused
    }
}

async fn connection(stream: TcpStream, open: Arc<Mutex<Open>>) {
    let mut stream = BufReader::new(stream);
    while let Some((line, body)) = request(&mut stream).await {
        let moved = open.lock().unwrap().moved;
        let reply = if line.starts_with("GET /sse ") && !moved {
            let (says, said) = unbounded_channel();
            let at = open.lock().unwrap().open(says);
            return tell(stream.into_inner(), at, said).await;
        } else if let Some(at) = line.strip_prefix("POST /post/") {
            let at = at.split(' ').next().unwrap().parse().unwrap();
            let taken = open.lock().unwrap().take(at, &body);
            head(if taken { "202 Accepted" } else { "404 Not Found" })
        } else if line.starts_with("POST /sse ") && moved {
            open.lock().unwrap().answer(&body)
        } else {
            open.lock().unwrap().refused += 1;
            head("405 Method Not Allowed")
        };
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn head(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")
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

    /// The answer of Streamable HTTP.
    fn answer(&mut self, body: &str) -> String {
        let message: Value = serde_json::from_str(body).unwrap();
        match self.script.take(&message).as_slice() {
            [Step::Say(answer)] => {
                let answer = answer.to_string();
                format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
                    answer.len()
                )
            }
            _ => head("202 Accepted"),
        }
    }

    /// Whether there is such a stream.
    fn take(&mut self, at: u32, body: &str) -> bool {
        let Some((later, says)) = self.streams.get_mut(&at) else { return false };
        let message: Value = serde_json::from_str(body).unwrap();
        let steps = self.script.take(&message);
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
