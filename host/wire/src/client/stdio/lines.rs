//! Requests and answers over two streams of lines.
//!
//! Two tasks own the streams; everybody else meets them through a bounded queue and a table
//! of those who wait. An answer goes to the one whose id it bears, or to nobody.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::BytesMut;
use tidegate_model::Answer;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{mpsc, oneshot, watch},
};
use tokio_util::sync::CancellationToken;

use super::StdioSettings;
use crate::{
    client::{
        Exchange, Notification, Outgoing, PeerError, handshake,
        inbound::{self, Inbound},
    },
    json::{Limits, Raw, ViolationKind},
    mcp::revision::Revision,
    stdio::{Decoder, Line, encode},
};

/// Messages that may wait to be written.
const QUEUE: usize = 64;

#[derive(Debug)]
pub(super) struct Lines {
    name: String,
    limit: usize,
    out: mpsc::Sender<Vec<u8>>,
    table: Mutex<Table>,
    next_id: AtomicU64,
    junk: AtomicU64,
    changes: watch::Sender<u64>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct Table {
    closed: bool,
    waiting: HashMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    answer: oneshot::Sender<Result<Answer, PeerError>>,
    exchange: Option<Exchange>,
}

impl Lines {
    /// Takes the streams over. `stop` ends both tasks, and is set when either stream ends.
    pub(super) fn start(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
        settings: &StdioSettings,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let (out, queue) = mpsc::channel(QUEUE);
        let lines = Arc::new(Self {
            name: settings.name.clone(),
            limit: settings.answer_limit,
            out,
            table: Mutex::default(),
            next_id: AtomicU64::new(1),
            junk: AtomicU64::new(0),
            changes: watch::Sender::new(0),
            stop,
        });
        tokio::spawn(write(writer, queue, lines.stop.clone()));
        tokio::spawn(Arc::clone(&lines).read(reader));
        lines
    }

    /// Sends a request and waits for its answer. When dropped before, the server is told.
    pub(super) async fn ask(
        self: &Arc<Self>,
        outgoing: &Outgoing<'_>,
        revision: Revision,
    ) -> Result<Answer, PeerError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        {
            let mut table = self.table();
            if table.closed {
                return Err(PeerError::Closed);
            }
            let exchange = outgoing.exchange.cloned();
            table.waiting.insert(id, Waiting { answer, exchange });
        }
        let mut place = Place { lines: self, id, sent: false };
        self.tell(outgoing.write(id, revision)).await?;
        place.sent = true;
        let answer = answered.await.map_err(|_| PeerError::Closed)?;
        place.sent = false;
        answer
    }

    /// Sends a message that has no answer; waits while the queue is full.
    pub(super) async fn tell(&self, message: Vec<u8>) -> Result<(), PeerError> {
        self.out.send(framed(&message)).await.map_err(|_| PeerError::Closed)
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.table().closed
    }

    pub(super) fn junk(&self) -> u64 {
        self.junk.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(self: Arc<Self>, mut reader: impl AsyncRead + Unpin) {
        let limits = Limits { bytes: self.limit, string: self.limit, ..Limits::RESPONSE };
        let mut decoder = Decoder::new(limits);
        let mut chunk = BytesMut::with_capacity(64 * 1024);
        let mut lines = Vec::new();
        loop {
            let read = tokio::select! {
                read = reader.read_buf(&mut chunk) => read,
                () = self.stop.cancelled() => break,
            };
            if !matches!(read, Ok(1..)) {
                break;
            }
            decoder.feed(&chunk, &mut lines);
            chunk.clear();
            lines.drain(..).for_each(|line| self.take(line));
        }
        self.stop.cancel();
        let left = {
            let mut table = self.table();
            table.closed = true;
            std::mem::take(&mut table.waiting)
        };
        for waiting in left.into_values() {
            drop(waiting.answer.send(Err(PeerError::Closed)));
        }
    }

    fn take(&self, line: Line) {
        let message = match line {
            Line::Message(message) => message,
            Line::Garbage(garbage) => {
                self.count_junk(&garbage);
                if garbage.violation.kind == ViolationKind::TooLarge {
                    self.fail_the_only_one();
                }
                return;
            }
        };
        match inbound::sort(&message) {
            Ok(Inbound::Answer(Some(id), answer)) => {
                let waiting = self.table().waiting.remove(&id);
                match waiting {
                    Some(waiting) => drop(waiting.answer.send(Ok(answer))),
                    None => {
                        tracing::debug!(connector = self.name, id, "nobody waits for an answer")
                    }
                }
            }
            Ok(Inbound::Notification(note)) => self.notify(note),
            Ok(Inbound::Question(asked)) => {
                // A server that asks and does not read gets no reply: the reader never waits.
                let answer = inbound::own_answer(&asked.method);
                let reply = framed(&inbound::response(&asked.id, &answer));
                if self.out.try_send(reply).is_err() {
                    tracing::debug!(connector = self.name, asked.method, "not answered");
                }
            }
            Ok(Inbound::Answer(None, _)) => self.count_junk(&"an answer without an id of ours"),
            Err(fault) => self.count_junk(&fault),
        }
    }

    fn notify(&self, note: Notification) {
        if inbound::is_list_change(&note) {
            self.changes.send_modify(|count| *count += 1);
            return;
        }
        let Some(token) = inbound::progress_token(&note) else { return };
        if let Some(exchange) =
            self.table().waiting.get(&token).and_then(|waiting| waiting.exchange.as_ref())
        {
            exchange.tell(note);
        }
    }

    /// An answer beyond the limit has no id that could be read; with only one request under
    /// way it can only be that one's.
    fn fail_the_only_one(&self) {
        let mut table = self.table();
        if table.waiting.len() == 1 {
            for (_, waiting) in table.waiting.drain() {
                drop(waiting.answer.send(Err(PeerError::TooLarge { limit: self.limit })));
            }
        }
    }

    fn count_junk(&self, what: &dyn std::fmt::Display) {
        let before = self.junk.fetch_add(1, Ordering::Relaxed);
        if before < 10 {
            tracing::warn!(connector = self.name, %what, "a line on stdout is no message");
        }
    }
}

/// The place of one who waits, given up on drop.
struct Place<'a> {
    lines: &'a Lines,
    id: u64,
    /// Whether the server knows of the request and has not answered it.
    sent: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let was_waiting = self.lines.table().waiting.remove(&self.id).is_some();
        if self.sent && was_waiting {
            let message = framed(&handshake::cancelled(self.id));
            if self.lines.out.try_send(message).is_err() {
                tracing::debug!(connector = self.lines.name, "a cancellation could not be sent");
            }
        }
    }
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Vec<u8>>,
    stop: CancellationToken,
) {
    loop {
        let message = tokio::select! {
            message = queue.recv() => message,
            () = stop.cancelled() => None,
        };
        let Some(mut message) = message else { return };
        // What else has queued up goes out with one system call.
        while let Ok(more) = queue.try_recv() {
            message.extend_from_slice(&more);
            if message.len() > 64 * 1024 {
                break;
            }
        }
        let written = tokio::select! {
            written = async {
                writer.write_all(&message).await?;
                writer.flush().await
            } => written,
            () = stop.cancelled() => return,
        };
        if written.is_err() {
            stop.cancel();
            return;
        }
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(message.len() + 1);
    encode(&mut line, Raw::from_checked(std::str::from_utf8(message).unwrap_or_default()));
    line
}
