//! The body of an answer that is a stream of events.
//!
//! Pulled by the connection, so that a slow client holds back whoever writes; a comment now
//! and then keeps proxies from cutting a quiet stream. Shows what a session keeps, and holds
//! nothing: dropping the body (the client has gone) leaves everything where it is.

use std::{convert::Infallible, future::Future, pin::Pin, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use tidegate_wire::{
    client::Notification,
    json::Raw,
    mcp::{
        envelope,
        method::{Method, TASK_CHANGED},
        peek::key,
        splice::{self, Edit},
    },
    sse,
};

use super::mcp::Ended;
use crate::{
    call::hop::{self, Related},
    session::streams::Reader,
};

/// A call under way that ends in the JSON-RPC response to send.
pub(super) type Answering = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// How long a stream may stay silent.
pub(super) const QUIET: Duration = Duration::from_secs(15);

/// The body for one connection to a stream that a session keeps.
pub(super) fn kept(reader: Reader) -> Body {
    Body::from_stream(stream::unfold((reader, true), |(mut reader, is_first)| async move {
        let event = match reader.ready() {
            Some(event) => event,
            // The client learns at once that there is a stream.
            None if is_first => Bytes::from_static(sse::KEEP_ALIVE),
            None => match tokio::time::timeout(QUIET, reader.next()).await {
                Ok(event) => event?,
                Err(_) => Bytes::from_static(sse::KEEP_ALIVE),
            },
        };
        Some((Ok::<_, Infallible>(event), (reader, false)))
    }))
}

/// A notification of a server as the message for the client whose progress token this is, and
/// that knows the related task by that id. `None` for progress that it did not ask for, and
/// for news of a task, which come to whoever listens and by published ids.
pub(super) fn message(
    note: &Notification,
    token: Option<&str>,
    related: Related<'_>,
) -> Option<Vec<u8>> {
    if note.method == TASK_CHANGED {
        return None;
    }
    let params = hop::past(note.params.clone(), related);
    let params = Raw::from(&params);
    let mut message = Vec::with_capacity(note.params.len() + 128);
    if note.method == Method::Progress.name() {
        let edits = [Edit::set(key::PROGRESS_TOKEN, Raw::from_checked(token?))];
        let params = splice::object(params, &edits).ok()?;
        let params = Raw::from_checked(params.as_str());
        envelope::notification(&mut message, &note.method, Some(params));
    } else {
        envelope::notification(&mut message, &note.method, Some(params));
    }
    Some(message)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::time::Instant;

    use super::*;
    use crate::session::streams::Streams;

    #[test]
    fn a_client_is_told_nothing_of_the_servers_own_hop() {
        let told = |method: &str, params: &str, related| {
            let params = tidegate_model::Json::parse(params.to_owned()).unwrap();
            let note = Notification { method: method.to_owned(), params };
            let text = message(&note, Some("7"), related)?;
            Some(String::from_utf8(text).unwrap())
        };
        let meta = r#"{"_meta":{"io.modelcontextprotocol/serverInfo":{},"io.modelcontextprotocol/related-task":{"taskId":"bare"},"x":1},"progressToken":3,"progress":1}"#;
        assert_eq!(
            told(Method::Progress.name(), meta, Related::Unknown).unwrap(),
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"_meta":{"x":1},"progressToken":7,"progress":1}}"#
        );
        let log = told(Method::LogMessage.name(), meta, Related::Is("sealed")).unwrap();
        assert!(log.contains(r#""taskId":"sealed"},"x":1"#), "{log}");
        assert_eq!(told(TASK_CHANGED, r#"{"taskId":"bare"}"#, Related::Unknown), None);
        let own = r#"{"_meta": {"vendor/x":1.0}}"#;
        assert!(told("vendor/news", own, Related::Unknown).unwrap().contains(own));
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_says_that_it_lives() {
        let (writer, reader) = Streams::new(1).open();
        let mut body = kept(reader);
        let begin = Instant::now();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(frame, sse::KEEP_ALIVE);
            seen.push(begin.elapsed());
        }
        assert_eq!(seen, [Duration::ZERO, QUIET, QUIET * 2]);
        writer.put(b"{}");
        drop(writer);
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(frame.ends_with(b"data: {}\n\n"), "{frame:?}");
        assert!(body.frame().await.is_none());
    }
}
