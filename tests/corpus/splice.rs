//! An object and edits to it.
//!
//! The first line is the object; each further one an edit: `=key value` sets, `-key` takes
//! out, `>key` edits inside that member with all lines that follow. Holds that the edits do
//! what they say and that no other member loses a byte.

use bytes::Bytes;
use tidegate_model::Json;
use tidegate_wire::{
    json::{Kind, Limits, Raw, check, checked},
    mcp::splice::{self, Edit},
};

/// An edit, with text of its own.
#[derive(Debug)]
enum Line {
    Set(String, Json),
    Remove(String),
    Within(String, Vec<Line>),
}

/// Takes any bytes for an object and edits.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (object, rest) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(object) = checked(Bytes::copy_from_slice(object.as_bytes()), &Limits::REQUEST) else {
        return;
    };
    let lines = read(&mut rest.lines(), 8);
    with_edits(&lines, &mut |edits| {
        let spliced = splice::object(Raw::from(&object), edits);
        assert_eq!(spliced.is_err(), Raw::from(&object).kind() != Kind::Object);
        let Ok(spliced) = spliced else { return };
        let limits = Limits { bytes: usize::MAX, depth: 200, ..Limits::RESPONSE };
        assert_eq!(check(spliced.bytes(), &limits), Ok(()), "{}", spliced.as_str());
        compare(Raw::from(&object), Raw::from(&spliced), &lines);
    });
}

/// The edits of the lines, of each key the first.
fn read<'a>(lines: &mut impl Iterator<Item = &'a str>, depth: usize) -> Vec<Line> {
    let mut all: Vec<Line> = Vec::new();
    while let Some(line) = lines.next() {
        let edit = if let Some(key) = line.strip_prefix('-') {
            Line::Remove(key.to_owned())
        } else if let Some(key) = line.strip_prefix('>').filter(|_| depth > 0) {
            Line::Within(key.to_owned(), read(lines, depth - 1))
        } else if let Some((key, value)) = line.strip_prefix('=').and_then(|it| it.split_once(' '))
        {
            let value = Bytes::copy_from_slice(value.as_bytes());
            match checked(value, &Limits::REQUEST) {
                Ok(value) => Line::Set(key.to_owned(), value),
                Err(_) => continue,
            }
        } else {
            continue;
        };
        if !all.iter().any(|other| key(other) == key(&edit)) {
            all.push(edit);
        }
    }
    all
}

fn key(line: &Line) -> &str {
    match line {
        Line::Set(key, _) | Line::Remove(key) | Line::Within(key, _) => key,
    }
}

/// Borrows the edits, the innermost first, and hands them on.
fn with_edits(lines: &[Line], then: &mut dyn FnMut(&[Edit<'_>])) {
    fn next<'e>(lines: &'e [Line], mut done: Vec<Edit<'e>>, then: &mut dyn FnMut(&[Edit<'_>])) {
        let Some((line, rest)) = lines.split_first() else { return then(&done) };
        match line {
            Line::Set(key, value) => done.push(Edit::set(key, Raw::from(value))),
            Line::Remove(key) => done.push(Edit::remove(key)),
            Line::Within(key, inner) => {
                return with_edits(inner, &mut |edits| {
                    let mut done = done.clone();
                    done.push(Edit::within(key, edits));
                    next_owned(rest, done, then);
                });
            }
        }
        next(rest, done, then);
    }
    /// The same for a shorter lifetime.
    fn next_owned(lines: &[Line], done: Vec<Edit<'_>>, then: &mut dyn FnMut(&[Edit<'_>])) {
        next(lines, done, then);
    }
    next(lines, Vec::new(), then);
}

fn sets_anything(lines: &[Line]) -> bool {
    lines.iter().any(|line| match line {
        Line::Set(..) => true,
        Line::Remove(_) => false,
        Line::Within(_, inner) => sets_anything(inner),
    })
}

/// Members that no edit names are the same text in the same order; the others what was asked.
fn compare(before: Raw<'_>, after: Raw<'_>, lines: &[Line]) {
    let untouched = |object: Raw<'_>| -> Vec<String> {
        let members = object.members();
        let others = members.filter(|member| !lines.iter().any(|line| key(line) == member.key));
        others
            .map(|member| {
                let end = member.value_start + member.value.as_str().len();
                object.as_str().get(member.key_start..end).unwrap_or_default().to_owned()
            })
            .collect()
    };
    assert_eq!(untouched(before), untouched(after));
    for line in lines {
        let (old, new) = (before.get(key(line)), after.get(key(line)));
        match line {
            Line::Set(_, value) => assert_eq!(new.map(Raw::as_str), Some(value.as_str())),
            Line::Remove(_) => assert_eq!(new, None),
            Line::Within(_, inner) if sets_anything(inner) => {
                let old = old.filter(|old| old.kind() == Kind::Object);
                compare(old.unwrap_or(Raw::EMPTY_OBJECT), new.unwrap_or(Raw::NULL), inner);
            }
            Line::Within(_, inner) => match (old, new) {
                (Some(old), Some(new)) if old.kind() == Kind::Object => compare(old, new, inner),
                (old, new) => assert_eq!(old, new),
            },
        }
    }
}
