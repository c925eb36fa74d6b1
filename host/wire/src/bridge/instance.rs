//! One running child: the relay between its lines and those who wait for them.
//!
//! One task reads, one writes. Reading never waits for anybody: what a client does not take
//! in time is lost, its answer never is. When the child ends, everybody who waits is told.

mod inbound;
pub(super) mod legacy;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use tidegate_model::Json;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::{Mutex as Turn, mpsc},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    rewrite,
    table::{Client, Entry, Full, Nature, Said, Table, Waiting},
};
use crate::{
    client::{
        PeerError,
        stdio::{Command, child::Child, lines},
    },
    json::{Limits, Raw, ViolationKind},
    mcp::{envelope::Request, method::Method, peek::Meta},
    stdio::{Decoder, Line},
};

/// Messages that may wait to be written to the child.
const QUEUE: usize = 64;
/// Messages beside the answer that may wait for one client.
const BESIDE: usize = 256;
/// Time for a message that no request waits for.
const ASIDE: Duration = Duration::from_secs(5);

/// A child and who waits for it.
#[derive(Debug)]
pub(super) struct Instance {
    name: String,
    child: Child,
    out: mpsc::Sender<Vec<u8>>,
    stop: CancellationToken,
    table: Mutex<Table>,
    junk: AtomicU64,
    /// The child's answer to the first `initialize`, once there was one.
    opened: Turn<Option<Json>>,
    initialized: AtomicBool,
}

/// A request, as it came.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    pub(super) text: Raw<'a>,
    pub(super) request: &'a Request<'a>,
    pub(super) client: Client,
    /// Whether something beside the answer can be sent.
    pub(super) streams: bool,
}

/// A request under way. Dropping it tells the child, where the era says so.
#[derive(Debug)]
pub(super) struct Conversation {
    instance: Arc<Instance>,
    id: u64,
    said: mpsc::Receiver<Said>,
    /// Whether losing it cancels the request.
    cancels: bool,
    over: bool,
}

impl Instance {
    /// Starts a child in a process group of its own.
    pub(super) fn start(
        command: &Command,
        name: &str,
        answer_limit: usize,
    ) -> Result<Arc<Self>, PeerError> {
        let (child, stdin, stdout) = Child::spawn(command, name)?;
        let stop = child.stopping();
        let (out, queue) = mpsc::channel(QUEUE);
        let instance = Arc::new(Self {
            name: name.to_owned(),
            child,
            out,
            stop: stop.clone(),
            table: Mutex::default(),
            junk: AtomicU64::new(0),
            opened: Turn::new(None),
            initialized: AtomicBool::new(false),
        });
        tokio::spawn(lines::write(stdin, queue, stop.clone()));
        tokio::spawn(read(stdout, Arc::clone(&instance), answer_limit, stop));
        Ok(instance)
    }

    /// Hands a request to the child. Waits only while the child does not read.
    pub(super) async fn ask(self: &Arc<Self>, asking: Asking<'_>) -> Result<Conversation, Full> {
        let meta = Meta::of(asking.request.params);
        let is_legacy = matches!(asking.client, Client::Session(_));
        let token = meta.progress_token.map(Raw::to_json);
        let has_token = token.is_some();
        let mut conversation = self.enter(Entry {
            nature: nature(&asking.request.method),
            id: asking.request.id.into_owned(),
            token,
            streams: asking.streams,
            logs: is_legacy || meta.log_level.is_some(),
            client: asking.client,
            waiting: None,
            until: None,
        })?;
        conversation.cancels = !is_legacy;
        let message = rewrite::request(asking.text, conversation.id, has_token);
        self.send(message).await?;
        Ok(conversation)
    }

    /// Passes on a message that has no answer, as it is.
    pub(super) async fn pass(&self, message: Raw<'_>) -> Result<(), Full> {
        self.send(message.as_str().as_bytes().to_vec()).await
    }

    /// Whether the child has ended, or closed its output.
    pub(super) fn is_closed(&self) -> bool {
        self.table().is_closed()
    }

    /// How it ended, once it has.
    pub(super) fn ended(&self) -> Option<String> {
        self.child.ended()
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.pid()
    }

    /// Lines that were no messages.
    pub(super) fn junk(&self) -> u64 {
        self.junk.load(Ordering::Relaxed)
    }

    /// Sessions and requests under way.
    pub(super) fn load(&self) -> (usize, usize) {
        self.table().load()
    }

