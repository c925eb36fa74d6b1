//! A web site that misbehaves as told, and a door inside that nobody may knock at.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What a site does with a request, one after another.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Writes these bytes; `HERE` stands for the URL that was asked for.
    Write(String),
    /// Writes these bytes until the other side has gone.
    Flood(String),
    /// A byte now and then, until the other side has gone.
    Drip,
    /// Nothing more until the other side has gone.
    Hang,
}

type Script = dyn Fn(&str) -> Vec<Act> + Send + Sync;

/// A plain site on loopback. Ends when dropped.
pub(super) struct Site {
    /// Where it listens.
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    script: Box<Script>,
    document: Mutex<Option<Value>>,
    seen: Mutex<Vec<String>>,
    written: AtomicUsize,
}

/// How often somebody has connected where nobody should.
#[derive(Debug, Clone, Default)]
pub(super) struct Knocks(Arc<AtomicUsize>);

impl Knocks {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A door at an address of this machine that no setting allows.
pub(super) async fn sentinel() -> (SocketAddr, Knocks) {
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).await.unwrap();
    let (address, knocks) = (listener.local_addr().unwrap(), Knocks::default());
    let count = knocks.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.0.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    (address, knocks)
}

impl Act {
    pub(super) fn write(text: &str) -> Self {
        Self::Write(text.to_owned())
    }

    /// A whole response, and the end of the connection.
    pub(super) fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<Self> {
        let mut head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        vec![Self::Write(format!("{head}\r\n{body}"))]
    }
}

impl Site {
    /// Answers every path by what `script` makes of it.
    pub(super) async fn start(script: impl Fn(&str) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            document: Mutex::default(),
            seen: Mutex::default(),
            written: AtomicUsize::new(0),
        });
        let of_all = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&of_all);
                tokio::spawn(async move { shared.answer(stream).await });
            }
        });
        Self { address, shared, task }
    }

    /// Serves this document from now on, whatever is asked for.
    pub(super) fn serve(&self, document: Value) {
        *self.shared.document.lock().unwrap() = Some(document);
    }

    /// The paths that were asked for.
    pub(super) fn seen(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How many bytes went out.
    pub(super) fn written(&self) -> usize {
        self.shared.written.load(Ordering::Relaxed)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// One request, then the end.
    async fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let host = head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("host: ").map(str::to_owned));
        let url = format!("https://{}{path}", host.unwrap_or_default());
        self.seen.lock().unwrap().push(path.clone());
        let document = self.document.lock().unwrap().clone();
        let acts = match document {
            Some(document) => {
                Act::reply(200, &[("content-type", "application/json")], &document.to_string())
            }
            None => (self.script)(&path),
        };
        for act in acts {
            self.perform(&mut stream, act, &url).await?;
        }
        stream.shutdown().await.ok()
    }

    async fn perform(&self, stream: &mut TcpStream, act: Act, url: &str) -> Option<()> {
        match act {
            Act::Write(text) => self.write(stream, text.replace("HERE", url).as_bytes()).await,
            Act::Flood(text) => loop {
                self.write(stream, text.as_bytes()).await?;
            },
            Act::Drip => loop {
                self.write(stream, b" ").await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            },
            Act::Hang => {
                let mut rest = [0; 64];
                while let Ok(1..) = stream.read(&mut rest).await {}
                None
            }
        }
    }

    async fn write(&self, stream: &mut TcpStream, bytes: &[u8]) -> Option<()> {
        stream.write_all(bytes).await.ok()?;
        self.written.fetch_add(bytes.len(), Ordering::Relaxed);
        Some(())
    }
}
