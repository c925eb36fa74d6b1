//! Two streams of lines as a channel: one task reads, one writes.

use bytes::BytesMut;
use std::sync::Arc;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

use super::StdioSettings;
use crate::{
    client::channel::{Channel, Out, Start},
    json::{Limits, Raw, ViolationKind},
    stdio::{Decoder, Line, encode},
};

/// Messages that may wait to be written.
const QUEUE: usize = 64;
/// What is written with one system call, about.
const PORTION: usize = 64 * 1024;

/// Takes the streams over. `stop` ends both tasks, and is set when either stream ends.
pub(super) fn start(
    reader: impl AsyncRead + Send + Unpin + 'static,
    writer: impl AsyncWrite + Send + Unpin + 'static,
    settings: &StdioSettings,
    stop: CancellationToken,
) -> Arc<Channel> {
    let (out, queue) = mpsc::channel(QUEUE);
    let channel = Channel::new(Start {
        name: settings.name.clone(),
        limit: settings.answer_limit,
        out: Out::Queue(out),
        changes: watch::Sender::new(0),
        stop: stop.clone(),
    });
    tokio::spawn(write(writer, queue, stop.clone()));
    tokio::spawn(read(reader, Arc::clone(&channel), settings.answer_limit, stop));
    channel
}

async fn read(
    mut reader: impl AsyncRead + Unpin,
    channel: Arc<Channel>,
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
        lines.drain(..).for_each(|line| take(&channel, line));
    }
    channel.close();
}

fn take(channel: &Arc<Channel>, line: Line) {
    match line {
        Line::Message(message) => channel.take(&message),
        Line::Garbage(garbage) => {
            channel.count_junk(&garbage);
            if garbage.violation.kind == ViolationKind::TooLarge {
                channel.take_too_large();
            }
        }
    }
}

/// Writes each message of the queue as one line, until `stop` is set or the stream ends.
pub(crate) async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Vec<u8>>,
    stop: CancellationToken,
) {
    let mut portion = Vec::new();
    loop {
        let message = tokio::select! {
            message = queue.recv() => message,
            () = stop.cancelled() => None,
        };
        let Some(message) = message else { return };
        portion.clear();
        frame(&mut portion, &message);
        // What else has queued up goes out with one system call.
        while portion.len() < PORTION
            && let Ok(more) = queue.try_recv()
        {
            frame(&mut portion, &more);
        }
        let written = tokio::select! {
            written = async {
                writer.write_all(&portion).await?;
                writer.flush().await
            } => written,
            () = stop.cancelled() => return,
        };
        if written.is_err() {
            stop.cancel();
            return;
        }
        // One large message does not keep its room for ever.
        portion.shrink_to(PORTION);
    }
}

fn frame(portion: &mut Vec<u8>, message: &[u8]) {
    encode(portion, Raw::from_checked(std::str::from_utf8(message).unwrap_or_default()));
}
