//! The event streams of one session, kept so that a client can go on where it was cut off.
//!
//! A [`Writer`] puts messages on a stream, a [`Reader`] takes them off for one connection.
//! What was sent stays for a while; what was not waits, and holds the writer back. Beyond
//! bounds the oldest that was sent goes first, and answers nobody has come for last. Knows no HTTP and not what messages say.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use tidegate_wire::sse;
use tokio::{sync::Notify, time::Instant};

/// Most events that one stream keeps, and that may wait on it.
const EVENTS: usize = 256;
/// Most bytes that one stream keeps, and that may wait on it.
const BYTES: usize = 1 << 20;
/// Most bytes that a session keeps on all its streams.
const SESSION_BYTES: usize = 4 << 20;
/// How long a stream that has come to its end can be read again.
const KEPT: Duration = Duration::from_secs(60);
/// How soon a client should come back for a stream that was cut off, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// All streams of one session.
#[derive(Debug, Clone)]
pub(crate) struct Streams(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// What every event id of this session begins with, and none of another.
    mark: Box<str>,
    state: Mutex<State>,
    /// Told of every change.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// How many streams there were.
    opened: u64,
    /// How many connections there were.
    connections: u64,
    /// What all streams keep.
    bytes: usize,
    streams: BTreeMap<u64, Stream>,
}

/// One stream: its events from `first` on, of which those from `next` on were not sent yet.
#[derive(Debug)]
struct Stream {
    events: VecDeque<Bytes>,
    first: u64,
    next: u64,
    bytes: usize,
    /// The connection that may read.
    reader: Option<u64>,
    /// Since when nobody reads, or nothing more comes.
    quiet: Instant,
    ended: bool,
}

/// Puts messages on one stream, which ends with this value.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    number: u64,
}

/// One connection's hold on a stream; a later one takes it away.
#[derive(Debug)]
pub(crate) struct Reader {
    shared: Arc<Shared>,
    number: u64,
    connection: u64,
}

impl Streams {
    /// No streams yet. `salt` must not be another session's.
    pub(crate) fn new(salt: u64) -> Self {
        let mark = URL_SAFE_NO_PAD.encode(salt.to_be_bytes()).into();
        Self(Arc::new(Shared { mark, state: Mutex::default(), changed: Notify::new() }))
    }

    /// Opens a stream, and the first connection to it.
    pub(crate) fn open(&self) -> (Writer, Reader) {
        let mut state = self.0.lock();
        state.opened += 1;
        let number = state.opened;
        state.streams.insert(number, Stream::new());
        drop(state);
        let writer = Writer { shared: Arc::clone(&self.0), number };
        let reader = self.0.attach(number);
        (writer, reader)
    }

    /// A connection to a stream that is open, in place of the one it had: what was not sent
    /// yet comes next.
    pub(crate) fn again(&self, number: u64) -> Option<Reader> {
        let is_open = self.0.lock().streams.get(&number).is_some_and(|stream| !stream.ended);
        is_open.then(|| self.0.attach(number))
    }

    /// A connection that goes on after the event with this id, on its stream. `None` where
    /// it is no event of this session, or one that is not kept any more.
    pub(crate) fn resume(&self, last: &str) -> Option<Reader> {
        let (number, event) = self.parse(last)?;
        let after = event.checked_add(1)?;
        {
            let mut state = self.0.lock();
            let stream = state.streams.get_mut(&number)?;
            // What was never sent is no event that a client could have seen last.
            if after < stream.first || event >= stream.next {
                return None;
            }
            stream.next = after;
        }
        Some(self.0.attach(number))
    }

    /// The number of the stream that an event id of this session names, kept or not.
    pub(crate) fn stream_of(&self, id: &str) -> Option<u64> {
        self.parse(id).map(|(number, _)| number)
    }

    /// The stream and the event in an id of this session, in the one spelling it has.
    fn parse(&self, id: &str) -> Option<(u64, u64)> {
        let (head, event) = id.rsplit_once('.')?;
        let (_, number) = head.rsplit_once('.')?;
        let (number, event) = (number.parse().ok()?, event.parse().ok()?);
        (self.0.id(number, event) == id).then_some((number, event))
    }

