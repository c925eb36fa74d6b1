//! Streams, as tables and properties.

use proptest::prelude::*;

use super::*;

/// Each event, and the id as of its end.
fn decode(stream: &[u8]) -> Vec<(Event, Option<String>)> {
    let (mut decoder, mut all) = (Decoder::new(1 << 20), Vec::new());
    for byte in stream.chunks(1) {
        let mut events = Vec::new();
        decoder.feed(byte, &mut events).unwrap();
        let id = decoder.last_id().map(str::to_owned);
        all.extend(events.into_iter().map(|event| (event, id.clone())));
    }
    all
}

fn shown(stream: &str) -> Vec<String> {
    decode(stream.as_bytes())
        .iter()
        .map(|(event, id)| {
            let name = event.name.as_deref().unwrap_or("-");
            let id = id.as_deref().unwrap_or("-");
            format!("{name}|{id}|{}", String::from_utf8_lossy(&event.data))
        })
        .collect()
}

#[test]
fn streams() {
    let table: &[(&str, &[&str])] = &[
        ("", &[]),
        ("data: a\n\n", &["-|-|a"]),
        ("data: a\r\n\r\n", &["-|-|a"]),
        ("data: a\r\r", &["-|-|a"]),
        ("data: a\r\n\ndata: b\n\r\n", &["-|-|a", "-|-|b"]),
        ("\u{feff}data: a\n\n", &["-|-|a"]),
        ("\u{feff}\u{feff}data: a\n\n", &[]),
        ("data: a\n", &[]),
        ("data: a\n\ndata: b", &["-|-|a"]),
        (": hello\n\ndata:a\n\n", &["-|-|a"]),
        ("data:  a\n\n", &["-|-| a"]),
        ("data: a\ndata: b\ndata\n\n", &["-|-|a\nb\n"]),
        ("data\n\n", &["-|-|"]),
        ("data:\n\n", &["-|-|"]),
        ("event: x\ndata: a\n\ndata: b\n\n", &["x|-|a", "-|-|b"]),
        ("event: x\n\ndata: b\n\n", &["-|-|b"]),
        ("event:\ndata: b\n\n", &["-|-|b"]),
        ("id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", &["-|1|a", "-|1|b", "-||c"]),
        ("id: 1\n\ndata: a\n\n", &["-|1|a"]),
        ("id: a\0b\ndata: a\n\n", &["-|-|a"]),
        ("DATA: a\nunknown: b\n data: c\ndata: d\n\n", &["-|-|d"]),
        ("\n\n\ndata: a\n\n\n\n", &["-|-|a"]),
    ];
    for (stream, expected) in table {
        assert_eq!(shown(stream), *expected, "{stream:?}");
    }
}

#[test]
fn ids_and_retries_are_remembered_without_an_event() {
    let mut decoder = Decoder::new(100);
    decoder.feed(b"id: 7\nretry: 1500\n\nretry: x\nretry: -1\nretry\n\n", &mut Vec::new()).unwrap();
    assert_eq!((decoder.last_id(), decoder.retry()), (Some("7"), Some(1500)));
    decoder.feed(b"retry: 99999999999999999999999\n\n", &mut Vec::new()).unwrap();
    assert_eq!(decoder.retry(), None);
}

#[test]
fn an_id_too_long_to_send_back_is_not_kept() {
    let mut decoder = Decoder::new(1 << 20);
    let longest = "i".repeat(1_024);
    decoder.feed(format!("id: {longest}\n\n").as_bytes(), &mut Vec::new()).unwrap();
    let mut events = Vec::new();
    decoder.feed(format!("id: {longest}i\ndata: a\n\n").as_bytes(), &mut events).unwrap();
    assert_eq!((decoder.last_id(), events.len()), (Some(&*longest), 1));
}

#[test]
fn large_events_are_refused_before_they_are_held() {
    let limit = 1_000;
    let run = |stream: &[u8]| {
        let mut events = Vec::new();
        Decoder::new(limit).feed(stream, &mut events).map(|()| events.len())
    };
    let data = |length: usize| format!("data: {}\n\n", "x".repeat(length));
    assert_eq!(run(data(limit).as_bytes()), Ok(1));
    assert_eq!(run(data(limit + 1).as_bytes()), Err(EventTooLarge { limit }));
    assert_eq!(
        run(format!("data: {}", "x".repeat(2_000)).as_bytes()),
        Err(EventTooLarge { limit })
    );
    assert_eq!(run("data: 12345678\n".repeat(200).as_bytes()), Err(EventTooLarge { limit }));
    assert_eq!(run(data(10).repeat(1_000).as_bytes()), Ok(1_000));

    let mut decoder = Decoder::new(limit);
    let endless = std::iter::repeat_n(b"y".as_slice(), 10_000);
    let refused =
        endless.map(|chunk| decoder.feed(chunk, &mut Vec::new())).position(|fed| fed.is_err());
    assert!(refused.is_some_and(|at| at <= limit + 16));
}

#[test]
fn fields_cannot_be_smuggled_in() {
    let mut out = Vec::new();
    for bad in ["a\nb", "a\rb", "a\0b"] {
        assert_eq!(encode(&mut out, Some(bad), None, b""), Err(BadField));
        assert_eq!(encode(&mut out, None, Some(bad), b""), Err(BadField));
    }
    assert!(out.is_empty());
    encode(&mut out, None, None, b"a\n\nevent: x\r\rid: 7\r\n\r\ndata: z").unwrap();
    assert_eq!(shown(&String::from_utf8(out).unwrap()), ["-|-|a\n\nevent: x\n\nid: 7\n\ndata: z"]);
    let mut out = Vec::new();
    encode_retry(&mut out, 250);
    out.extend_from_slice(KEEP_ALIVE);
    assert!(decode(&out).is_empty());
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        events in prop::collection::vec(
            (prop::option::of("[a-z/ :]{1,8}"), prop::option::of("[a-z0-9:]{1,8}"), "[^\r]{0,40}"), 0..6,
        ),
    ) {
        let mut stream = Vec::new();
        for (name, id, data) in &events {
            encode(&mut stream, name.as_deref(), id.as_deref(), data.as_bytes()).unwrap();
        }
        let decoded = decode(&stream);
        prop_assert_eq!(decoded.len(), events.len());
        let mut last = None;
        for ((event, seen), (name, id, data)) in decoded.iter().zip(&events) {
            last = id.as_ref().or(last);
            prop_assert_eq!(&event.name, name);
            prop_assert_eq!(seen.as_ref(), last);
            prop_assert_eq!(&event.data[..], data.as_bytes());
        }
    }

    #[test]
    fn chunking_does_not_matter(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "data: a", "data:é", "event: e", "id: 1", "retry: 5", ": c", "\r", "\n", "\r\n", "\u{feff}", "x",
        ]), 0..30),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let stream = tokens.concat().into_bytes();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let (mut decoder, mut events) = (Decoder::new(1_000), Vec::new());
        for pair in cuts.windows(2) {
            decoder.feed(&stream[pair[0]..pair[1]], &mut events).unwrap();
        }
        let whole = decode(&stream);
        let ids = whole.last().and_then(|(_, id)| id.as_deref());
        prop_assert!(ids.is_none() || decoder.last_id().is_some());
        prop_assert_eq!(events, whole.into_iter().map(|(event, _)| event).collect::<Vec<_>>());
    }
}
