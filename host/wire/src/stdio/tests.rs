//! Lines, as tables.

use super::*;

fn limits(bytes: usize) -> Limits {
    Limits { bytes, ..Limits::REQUEST }
}

fn shown(lines: &[Line]) -> Vec<String> {
    lines
        .iter()
        .map(|line| match line {
            Line::Message(json) => json.as_str().to_owned(),
            Line::Garbage(garbage) => format!("{:?}: {}", garbage.violation.kind, garbage.excerpt),
        })
        .collect()
}

#[test]
fn lines_survive_garbage_and_any_chunking() {
    let stream = "{\"a\":1}\n\n  \r\nServer \u{1b}[1mready\n[1]\r\n{\"a\":1,\"a\":2}\n{\"big\":\"xxxxxxxxxxxxxxxxxxxxxxxx\"}\n7\nhalf";
    let expected = [
        "{\"a\":1}",
        "Unexpected: Server [1mready",
        "[1]",
        "DuplicateKey: {\"a\":1,\"a\":2}",
        "TooLarge: {\"big\":\"xxxxxxxxxxxxxxxx",
        "7",
    ];
    for size in [1, 2, 3, 7, stream.len()] {
        let (mut decoder, mut lines) = (Decoder::new(limits(24)), Vec::new());
        for chunk in stream.as_bytes().chunks(size) {
            decoder.feed(chunk, &mut lines);
        }
        let found = shown(&lines);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{size}: {found:?} for {expected:?}");
        }
    }
}

#[test]
fn an_endless_line_is_reported_once_and_not_held() {
    let (mut decoder, mut lines) = (Decoder::new(limits(10)), Vec::new());
    for _ in 0..1_000 {
        decoder.feed(&[b'x'; 1_000], &mut lines);
        assert!(decoder.line.len() <= 10);
    }
    decoder.feed(b"\n{}\n", &mut lines);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1], Line::Message(Json::empty_object()));
}

#[test]
fn a_message_is_one_line_whatever_it_looked_like() {
    let text = "{\r\n  \"a\": \"b\\n\",\n  \"c\": [\n1\r]\n}";
    let mut out = Vec::new();
    encode(&mut out, Raw::from_checked(text));
    assert_eq!(out.iter().filter(|b| matches!(b, b'\n' | b'\r')).count(), 1);
    assert_eq!(out.last(), Some(&b'\n'));
    let read = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
    assert_eq!(read(&out), read(text.as_bytes()));
}