    /// Whether some connection reads.
    pub(crate) fn are_read(&self) -> bool {
        self.0.lock().streams.values().any(|stream| stream.reader.is_some())
    }

    /// Forgets streams that ended a while ago.
    pub(crate) fn sweep(&self) {
        let mut state = self.0.lock();
        let State { streams, bytes, .. } = &mut *state;
        streams.retain(|_, stream| {
            let keep = stream.reader.is_some() || !stream.ended || stream.quiet.elapsed() < KEPT;
            if !keep {
                *bytes -= stream.bytes;
            }
            keep
        });
    }

    /// What is kept, in bytes.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.0.lock().bytes
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn id(&self, stream: u64, event: u64) -> String {
        format!("{}.{stream}.{event}", self.mark)
    }

    fn attach(self: &Arc<Self>, number: u64) -> Reader {
        let mut state = self.lock();
        state.connections += 1;
        let connection = state.connections;
        if let Some(stream) = state.streams.get_mut(&number) {
            stream.reader = Some(connection);
        }
        drop(state);
        self.changed.notify_waiters();
        Reader { shared: Arc::clone(self), number, connection }
    }

    /// Acts on one stream, unless it is gone; then makes room and tells everybody.
    fn change(&self, number: u64, act: impl FnOnce(&mut Stream)) {
        let mut state = self.lock();
        let Some(stream) = state.streams.get_mut(&number) else { return };
        let before = stream.bytes;
        act(stream);
        stream.trim();
        let after = stream.bytes;
        state.bytes = state.bytes - before + after;
        state.relieve();
        drop(state);
        self.changed.notify_waiters();
    }

    /// Waits until `check` finds something.
    async fn until<T>(&self, mut check: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From now on no change is missed.
            changed.as_mut().enable();
            if let Some(found) = check(&mut self.lock()) {
                return found;
            }
            changed.await;
        }
    }
}

impl State {
    /// Keeps the session within its bound. What was sent goes first, from streams that have
    /// ended before others; then answers that wait for a client who may come back for them,
    /// oldest first. What is on its way to a connection counts, but takes no answer's place, and
    /// the latest answer stays however large it is.
    fn relieve(&mut self) {
        for left in [true, false] {
            for stream in self.streams.values_mut().filter(|stream| stream.is_left() == left) {
                while self.bytes > SESSION_BYTES && stream.first < stream.next {
                    self.bytes -= stream.drop_first();
                }
            }
        }
        if self.bytes <= SESSION_BYTES {
            return;
        }
        let waits = |stream: &Stream| stream.is_left() && stream.bytes > 0;
        let mut waiting: Vec<_> = self.streams.iter().filter(|(_, one)| waits(one)).collect();
        waiting.sort_by_key(|(_, one)| one.quiet);
        let mut bytes: usize = waiting.iter().map(|(_, one)| one.bytes).sum();
        waiting.pop();
        let mut gone = Vec::new();
        for (&number, stream) in waiting {
            if bytes <= SESSION_BYTES {
                break;
            }
            bytes -= stream.bytes;
            gone.push(number);
        }
        for number in gone {
            if let Some(stream) = self.streams.remove(&number) {
                self.bytes -= stream.bytes;
            }
        }
    }
}

impl Stream {
    fn new() -> Self {
        Self {
            events: VecDeque::new(),
            first: 0,
            next: 0,
            bytes: 0,
            reader: None,
            quiet: Instant::now(),
            ended: false,
        }
    }

    /// Whether it has ended and nobody reads what is left of it.
    fn is_left(&self) -> bool {
        self.ended && self.reader.is_none()
    }

    /// Events not sent yet.
    fn waiting(&self) -> impl Iterator<Item = &Bytes> {
        let sent = usize::try_from(self.next - self.first).unwrap_or(usize::MAX);
        self.events.iter().skip(sent)
    }

    fn push(&mut self, event: Bytes) {
        self.bytes += event.len();
        self.events.push_back(event);
    }

    fn drop_first(&mut self) -> usize {
        let bytes = self.events.pop_front().map_or(0, |event| event.len());
        self.first += 1;
        self.bytes -= bytes;
        bytes
    }

