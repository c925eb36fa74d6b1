use futures_util::FutureExt;

use super::*;

/// The data of an event, and its id.
fn read(event: &Bytes) -> (String, String) {
    let text = std::str::from_utf8(event).unwrap();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no `{name}` in {text}")).to_owned()
    };
    (field("data: "), field("id: "))
}

fn ready(reader: &mut Reader) -> Vec<(String, String)> {
    std::iter::from_fn(|| reader.ready()).map(|event| read(&event)).collect()
}

fn data(reader: &mut Reader) -> Vec<String> {
    ready(reader).into_iter().map(|(data, _)| data).collect()
}

fn ended(reader: &mut Reader) -> bool {
    reader.next().now_or_never() == Some(None)
}

#[test]
fn what_is_put_comes_out_in_order_with_ids_of_its_own() {
    let streams = Streams::new(7);
    let (one, mut first) = streams.open();
    let (two, mut second) = streams.open();
    one.prime();
    one.put(b"a");
    two.put(b"b");
    one.put(b"c");
    let events = [ready(&mut first), ready(&mut second)].concat();
    let texts: Vec<_> = events.iter().map(|(data, _)| data.as_str()).collect();
    assert_eq!(texts, ["", "a", "c", "b"]);
    let ids: std::collections::HashSet<_> = events.iter().map(|(_, id)| id).collect();
    assert_eq!(ids.len(), 4, "{ids:?}");
    assert!(ids.iter().all(|id| id.bytes().all(|byte| byte.is_ascii_graphic())));
    assert!(!ended(&mut first));
    drop(one);
    assert!(ended(&mut first) && !ended(&mut second));
}

#[test]
fn the_first_event_is_empty_and_says_when_to_come_back() {
    let (writer, mut reader) = Streams::new(1).open();
    writer.prime();
    let event = reader.ready().unwrap();
    assert_eq!(event, "id: AAAAAAAAAAE.1.0\ndata: \nretry: 1000\n\n");
}

#[test]
fn a_stream_goes_on_after_the_event_that_was_seen_last() {
    let streams = Streams::new(1);
    let (writer, mut reader) = streams.open();
    let (other, mut of_other) = streams.open();
    for text in ["0", "1", "2"] {
        writer.put(text.as_bytes());
        other.put(b"other");
    }
    let seen = ready(&mut reader);
    drop((reader, ready(&mut of_other)));
    writer.put(b"3");
    for (last, (_, id)) in seen.iter().enumerate() {
        let mut again = streams.resume(id).unwrap();
        let expected: Vec<_> = (last + 1..=3).map(|n| n.to_string()).collect();
        assert_eq!(data(&mut again), expected, "after {id}");
    }
    // The end can be fetched as well.
    writer.put(b"4");
    drop(writer);
    let mut again = streams.resume(&seen[2].1).unwrap();
    assert_eq!(data(&mut again), ["3", "4"]);
    assert!(ended(&mut again));
    assert!(streams.again(1).is_none(), "it has ended");
}

#[test]
fn ids_that_are_none_of_this_session_resume_nothing() {
    let (streams, others) = (Streams::new(1), Streams::new(2));
    let (writer, mut reader) = streams.open();
    let (foreign, mut of_foreign) = others.open();
    writer.put(b"a");
    foreign.put(b"x");
    let (own, theirs) = (ready(&mut reader), ready(&mut of_foreign));
    writer.put(b"not sent yet");
    let (own, theirs) = (own[0].1.as_str(), theirs[0].1.as_str());
    let (stream, _) = own.rsplit_once('.').unwrap();
    let (mark, _) = stream.rsplit_once('.').unwrap();
    let bad = [
        theirs,
        "",
        ".",
        "..",
        "0",
        mark,
        stream,
        &format!("{stream}.1"),
        &format!("{stream}.-1"),
        &format!("{stream}.+0"),
        &format!("{stream}.00"),
        &format!("{stream}.{}", u64::MAX),
        &format!("{mark}.2.0"),
        &format!("{mark}.0.0"),
        &format!("x{own}"),
        &format!("{own} "),
    ];
    for id in bad {
        assert!(streams.resume(id).is_none(), "`{id}`");
    }
    // Nobody was moved by any of it.
    assert_eq!(data(&mut reader), ["not sent yet"]);
    assert!(streams.resume(own).is_some());
}

#[test]
fn a_later_connection_takes_over() {
    let streams = Streams::new(1);
    let (writer, mut first) = streams.open();
    writer.put(b"a");
    assert_eq!(data(&mut first), ["a"]);
    let mut second = streams.again(writer.number()).unwrap();
    writer.put(b"b");
    assert!(ended(&mut first));
    // That the first one goes is nothing to the second.
    drop(first);
    assert_eq!(data(&mut second), ["b"]);
    writer.put(b"c");
    assert_eq!(data(&mut second), ["c"]);
}

#[tokio::test]
async fn a_reader_waits_and_is_woken() {
    let (writer, mut reader) = Streams::new(1).open();
    let waiting = tokio::spawn(async move { (reader.next().await, reader.next().await) });
    tokio::task::yield_now().await;
    writer.put(b"late");
    tokio::task::yield_now().await;
    drop(writer);
    let (event, end) = waiting.await.unwrap();
    assert_eq!((read(&event.unwrap()).0.as_str(), end), ("late", None));
}

