//! Streams from outside: server sent events and lines, in whatever portions they arrive.
//!
//! Holds that the portions make no difference, that nothing larger than allowed is held, that
//! the data of events and the lines go through the same strict pass as any message, and that
//! what is written anew is read as the same events.

use tidegate_model::Json;
use tidegate_wire::{
    json::{Limits, Raw, checked},
    mcp::{Message, peek::ResultPeek},
    sse::{self, Event},
    stdio::{self, Line},
};

/// Small, so that a fuzzer reaches it.
const LIMIT: usize = 4 * 1024;

/// Takes any bytes for a stream.
pub(crate) fn run(data: &[u8]) {
    let whole = events(std::iter::once(data));
    let singly = events(data.chunks(1));
    let mixed = events(portions(data).into_iter());
    assert_eq!(whole, singly, "byte by byte it is another stream");
    assert_eq!(whole, mixed, "in portions it is another stream");
    for event in &whole.0 {
        assert!(event.data.len() <= LIMIT, "an event larger than allowed");
        read(event);
    }
    written_anew(&whole.0);

    let whole = lines(std::iter::once(data));
    assert_eq!(whole, lines(data.chunks(1)), "byte by byte they are other lines");
    assert_eq!(whole, lines(portions(data).into_iter()), "in portions they are other lines");
    for line in &whole {
        match line {
            Line::Message(json) => {
                assert!(json.len() <= LIMIT, "a line longer than allowed");
                written_as_a_line(json);
            }
            Line::Garbage(garbage) => {
                assert!(garbage.excerpt.chars().count() <= 200);
                assert!(!garbage.excerpt.chars().any(char::is_control));
            }
        }
    }
}

/// Portions whose sizes follow from the bytes themselves, so that each input has its own.
fn portions(data: &[u8]) -> Vec<&[u8]> {
    let mut seed = data.iter().fold(7_u64, |seed, byte| {
        seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(u64::from(*byte) | 1)
    });
    let (mut rest, mut all) = (data, Vec::new());
    while !rest.is_empty() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let size = usize::try_from(seed >> 60).unwrap_or(0).min(rest.len());
        let (portion, left) = rest.split_at(size.max(1));
        all.push(portion);
        rest = left;
    }
    all
}

/// The events, the id to go on from, the time to wait; and whether one was too large.
type Decoded = (Vec<Event>, Option<String>, Option<u64>, bool);

fn events<'a>(portions: impl Iterator<Item = &'a [u8]>) -> Decoded {
    let mut decoder = sse::Decoder::new(LIMIT);
    let mut events = Vec::new();
    let mut portions = portions;
    let too_large = portions.any(|portion| decoder.feed(portion, &mut events).is_err());
    if too_large {
        // Where exactly a stream is given up depends on the portions; what came before not.
        return (Vec::new(), None, None, true);
    }
    (events, decoder.last_id().map(str::to_owned), decoder.retry(), false)
}

fn read(event: &Event) {
    let limits = Limits { bytes: LIMIT, ..Limits::RESPONSE };
    let Ok(json) = checked(event.data.clone(), &limits) else { return };
    let Ok(Message::Response(response)) = Message::parse(Raw::from(&json)) else { return };
    if let Ok(result) = response.outcome {
        drop(ResultPeek::read(result));
    }
}

fn written_anew(events: &[Event]) {
    let mut text = Vec::new();
    let mut expected = Vec::new();
    for event in events {
        let name = event.name.as_deref();
        let written = sse::encode(&mut text, name, None, &event.data);
        // A reader lets a nul in a name pass (HTML, section 9.2.6), a writer does not.
        let has_nul = name.is_some_and(|name| name.contains('\0'));
        assert_eq!(written.is_err(), has_nul, "{event:?}");
        if !has_nul {
            expected.push((&event.name, &event.data));
        }
    }
    let mut decoder = sse::Decoder::new(2 * LIMIT);
    let mut again = Vec::new();
    assert!(decoder.feed(&text, &mut again).is_ok());
    let again: Vec<_> = again.iter().map(|event| (&event.name, &event.data)).collect();
    assert_eq!(again, expected, "written anew they are others");
}

fn lines<'a>(portions: impl Iterator<Item = &'a [u8]>) -> Vec<Line> {
    let mut decoder = stdio::Decoder::new(Limits { bytes: LIMIT, ..Limits::RESPONSE });
    let mut lines = Vec::new();
    portions.for_each(|portion| decoder.feed(portion, &mut lines));
    // How much of an overlong line is shown depends on the portions.
    for line in &mut lines {
        if let Line::Garbage(garbage) = line {
            garbage.excerpt = garbage.excerpt.chars().take(1).collect();
        }
    }
    lines
}

fn written_as_a_line(json: &Json) {
    let mut text = Vec::new();
    stdio::encode(&mut text, Raw::from(json));
    let again = lines(std::iter::once(text.as_slice()));
    assert!(matches!(&*again, [Line::Message(_)]), "one message became {again:?}");
}