    /// Drops the oldest that were sent, beyond what a stream keeps.
    fn trim(&mut self) {
        while (self.events.len() > EVENTS || self.bytes > BYTES) && self.first < self.next {
            self.drop_first();
        }
    }

    fn has_room(&self, in_session: usize) -> bool {
        let (count, bytes) =
            self.waiting().fold((0, 0), |(count, sum), event| (count + 1, sum + event.len()));
        count == 0 || (count < EVENTS && bytes < BYTES && in_session < SESSION_BYTES)
    }
}

impl Writer {
    /// The stream's number in the session.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The empty event with which streams of newer clients begin: from then on they can be
    /// resumed. Says how soon.
    pub(crate) fn prime(&self) {
        self.event(b"", |text| {
            // Before the blank line that ends the event.
            text.truncate(text.len().saturating_sub(1));
            sse::encode_retry(text, RETRY_MS);
        });
    }

    /// Puts a message on the stream, whether there is room or not: [`Writer::room`] says so.
    pub(crate) fn put(&self, message: &[u8]) {
        self.event(message, |_| {});
    }

    /// Waits until a message may be put on the stream without holding too much.
    pub(crate) async fn room(&self) {
        let number = self.number;
        let has_room = move |state: &mut State| {
            let bytes = state.bytes;
            let stream = state.streams.get(&number);
            stream.is_none_or(|stream| stream.has_room(bytes)).then_some(())
        };
        self.shared.until(has_room).await;
    }

    /// Ends the stream and keeps nothing of it.
    pub(crate) fn forget(self) {
        let mut state = self.shared.lock();
        if let Some(stream) = state.streams.remove(&self.number) {
            state.bytes -= stream.bytes;
        }
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// Waits until nobody has read for that long.
    pub(crate) async fn deserted(&self, patience: Duration) {
        let number = self.number;
        loop {
            let since = |state: &mut State| match state.streams.get(&number) {
                Some(stream) if stream.reader.is_some() => None,
                Some(stream) => Some(stream.quiet),
                None => Some(Instant::now()),
            };
            let until = self.shared.until(since).await + patience;
            let taken = |state: &mut State| {
                let stream = state.streams.get(&number);
                stream.is_some_and(|stream| stream.reader.is_some()).then_some(())
            };
            if tokio::time::timeout_at(until, self.shared.until(taken)).await.is_err() {
                return;
            }
        }
    }

    fn event(&self, message: &[u8], finish: impl FnOnce(&mut Vec<u8>)) {
        self.shared.change(self.number, |stream| {
            let event = stream.first + stream.events.len() as u64;
            let mut text = Vec::with_capacity(message.len() + 64);
            let id = self.shared.id(self.number, event);
            // An id of ours has no line break, so it cannot be refused.
            if sse::encode(&mut text, None, Some(&id), message).is_ok() {
                finish(&mut text);
                stream.push(text.into());
            }
        });
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.change(self.number, |stream| {
            (stream.ended, stream.quiet) = (true, Instant::now());
        });
    }
}

impl Reader {
    /// The next event; `None` after the last, or when another connection has taken over.
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        let event = self.shared.until(|state| self.find(state)).await;
        // There is room now.
        self.shared.changed.notify_waiters();
        event
    }

    /// The next event, where there is one already.
    pub(crate) fn ready(&mut self) -> Option<Bytes> {
        let event = self.find(&mut self.shared.lock()).flatten();
        if event.is_some() {
            self.shared.changed.notify_waiters();
        }
        event
    }

    /// The next event, or `Some(None)` at the end; `None` where nothing is there yet.
    fn find(&self, state: &mut State) -> Option<Option<Bytes>> {
        let Some(stream) = state.streams.get_mut(&self.number) else { return Some(None) };
        if stream.reader != Some(self.connection) {
            return Some(None);
        }
        let Some(event) = stream.waiting().next().cloned() else {
            return stream.ended.then_some(None);
        };
        stream.next += 1;
        let before = stream.bytes;
        stream.trim();
        state.bytes = state.bytes - before + stream.bytes;
        Some(Some(event))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let connection = self.connection;
        self.shared.change(self.number, |stream| {
            if stream.reader == Some(connection) {
                (stream.reader, stream.quiet) = (None, Instant::now());
            }
        });
    }
}

#[cfg(test)]
mod tests;