    /// Ends the streams of sessions and listen requests.
    pub(super) fn end_streams(&self) {
        self.table().end_streams();
    }

    /// Closes the child's stdin; it is killed if that does not end it.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until the process is gone.
    pub(super) async fn gone(&self) {
        self.child.gone().await;
    }

    fn enter(self: &Arc<Self>, mut entry: Entry) -> Result<Conversation, Full> {
        let (sender, said) = mpsc::channel(BESIDE + 1);
        let beside = sender.downgrade();
        // There is room: nobody else has the sender.
        let answer = sender.try_reserve_owned().map_err(|_| Full::Crowded)?;
        entry.waiting = Some(Waiting { beside, answer });
        let id = self.table().enter(entry)?;
        Ok(Conversation { instance: Arc::clone(self), id, said, cancels: true, over: false })
    }

    async fn send(&self, message: Vec<u8>) -> Result<(), Full> {
        self.out.send(message).await.map_err(|_| Full::Closed)
    }

    /// Sends what nobody waits for; dropped where the child does not read.
    fn aside(&self, message: Vec<u8>, what: &str) {
        if self.out.try_send(message).is_err() {
            tracing::debug!(connector = self.name, what, "the server could not be told");
        }
    }

    fn count_junk(&self, what: &dyn std::fmt::Display) {
        if self.junk.fetch_add(1, Ordering::Relaxed) < 10 {
            tracing::warn!(connector = self.name, %what, "the server sent no valid message");
        }
    }

    /// Nobody waits for a request any more.
    fn abandon(&self, id: u64, cancelled: bool) {
        let Some(questions) = self.table().abandon(id, cancelled) else { return };
        if cancelled {
            self.aside(rewrite::cancelled(id), "that a request is cancelled");
        }
        for question in questions {
            let code = crate::mcp::code::INTERNAL_ERROR;
            let reply = rewrite::refusal(question.borrow(), code, "the client is gone");
            self.aside(reply, "that the client of a question is gone");
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Conversation {
    /// What the child says next; `None` when it has ended, or the request was cancelled.
    pub(super) async fn next(&mut self) -> Option<Said> {
        let said = self.said.recv().await;
        self.over = !matches!(said, Some(Said::Beside(_)));
        said
    }

    /// [`Conversation::next`] for those who poll.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Said>> {
        let said = std::task::ready!(self.said.poll_recv(cx));
        self.over = !matches!(said, Some(Said::Beside(_)));
        std::task::Poll::Ready(said)
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        if !self.over {
            self.instance.abandon(self.id, self.cancels);
        }
    }
}

fn nature(method: &str) -> Nature {
    match Method::parse(method) {
        Some(Method::Listen) => Nature::Listen,
        Some(
            Method::Initialize
            | Method::Ping
            | Method::Discover
            | Method::ListTools
            | Method::ListPrompts
            | Method::ListResources
            | Method::ListResourceTemplates
            | Method::SubscribeResource
            | Method::UnsubscribeResource
            | Method::SetLogLevel,
        ) => Nature::Aside,
        _ => Nature::Call,
    }
}

async fn read(
    mut reader: impl AsyncRead + Unpin,
    instance: Arc<Instance>,
    limit: usize,
    stop: CancellationToken,
) {
    let mut decoder = Decoder::new(Limits { bytes: limit, string: limit, ..Limits::RESPONSE });
    let mut chunk = BytesMut::with_capacity(64 * 1024);
    let mut lines = Vec::new();
    loop {
        let read = tokio::select! {
            read = reader.read_buf(&mut chunk) => read,
            () = stop.cancelled() => break,
        };
        if !matches!(read, Ok(1..)) {
            break;
        }
        decoder.feed(&chunk, &mut lines);
        chunk.clear();
        lines.drain(..).for_each(|line| match line {
            Line::Message(message) => instance.take(&message),
            Line::Garbage(garbage) => {
                instance.count_junk(&garbage);
                if garbage.violation.kind == ViolationKind::TooLarge
                    && let Some(entry) = instance.table().leave_only()
                {
                    entry.finish(Said::TooLarge);
                }
            }
        });
    }
    // How it ended is what those who wait are told; it is known a moment after its output ends.
    stop.cancel();
    drop(timeout(ASIDE, instance.child.gone()).await);
    instance.table().close();
}