#[test]
fn what_waits_holds_the_writer_back() {
    let streams = Streams::new(1);
    let (writer, mut reader) = streams.open();
    let has_room = |writer: &Writer| writer.room().now_or_never().is_some();
    for _ in 0..EVENTS {
        assert!(has_room(&writer));
        writer.put(b"small");
    }
    assert!(!has_room(&writer));
    reader.ready().unwrap();
    assert!(has_room(&writer), "one was taken");
    data(&mut reader);
    // One event may be as large as it is, and then nothing more.
    writer.put(&vec![b'x'; 2 * BYTES]);
    assert!(!has_room(&writer));
    drop(reader);
    assert!(!has_room(&writer), "nobody reads, but somebody may come back");
    let mut reader = streams.again(1).unwrap();
    assert_eq!(data(&mut reader)[0].len(), 2 * BYTES);
    assert!(has_room(&writer));
    assert_eq!(streams.bytes(), 0, "what was sent is too large to be kept");
}

#[test]
fn what_falls_out_cannot_be_resumed() {
    let streams = Streams::new(1);
    let (writer, mut reader) = streams.open();
    let mut ids = Vec::new();
    for n in 0..EVENTS + 2 {
        writer.put(n.to_string().as_bytes());
        ids.extend(ready(&mut reader).into_iter().map(|(_, id)| id));
    }
    assert!(streams.resume(&ids[0]).is_none());
    let mut again = streams.resume(&ids[1]).unwrap();
    assert_eq!(data(&mut again).len(), EVENTS);
}

#[test]
fn a_session_keeps_so_much_and_no_more() {
    let streams = Streams::new(1);
    let mut open = Vec::new();
    for _ in 0..12 {
        let (writer, mut reader) = streams.open();
        writer.put(&vec![b'x'; BYTES / 2]);
        let id = ready(&mut reader)[0].1.clone();
        open.push((Some(writer), reader, id));
        assert!(streams.bytes() <= SESSION_BYTES);
    }
    // Of open streams what was sent goes first, from the oldest on.
    assert!(streams.again(1).is_some());
    drop(open);
    // Answers that nobody fetches push each other out.
    let mut ids = Vec::new();
    for _ in 0..12 {
        let (writer, mut reader) = streams.open();
        writer.put(b"seen");
        ids.push(ready(&mut reader)[0].1.clone());
        drop(reader);
        writer.put(&vec![b'x'; BYTES / 2]);
        drop(writer);
        assert!(streams.bytes() <= SESSION_BYTES, "{}", streams.bytes());
    }
    assert!(streams.resume(&ids[0]).is_none());
    let mut last = streams.resume(&ids[11]).unwrap();
    assert_eq!(data(&mut last)[0].len(), BYTES / 2);
    // An open stream cannot make others wait for ever: it may always have one event.
    let (writer, _reader) = streams.open();
    assert!(writer.room().now_or_never().is_some());
}

/// A stream whose connection was lost before this answer was put on it, and its last event.
fn left_behind(streams: &Streams, answer: usize) -> String {
    let (writer, mut reader) = streams.open();
    writer.put(b"seen");
    let id = ready(&mut reader)[0].1.clone();
    drop(reader);
    writer.put(&vec![b'x'; answer]);
    id
}

#[test]
fn an_answer_that_waits_outlives_what_was_sent() {
    let streams = Streams::new(1);
    let (replayed, mut reader) = streams.open();
    for _ in 0..4 {
        replayed.put(&[b'r'; BYTES / 5]);
    }
    let seen = ready(&mut reader);
    let waits = left_behind(&streams, BYTES);
    let (other, _reader) = streams.open();
    other.put(&vec![b'y'; SESSION_BYTES - BYTES / 2]);
    assert!(streams.resume(&seen[0].1).is_none(), "sent events go first");
    assert_eq!(data(&mut streams.resume(&waits).unwrap())[0].len(), BYTES);
}

#[test]
fn the_latest_answer_waits_however_large_it_is() {
    let streams = Streams::new(1);
    let earlier = left_behind(&streams, 1_000);
    let large = left_behind(&streams, SESSION_BYTES + 1_000);
    assert!(streams.resume(&earlier).is_none(), "there is no room for both");
    assert_eq!(data(&mut streams.resume(&large).unwrap())[0].len(), SESSION_BYTES + 1_000);
    assert!(streams.bytes() <= SESSION_BYTES, "it has been sent");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ended_is_kept_for_a_while() {
    let streams = Streams::new(1);
    let (writer, mut reader) = streams.open();
    writer.put(b"seen");
    let id = ready(&mut reader)[0].1.clone();
    drop(reader);
    tokio::time::advance(KEPT * 10).await;
    streams.sweep();
    assert!(streams.resume(&id).is_some(), "it is open");
    writer.put(b"answer");
    drop(writer);
    tokio::time::advance(KEPT / 2).await;
    streams.sweep();
    assert_eq!(data(&mut streams.resume(&id).unwrap()), ["answer"]);
    tokio::time::advance(KEPT).await;
    streams.sweep();
    assert!(streams.resume(&id).is_none());
    assert_eq!(streams.bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_deserted_when_nobody_comes_back() {
    let streams = Streams::new(1);
    let (writer, reader) = streams.open();
    let patience = Duration::from_secs(60);
    let number = writer.number();
    let waiting = tokio::spawn(async move {
        writer.deserted(patience).await;
        Instant::now()
    });
    tokio::time::sleep(patience * 2).await;
    drop(reader);
    tokio::time::sleep(patience / 2).await;
    let again = streams.again(number).unwrap();
    tokio::time::sleep(patience * 2).await;
    assert!(!waiting.is_finished());
    let left = Instant::now();
    drop(again);
    assert_eq!(waiting.await.unwrap() - left, patience);
}
